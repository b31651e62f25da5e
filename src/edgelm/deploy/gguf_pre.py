"""Which of llama.cpp's pre-tokenizers cuts text as a `tokenizer.json` does.

llama.cpp has the patterns built in, under names. Its converter tells them apart by a hash of the ids of a probe text,
which changes with every trimmed vocabulary; the pattern itself does not change, so it is compared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgelm.errors import Unsupported

_WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA_3 = rf"{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_QWEN_2 = rf"{_WORD}|\p{{N}}|{_REST}"
_GPT_2 = "ByteLevel"  # the pattern built into the ByteLevel pre-tokenizer
_DIGITS = "Digits"  # each digit alone

# (what cuts the text, one after the other; whether a word that is a token is taken without merging) → name
_NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    ((_LLAMA_3,), True): "llama-bpe",
    ((_LLAMA_3,), False): "smaug-bpe",  # the same pattern, words always merged
    ((_QWEN_2,), False): "qwen2",
    ((_GPT_2,), False): "gpt-2",
    ((_DIGITS, _GPT_2), False): "starcoder",
}


def stages(part: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The stages of a normalizer, pre-tokenizer or post-processor in order, sequences taken apart."""
    if not part:
        return
    inner = [stage for key in ("normalizers", "pretokenizers", "processors") for stage in part.get(key, ())]
    if part.get("type") != "Sequence":
        yield part
    for stage in inner:
        yield from stages(stage)


def pre_tokenizer(tokenizer: Mapping[str, Any], model_type: str) -> str:
    """llama.cpp's name (`tokenizer.ggml.pre`) for the pre-tokenizer of a byte-level BPE.

    Raises:
        Unsupported: no known one cuts text in the same places.
    """
    cuts = tuple(cut for stage in stages(tokenizer.get("pre_tokenizer")) for cut in _cuts(stage))
    name = _NAMES.get((cuts, bool(tokenizer["model"].get("ignore_merges"))))
    if name is None:
        raise Unsupported(
            "gguf: llama.cpp has no pre-tokenizer that is known to cut text as this tokenizer does",
            why=f"tokenizer.json cuts by {' then '.join(cuts) or 'nothing'}",
            mend="if one of llama.cpp's is equal, name it: gguf:pre=NAME",
        )
    return "phi-2" if name == "gpt-2" and model_type == "phi" else name


def _cuts(stage: Mapping[str, Any]) -> Iterator[str]:
    """What a stage cuts by; one that is not known here yields its type, which matches nothing."""
    kind = stage["type"]
    if kind == "ByteLevel":
        if stage.get("add_prefix_space"):  # llama.cpp never adds one to a byte-level BPE
            yield "a space put in front"
        if stage.get("use_regex", True):
            yield _GPT_2
    elif kind == "Split" and stage.get("behavior") == "Isolated" and not stage.get("invert"):
        yield str(stage.get("pattern", {}).get("Regex"))
    elif kind == "Digits" and stage.get("individual_digits"):
        yield _DIGITS
    else:
        yield str(kind)
