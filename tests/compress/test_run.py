from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.compress.base import FAMILIES, Step
from edgelm.compress.config import portable
from edgelm.compress.depth import Depth
from edgelm.compress.fallback import BUILT_IN_WARNING, built_in
from edgelm.compress.recipe import plan
from edgelm.compress.run import compress
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.data.texts import MINIATURE_SET, Document, TextSource
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported
from edgelm.plugins import available

SMALL: Any = {"tokens": 600, "sequence": 48}
RECIPE: list[Step] = [Depth(1), Width(96)]
PROMPT = [1, 40, 41, 42, 43, 60, 61, 62, 5, 90, 91, 92]
MakeCheckpoint = Callable[..., Path]


def logits(path: Path, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(path, dtype=dtype)(torch.tensor([PROMPT])).logits[0]


def tensor_bytes(checkpoint: Checkpoint) -> dict[str, bytes]:
    found = {}
    for name, tensor in checkpoint.tensors.items():
        data = tensor.file.read_bytes()
        found[name] = data[tensor.start : tensor.start + tensor.bytes]
    return found


def test_idle_steps_leave_every_byte(base: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    result = compress(base, [Depth(0), Width(128)], tmp_path / "out", texts=texts, dtype="keep", **SMALL)
    assert tensor_bytes(result) == tensor_bytes(base)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (result.path / name).read_bytes() == (base.path / name).read_bytes()
    assert base.config.items() <= result.config.items()
    assert result.card.recipe == []
    assert result.card.model_extra is not None
    assert result.card.model_extra["quality"]["kl"] == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_idle_steps_keep_half_precision(
    make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path, dtype: str
) -> None:
    base = Checkpoint(make_checkpoint("qwen2", dtype=dtype))
    result = compress(base, [], tmp_path / "out", texts=texts, dtype="keep", **SMALL)
    assert tensor_bytes(result) == tensor_bytes(base)
    assert result.config["torch_dtype"] == result.config["dtype"] == dtype


def test_written_as_planned(base: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    planned = plan(base, RECIPE)[-1]
    result = compress(base, RECIPE, tmp_path / "out", texts=texts, **SMALL)
    assert (result.parameters, result.bytes) == (planned.parameters, planned.bytes)
    assert result.config == portable(planned.config, "float16")
    assert {name: tensor.shape for name, tensor in result.tensors.items()} == planned.shape.tensors
    assert result.dtypes == {"F16": result.parameters}
    assert bool(torch.isfinite(logits(result.path, torch.float16)).all())


FRESH = """
import sys, torch
from transformers import AutoModelForCausalLM
for path in sys.argv[2:]:
    model, info = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    with torch.no_grad():
        torch.save(model(torch.tensor([eval(sys.argv[1])])).logits[0], path + "/logits.pt")
assert "edgelm" not in sys.modules
"""


def test_loads_in_a_process_without_edgelm(
    make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    results = []
    for family in FAMILIES:
        base = Checkpoint(make_checkpoint(family))
        results.append(compress(base, RECIPE, tmp_path / family, texts=texts, dtype="float32", **SMALL).path)
    subprocess.run([sys.executable, "-c", FRESH, str(PROMPT), *map(str, results)], check=True, cwd=tmp_path)
    for path in results:
        assert torch.equal(torch.load(path / "logits.pt"), logits(path))


def test_same_seed_same_bytes(make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path) -> None:
    base = Checkpoint(make_checkpoint("phi"))
    one, two, other = (
        compress(base, RECIPE, tmp_path / name, texts=texts, seed=seed, **SMALL)
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    assert one.digest == two.digest != other.digest


def test_card_carries_on(make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    base.write_card(Card(slot="phi-2", derivation="upstream", licence="MIT", data=[Source(name="web")]))
    first = compress(base, [Depth(1)], tmp_path / "first", texts=texts, **SMALL)
    second = compress(first, [Width(96, score="act")], tmp_path / "second", texts=texts, **SMALL)
    card = json.loads((second.path / "card.json").read_text())
    assert card["base"] == base.path.name
    assert (card["slot"], card["derivation"], card["licence"]) == ("phi-2", "compressed", "MIT")
    assert card["recipe"] == ["depth:drop=1", "width:ffn=96,score=act"]
    options = {"texts": [{"name": "squares", "sha256": ""}], **SMALL, "seed": 0, "dtype": "float16", "memory": None}
    options["tokens_asked"] = options["tokens"]
    assert card["options"] == [{"steps": [step], **options} for step in card["recipe"]]
    assert card["parents"] == [first.digest, base.digest]
    assert [source["name"] for source in card["data"]] == ["web", "squares", "squares"]
    assert card["shape"]["after"]["ffn"] == 96
    assert card["shape"]["after"]["parameters"] == second.parameters
    assert card["calibration"]["tokens"] >= 500
    assert card["quality"]["perplexity"] > 1
    assert card["quality"]["kl"] > 0
    assert len(card["steps"]) == 2
    assert any("15%" in warning for warning in first.card.model_extra["warnings"])  # type: ignore[index]


def test_text_that_was_only_counted_in_is_on_the_card(
    make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    """Lines too short to be drawn can still decide which tokens stay."""
    pinned = replace(texts[0], name=MINIATURE_SET, known=True)
    glossary = TextSource("glossary.txt", [Document("x ^ 2")], sha256="ab")
    base = Checkpoint(make_checkpoint("llama"))
    for step, names in ((Vocab(keep=300), [MINIATURE_SET, "glossary.txt"]), (Depth(1), [MINIATURE_SET])):
        card = compress(base, [step], tmp_path / str(len(names)), texts=[pinned, glossary], **SMALL).card
        assert [source.name for source in card.data] == names
        assert card.model_extra is not None and card.model_extra["data_allowed"] == (len(names) == 1)


def test_the_built_in_text_is_warned_of(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    told: list[str] = []
    base = Checkpoint(make_checkpoint("llama"))
    result = compress(base, [Depth(1)], tmp_path / "out", **SMALL, progress=lambda what, *_: told.append(what))
    assert BUILT_IN_WARNING in told
    assert BUILT_IN_WARNING in result.card.model_extra["warnings"]  # type: ignore[index]
    allowed = {name for plugin in available("rules").values() for name in plugin.load()().training_data}
    assert built_in().name not in allowed


def test_from_scratch_stays_so(make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    base.write_card(Card(derivation="from-scratch", prompting="base"))
    result = compress(base, [Width(64)], tmp_path / "out", texts=texts, **SMALL)
    assert result.card.derivation == "from-scratch"
    assert result.card.parents == [base.digest]
    assert result.card.prompting == "base"


def test_weights_beyond_fp16_are_refused(
    make_checkpoint: MakeCheckpoint, edit: Any, texts: list[TextSource], tmp_path: Path
) -> None:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = 70_000

    base = edit(Checkpoint(make_checkpoint("llama")), grow)
    with pytest.raises(Unsupported, match="70000") as caught:
        compress(base, [], tmp_path / "out", texts=texts, **SMALL)
    assert "float32" in caught.value.mend
    assert list(tmp_path.iterdir()) == []


def test_bad_input_leaves_nothing(make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path) -> None:
    base = Checkpoint(make_checkpoint("llama"))
    with pytest.raises(BadOption, match="too much"):
        compress(base, [Depth(3)], tmp_path / "out", texts=texts)
    (base.path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadFile, match="tokenizer"):
        compress(base, [Depth(1)], tmp_path / "out", texts=texts)
    base.weight_files[0].unlink()
    with pytest.raises(MissingInput, match="no weights"):
        compress(Checkpoint(base.path), [Depth(1)], tmp_path / "out", texts=texts)
    assert list(tmp_path.iterdir()) == []
