"""Which programs take a model of these dimensions as it is.

Read from the sources of llama.cpp (its converter script, and the runtime that loads a GGUF) and MLC-LLM. transformers
takes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.shapes import Shape

_GUESSED = {"llama": (32016, 49152)}  # vocabulary sizes to which llama.cpp's script gives a meaning of their own


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
    square = shape.heads * shape.head_size == shape.width
    apart = f"{shape.heads}·{shape.head_size} ≠ {shape.width}"
    script = "it knows a tokenizer by the ids of a probe text, and trimming changes them" if trimmed else ""
    if shape.vocab in _GUESSED.get(shape.family, ()):
        script = f"it takes {shape.vocab} tokens for another model"
    if shape.family in ("qwen2", "phi") and not square:
        return Exports(script or (apart if shape.family == "phi" else ""), apart, apart)
    if shape.family == "phi" and (shape.ffn != 4 * shape.width or shape.kv_heads != shape.heads):
        script = "it writes 4·width feed-forward channels and as many key heads as query heads, whatever there are"
    mlc = "" if shape.width % shape.heads == 0 else f"{shape.heads} heads do not divide {shape.width}"
    return Exports(script, "", mlc)
