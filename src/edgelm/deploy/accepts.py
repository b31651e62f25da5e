"""Which programs take a model of these dimensions as it is.

Read from the sources of llama.cpp (its converter script, and the runtime that loads a GGUF) and MLC-LLM, and held
against llama.cpp itself (`benchmarks/exports.py`). transformers takes all that is made here.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.shapes import Shape

_GUESSED = {"llama": (32016, 49152)}  # vocabulary sizes to which llama.cpp's script gives a meaning of their own

_FOUR_WIDTHS = "it writes 4·width feed-forward channels"


@dataclass(frozen=True)
class Exports:
    """For each program what stands in its way; nothing if it takes the model."""

    script: str = ""  # convert_hf_to_gguf.py as published
    runtime: str = ""  # an unpatched llama.cpp, with a file of `edgelm deploy gguf`
    mlc: str = ""  # MLC-LLM, q0f16

    def rows(self) -> list[tuple[str, str]]:
        """As a table: program, and "yes" or "no: why"."""
        named = (("llama.cpp's own converter", self.script), ("llama.cpp, after edgelm deploy gguf", self.runtime),
                 ("MLC-LLM, float16", self.mlc))  # fmt: skip
        return [("transformers", "yes"), *((name, f"no: {why}" if why else "yes") for name, why in named)]


def exports(shape: Shape, *, trimmed: bool) -> Exports:
    """What takes a model of this shape.

    Args:
        shape: of the result.
        trimmed: whether tokens were left out of its vocabulary.
    """
    if shape.family == "gpt2":
        return _gpt2(_script(shape, "", trimmed))
    apart = ""
    if shape.family in ("qwen2", "phi") and shape.heads * shape.head_size != shape.width:
        apart = f"{shape.heads}·{shape.head_size} ≠ {shape.width}"
    return Exports(_script(shape, apart, trimmed), apart, apart or _mlc(shape))


def _script(shape: Shape, apart: str, trimmed: bool) -> str:
    """What keeps the converter from a file that llama.cpp runs: it may refuse, or write one that does not load."""
    if shape.vocab in _GUESSED.get(shape.family, ()):
        return f"it takes {shape.vocab} tokens for another model"
    if trimmed:
        return "it knows a tokenizer by the ids of a probe text, and trimming changes them"
    if shape.family == "phi" and (shape.ffn != 4 * shape.width or shape.kv_heads != shape.heads):
        return f"{_FOUR_WIDTHS} and as many key heads as query heads, whatever there are"
    if shape.family == "gpt2" and shape.ffn != 4 * shape.width:
        return f"{_FOUR_WIDTHS}, whatever there are"
    if shape.family == "phi" and shape.tied:
        return "it writes no head where that is the embedding, and llama.cpp wants one"
    return apart and f"what it writes does not load: {apart}"


def _gpt2(script: str) -> Exports:
    return Exports(script, "edgelm deploy gguf does not write a gpt2",
                   "it looks for tensors by names without transformer., which a stock model stores")  # fmt: skip


def _mlc(shape: Shape) -> str:
    if shape.family == "llama" and shape.width % shape.heads:
        return f"{shape.heads} heads do not divide {shape.width}"
    if shape.family == "llama" and (shape.attention_bias or shape.mlp_bias):
        return "its Llama has no biases"
    if shape.family == "phi" and shape.tied:
        return "its Phi has a head of its own"
    return ""
