"""Which tokens begin and end a text, and which of them encoding adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.gguf_pre import stages
from edgelm.errors import MissingInput


def special_ids(checkpoint: Checkpoint, ids: Mapping[str, int]) -> dict[str, int]:
    """The ids of bos, eos, unk and pad, as far as there are: as the tokenizer names them, else as config.json numbers.

    Where generation stops at several tokens, the further ones become eot and eom, at which llama.cpp stops as well.

    Raises:
        MissingInput: nothing says which token ends a text.
    """
    special: dict[str, int] = {}
    for name in ("bos", "eos", "unk", "pad"):
        token = checkpoint.tokenizer_config.get(f"{name}_token")
        text = str(token["content"] if isinstance(token, dict) else token or "")
        found = [ids[text]] if text in ids else _numbers(checkpoint.config.get(f"{name}_token_id"))
        if found and found[0] in range(len(ids)):
            special[name] = found[0]
    if "eos" not in special:  # llama.cpp would fall back on a fixed id, which is an ordinary token here
        raise MissingInput(f"nothing in {checkpoint.path} says which token ends a text",
                           mend="set eos_token in tokenizer_config.json")  # fmt: skip
    ends = _numbers(checkpoint.generation_config.get("eos_token_id", checkpoint.config.get("eos_token_id")))
    further = [end for end in ends if end in range(len(ids)) and end != special["eos"]]
    return special | dict(zip(("eot", "eom"), further, strict=False))


def _numbers(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def adds(tokenizer: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether encoding puts a token before the text, and one after it: the post-processor's template says so.

    As in transformers, `add_bos_token` in `tokenizer_config.json` counts for nothing beside a `tokenizer.json`.
    """
    for stage in stages(tokenizer.get("post_processor")):
        if stage["type"] == "TemplateProcessing":
            return "SpecialToken" in stage["single"][0], "SpecialToken" in stage["single"][-1]
    return False, False
