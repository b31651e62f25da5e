"""Qwen-7B against its own arithmetic, written down here from the architecture, and its tokenizer against its ranks."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import silu
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.depth import Depth
from edgelm.compress.recipe import plan
from edgelm.compress.run import compress
from edgelm.compress.stream.imported import imported, losses
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.qwen import QwenBase
from edgelm.compress.stream.saved import restore, save
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadFile, Unsupported
from edgelm.shapes import shape_of
from edgelm.stock import load_tokenizer

SMALL: Any = {"tokens": 600, "sequence": 48, "dtype": "float32"}
D, H, F, L, V = 64, 4, 128, 3, 640
RANKS = [bytes([byte]) for byte in range(256)] + [b"th", b" t", b" th", b"the", b" the", b"qu", b"are"]
RANKS += [f"{one}{two}".encode() for one in "aeiou" for two in "bcdfgklmnprst"]
END = len(RANKS)  # the id of <|endoftext|>
CONFIG = {
    "architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": D, "intermediate_size": 2 * F,
    "num_hidden_layers": L, "num_attention_heads": H, "kv_channels": D // H, "vocab_size": V, "seq_length": 256,
    "max_position_embeddings": 32768, "layer_norm_epsilon": 1e-6, "rotary_emb_base": 10000, "rotary_pct": 1.0,
    "no_bias": True, "scale_attn_weights": True, "tie_word_embeddings": False, "use_dynamic_ntk": True,
    "use_logn_attn": True, "auto_map": {"AutoConfig": "configuration_qwen.QWenConfig"},
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Checkpoint]:
    """A checkpoint of the class, of random weights, as published: with its ranks, and code that is not there."""

    def made(chat: bool = False, **changes: Any) -> Checkpoint:
        folder = tmp_path / f"qwen-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(CONFIG | changes))
        lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(RANKS)]
        (folder / "qwen.tiktoken").write_text("\n".join(lines) + "\n")
        own = {"tokenizer_class": "QWenTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer"]}}
        (folder / "tokenizer_config.json").write_text(json.dumps(own))
        says = {"chat_format": "chatml" if chat else "raw", "eos_token_id": END, "pad_token_id": END,
                "stop_words_ids": [[END]], "top_p": 0.8}  # fmt: skip
        (folder / "generation_config.json").write_text(json.dumps(says))
        (folder / "LICENSE").write_text("to be kept")
        save_file(weights(), folder / "model.safetensors", metadata={"format": "pt"})
        return Checkpoint(folder)

    return made


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = shape_of(CONFIG).tensors
    made = {name: 0.2 * torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
    made |= {name: 1 + tensor for name, tensor in made.items() if ".ln_" in name}
    return made | {"transformer.rotary_emb.inv_freq": torch.ones(D // H // 2)}


def normed(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + CONFIG["layer_norm_epsilon"]).rsqrt() * weight


def turned(x_HTK: Tensor) -> Tensor:
    """Rotary positions over the whole head; dimension i turns together with i + K/2."""
    half = x_HTK.shape[-1] // 2
    angle_TK = torch.arange(x_HTK.shape[1])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    one, two = x_HTK[..., :half], x_HTK[..., half:]
    return torch.cat([one * angle_TK.cos() - two * angle_TK.sin(), two * angle_TK.cos() + one * angle_TK.sin()], -1)


def reference(tensors: dict[str, Tensor], tokens: list[int]) -> Tensor:
    """The logits of `QWenLMHeadModel` (T × V), within its context."""
    x_TD, T = tensors["transformer.wte.weight"][tokens], len(tokens)
    for layer in range(L):
        own = {name.removeprefix(f"transformer.h.{layer}."): tensor for name, tensor in tensors.items()}
        n_TD = normed(x_TD, own["ln_1.weight"])
        fused = n_TD @ own["attn.c_attn.weight"].T + own["attn.c_attn.bias"]
        q, k, v = (part.view(T, H, D // H).transpose(0, 1) for part in fused.split(D, dim=-1))
        scores_HTT = turned(q) @ turned(k).transpose(1, 2) / (D // H) ** 0.5
        scores_HTT = scores_HTT.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
        mixed_TD = (scores_HTT.softmax(-1) @ v).transpose(0, 1).reshape(T, D)
        x_TD = x_TD + mixed_TD @ own["attn.c_proj.weight"].T
        n_TD = normed(x_TD, own["ln_2.weight"])
        a1, a2 = n_TD @ own["mlp.w1.weight"].T, n_TD @ own["mlp.w2.weight"].T
        x_TD = x_TD + (a1 * silu(a2)) @ own["mlp.c_proj.weight"].T
    return normed(x_TD, tensors["transformer.ln_f.weight"]) @ tensors["lm_head.weight"].T


def test_it_computes_what_its_own_class_does(
    make: Any, batches: list[list[int]], logits: Any, texts: list[TextSource], tmp_path: Path
) -> None:
    base = make()
    expected = reference(weights(), batches[0])
    assert torch.allclose(logits(Model.of(base), batches[0]), expected, atol=1e-5)
    result = compress(base, [], tmp_path / "out", texts=texts, **SMALL)
    network, info = AutoModelForCausalLM.from_pretrained(result.path, output_loading_info=True)
    assert type(network).__name__ == "Qwen2ForCausalLM"
    assert not info["missing_keys"] | info["unexpected_keys"]
    with torch.no_grad():
        assert torch.allclose(network(torch.tensor(batches[:1])).logits[0], expected, atol=1e-5)
    fused, split = weights(), load_file(result.weight_files[0])
    parts = [split[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "qkv"]
    assert torch.equal(torch.cat(parts), fused["transformer.h.1.attn.c_attn.weight"])


def test_what_is_written_is_stock(make: Any, texts: list[TextSource], tmp_path: Path) -> None:
    base = make()
    recipe: list[Step] = [Depth(1, force=True), Width(96)]
    result = compress(base, recipe, tmp_path / "out", texts=texts, **SMALL)
    assert {name: tensor.shape for name, tensor in result.tensors.items()} == plan(base, recipe)[-1].shape.tensors
    assert result.own_code == []
    assert (result.config["model_type"], result.config["max_position_embeddings"]) == ("qwen2", 256)
    assert (result.path / "LICENSE").read_text() == "to be kept"
    assert not (result.path / "qwen.tiktoken").exists()
    assert result.card.parents == [base.digest]
    assert result.card.base == base.path.name
    assert any("NTK and log-n" in warning for warning in result.card.model_extra["warnings"])  # type: ignore[index]
    assert result.generation_config == {"eos_token_id": END, "bos_token_id": None, "pad_token_id": END, "top_p": 0.8}
    tokenizer = AutoTokenizer.from_pretrained(result.path)
    text = "There are 12 of the squares;\n  naïve 守株待兔 🙂<|im_end|>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer(" the<|endoftext|>").input_ids == [RANKS.index(b" the"), END]
    assert (len(tokenizer), tokenizer.eos_token_id, tokenizer.chat_template) == (END + 208, END, None)


def test_vocabulary_and_width_follow(make: Any, texts: list[TextSource], tmp_path: Path) -> None:
    recipe: list[Step] = [Vocab(keep=320, specials="used"), Width(hidden=32, heads=2)]
    result = compress(make(), recipe, tmp_path / "out", texts=texts, **SMALL)
    assert (result.shape.vocab, result.shape.width, result.shape.heads, result.shape.kv_heads) == (320, 32, 2, 2)


def test_the_chat_model_is_asked_as_it_was_trained(make: Any) -> None:
    base = imported(make(chat=True))
    assert base.prompting == "chat"
    assert base.config["eos_token_id"] == [END + 2, END]
    tokenizer = load_tokenizer(base)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert asked == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.eos_token == "<|im_end|>"


def test_a_killed_run_finds_its_rows_again(make: Any, opened: Any, logits: Any, batches: list[list[int]]) -> None:
    model = opened(make())
    model.keep_layers([0, 2])
    save(model, model.folder, {"step": "depth"})
    other = Model.of(make())
    restore(other, model.folder)
    assert torch.equal(logits(other, batches[0]), logits(model, batches[0]))


def test_the_old_words_are_known(make: Any) -> None:
    old = {"n_embd": D, "n_layer": L, "n_head": H, "ffn_hidden_size": 2 * F, "padded_vocab_size": V}
    gone = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    base = make(**old, **dict.fromkeys(gone))
    assert imported(base).config == imported(make()).config
    with pytest.raises(BadFile, match="seq_length is missing"):
        _ = imported(make(seq_length=None)).config


@pytest.mark.parametrize("changes", [{"rotary_pct": 0.25}, {"no_bias": False}, {"scale_attn_weights": False}])
def test_what_qwen2_cannot_be_is_refused(make: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=next(iter(changes))):
        plan(make(**changes), [Depth(1, force=True)])


def test_quantised_and_foreign_ones_are_refused(make: Any, edit: Any) -> None:
    with pytest.raises(Unsupported, match="quantised"):
        plan(make(quantization_config={"bits": 4}), [Depth(1, force=True)])
    base = edit(make(), lambda tensors: tensors.update({"transformer.h.0.attn.adapter.weight": torch.zeros(2)}))
    with pytest.raises(Unsupported) as caught:
        plan(base, [Depth(1, force=True)])
    assert "self_attn" not in caught.value.why
    assert "adapter" in caught.value.why


def test_damaged_ranks_are_said(make: Any) -> None:
    for damage in ("no ranks\n", "YQ== 0\n", "YQ== x\n", "!! 1\n", ""):
        base = make()
        (base.path / "qwen.tiktoken").write_text(damage)
        with pytest.raises(BadFile, match="no list of ranks"):
            _ = imported(base).tokenizer_path
        (base.path / "qwen.tiktoken").unlink()
        assert imported(base).tokenizer_path == base.path


def test_scalings_that_are_off_are_no_loss(make: Any) -> None:
    assert losses(imported(make(use_dynamic_ntk=False, use_logn_attn=False))) == []
    assert losses(make()) == []
    assert imported(imported(make())).config["model_type"] == "qwen2"


def test_the_real_ones_are_planned(shared: Path) -> None:
    folder = shared / "data/tokenizers"
    base = imported(Checkpoint(folder / "qwen-7b"))
    assert isinstance(base, QwenBase)
    assert base.shape.parameters == 7_721_324_544
    chat = imported(Checkpoint(folder / "qwen-7b-chat"))
    assert chat.shape.tensors == base.shape.tensors
    assert chat.config["eos_token_id"] == [151645, 151643]
    assert plan(base, [Depth(4), Width(8192)])[-1].shape.layers == 28


GOLDEN = {
    "The quick brown fox doesn't jump: 12345 times.":
        [785, 3974, 13876, 38835, 3171, 944, 7784, 25, 220, 16, 17, 18, 19, 20, 3039, 13],
    "守株待兔的故事告诉我们，不能指望不劳而获。":
        [99821, 102868, 74193, 102757, 104413, 110620, 3837, 53153, 115091, 16530, 99697, 68536, 99447, 1773],
    "naïve cafe\u0301 🙂": [3376, 37572, 586, 51950, 27484],
    "<|im_start|><|im_end|><|extra_204|>": [151644, 151645, 151850],
}  # fmt: skip


def test_the_real_tokenizer_gives_the_known_ids(shared: Path) -> None:
    """What tiktoken makes of the same ranks, Qwen's cuts and its special tokens."""
    base = imported(Checkpoint(shared / "data/tokenizers/qwen-7b"))
    tokenizer = Tokenizer.from_file(str(base.tokenizer_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 151_851
    for text, ids in GOLDEN.items():
        assert tokenizer.encode(text).ids == ids
