"""The card that the app shows and works by: the model, where it comes from, how to ask it, what to measure."""

from __future__ import annotations

from typing import Any

from edgelm import __version__
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.apk.chat import around
from edgelm.devices.prompt import PASSAGE
from edgelm.devices.prompt import SHA256 as PASSAGE_SHA256
from edgelm.rules.base import Rules

FORMAT = 1
_RULES = Rules(name="", tracks=(), tasks=())
ASKED_CONTEXT = 4096  # positions that the app reserves at most: keys and values take memory


def card_of(
    checkpoint: Checkpoint, *, package: str, dtype: str, digest: str, model: dict[str, Any], begins: bool, chat: bool
) -> dict[str, Any]:
    """The card.

    Args:
        checkpoint: what the bundle is made from.
        package: the app's name for Android.
        dtype: of the matrices in the GGUF file.
        digest: of the checkpoint.
        model: `sha256` and `size` of that file.
        begins: whether a text begins with the token that begins texts.
        chat: ask by the chat template, if there is one.

    Raises:
        BadFile: the chat template does not work.
    """
    shape, affixes = checkpoint.shape, around(checkpoint) if chat else None
    before, behind = affixes or ("", "")
    return {
        "format": FORMAT, "made_by": f"edgelm {__version__}", "package": package,
        "name": checkpoint.card.slot or checkpoint.card.base or checkpoint.path.resolve().name,
        "checkpoint": digest, "licence": checkpoint.card.licence,
        "parameters": shape.parameters, "dtype": dtype, "vocab": shape.vocab, "layers": shape.layers,
        "model": model, "kv_bytes": shape.kv_bytes(1, 2 if dtype == "F16" else 4), "trained": shape.context,
        "context": min(shape.context, ASKED_CONTEXT),
        "chat": affixes is not None, "before": before, "behind": behind, "begins": begins and affixes is None,
        "workload": workload_of(shape.context), "passage": PASSAGE, "passage_sha256": PASSAGE_SHA256,
    }  # fmt: skip


def workload_of(context: int) -> dict[str, Any]:
    """What the app measures: the rules' workload, or as much of it as the model's context holds, in their proportion.

    `whole` says whether it is the rules' own.
    """
    prompt, generated = _RULES.prompt_tokens, _RULES.generated_tokens
    whole = prompt + generated <= context
    if not whole:
        generated = max(2, context * generated // (prompt + generated))
        prompt = max(1, context - generated)
    return {"prompt_tokens": prompt, "generated_tokens": generated, "repeats": _RULES.repeats, "whole": whole}
