"""Every output is a stock model: plain transformers loads and runs it, and what is in its GGUF is what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import LlamaConfig

from edgelm.compress.width import Width
from edgelm.errors import BadOption
from edgelm.plugins import available
from edgelm.shapes import Shape

pytestmark = pytest.mark.slow

# A process in which `import edgelm` fails. By argument come a prompt, a folder for the answers, and the checkpoints.
FRESH = """
import json, sys
sys.modules["edgelm"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(1)
prompt = torch.tensor([json.loads(sys.argv[1])])
for number, folder in enumerate(sys.argv[3:]):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(prompt).logits[0]
        answer = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False,
                                pad_token_id=1)[0].tolist()
    torch.save({"logits": logits, "answer": answer, "text": tokenizer.decode(answer), "class": type(model).__name__,
                "module": type(model).__module__, "wrong": {key: sorted(map(str, keys)) for key, keys in info.items()
                if keys and key.endswith("keys")}}, f"{sys.argv[2]}/{number}.pt")
"""


@pytest.fixture(scope="session")
def fresh(made: list[Any], prompt: list[int], once: Any) -> dict[str, dict[str, Any]]:
    """What a process without edgelm made of every output, by name."""

    def make(folder: Path) -> None:
        arguments = [json.dumps(prompt), folder, *(one.checkpoint.path for one in made)]
        subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True, capture_output=True)

    folder = once("fresh", make)
    return {one.name: torch.load(folder / f"{number}.pt") for number, one in enumerate(made)}


def test_every_step_is_there(made: list[Any]) -> None:
    used = {step.partition(":")[0] for one in made for step in one.checkpoint.card.recipe}
    assert used == available("compress").keys()


def test_loads_without_edgelm_and_custom_code(made: list[Any], fresh: dict[str, dict[str, Any]]) -> None:
    for one in made:
        found = fresh[one.name]
        assert found["wrong"] == {}, one.name
        assert [found["class"]] == one.checkpoint.config["architectures"], one.name
        assert found["module"].startswith("transformers.models."), one.name
        assert "auto_map" not in one.checkpoint.config
        assert not list(one.checkpoint.path.glob("*.py"))


def test_logits_are_those_that_were_in_memory(made: list[Any], fresh: dict[str, dict[str, Any]]) -> None:
    for one in made:
        logits = fresh[one.name]["logits"]
        assert logits.shape == (12, one.checkpoint.shape.vocab), one.name
        torch.testing.assert_close(logits, one.logits, atol=1e-4, rtol=1e-5, msg=lambda said, at=one: f"{at}: {said}")


def test_generates(made: list[Any], fresh: dict[str, dict[str, Any]], prompt: list[int]) -> None:
    for one in made:
        found = fresh[one.name]
        assert bool(torch.isfinite(found["logits"]).all()), one.name
        assert found["answer"][: len(prompt)] == prompt
        assert len(prompt) < len(found["answer"]) <= len(prompt) + 8
        assert found["text"]


def test_gguf_has_the_dimensions(made: list[Any]) -> None:
    for one in made:
        reader, shape = gguf.GGUFReader(one.gguf), one.checkpoint.shape
        expected = {
            "block_count": shape.layers, "embedding_length": shape.width, "feed_forward_length": shape.ffn,
            "attention.head_count": shape.heads, "attention.head_count_kv": shape.kv_heads,
            "attention.key_length": shape.head_size, "vocab_size": shape.vocab,
        }  # fmt: skip
        arch = reader.fields["general.architecture"].contents()
        assert {name: reader.fields[f"{arch}.{name}"].contents() for name in expected} == expected, one.name
        assert len(reader.fields["tokenizer.ggml.tokens"].data) == shape.vocab
        tensors = {tensor.name: tuple(tensor.shape[::-1].tolist()) for tensor in reader.tensors}
        assert tensors.items() >= matrices(shape).items(), one.name
        assert len({name for name in tensors if name.endswith("ffn_up.weight")}) == shape.layers


def matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """The last layer's matrices and the embedding, under llama.cpp's names (out, in)."""
    queries, keys, layer = shape.heads * shape.head_size, shape.kv_heads * shape.head_size, f"blk.{shape.layers - 1}"
    return {
        "token_embd.weight": (shape.vocab, shape.width),
        f"{layer}.attn_q.weight": (queries, shape.width),
        f"{layer}.attn_k.weight": (keys, shape.width),
        f"{layer}.attn_v.weight": (keys, shape.width),
        f"{layer}.attn_output.weight": (shape.width, queries),
        f"{layer}.ffn_up.weight": (shape.ffn, shape.width),
        f"{layer}.ffn_down.weight": (shape.width, shape.ffn),
    }


def test_names_say_what_changed(made: list[Any]) -> None:
    """Each output differs from its base in just the dimensions that its recipe names."""
    shapes = {one.name: one.checkpoint.shape for one in made}
    bases = {name.removesuffix("-depth") for name in shapes if name.endswith("-depth")}
    assert shapes["llama-vocab"].vocab == 384
    assert shapes["llama-depth"].layers == 2
    assert shapes["llama-ffn"].ffn == 96
    assert (shapes["llama-hidden"].width, shapes["llama-hidden"].heads) == (48, 4)
    assert (shapes["phi-hidden"].width, shapes["phi-hidden"].heads) == (48, 3)
    assert shapes["llama-heads"].heads == 2
    assert shapes["llama-kv-svd"].kv_heads == 1
    assert shapes["llama-tied-hidden"].tied
    assert {one.name for one in made if one.checkpoint.dtypes.keys() == {"F16"}} == {f"{name}-cast" for name in bases}
    assert not shapes["llama-tied-untied"].tied


@pytest.mark.parametrize("width", [Width(heads=24), Width(hidden=3200, heads=24), Width(hidden=3968, heads=24)])
def test_what_transformers_refuses_is_refused_before(width: Width) -> None:
    sizes = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    config = LlamaConfig(**sizes, num_hidden_layers=2).to_dict()
    with pytest.raises(BadOption, match=r"transformers (loads|wants)"):
        width.plan(config)
    with pytest.raises(StrictDataclassClassValidationError):
        LlamaConfig(**sizes | {"hidden_size": width.hidden or 4096, "num_attention_heads": 24})
    LlamaConfig(**{key: Width(hidden=3072, heads=24).plan(config)[key] for key in sizes})
