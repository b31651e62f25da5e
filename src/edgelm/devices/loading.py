"""A checkpoint on this machine: where it will run and in which dtype, its way to ids, its code without its weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from edgelm.checkpoint import Checkpoint
from edgelm.devices.host import computes_natively
from edgelm.errors import BadOption, Unsupported
from edgelm.headers import DTYPE_BYTES, TORCH_NAMES
from edgelm.stock import from_folder, load_tokenizer, refusals


@dataclass(frozen=True)
class Plan:
    """Where and in which dtype a checkpoint will be computed; `notes` say what is not as it was stored."""

    device: torch.device
    dtype: str
    bytes: int  # of a weight as computed with
    stored_bytes: int  # of a weight in the file
    notes: tuple[str, ...] = ()


def plan(checkpoint: Checkpoint, device: str, dtype: str) -> Plan:
    """Settle `auto` and `keep`.

    Raises:
        BadOption: `cuda` was asked for and there is none.
        Unsupported: the weights are of a dtype that no model computes with.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BadOption("there is no CUDA device here", mend="use local:device=cpu")
    place = torch.device("cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda")
    most = next(iter(checkpoint.dtypes), "F32")
    if most not in TORCH_NAMES:
        raise Unsupported(
            f"the weights are stored as {most}, which no model computes with",
            mend="save them as F16 or F32",
        )
    stored, notes = TORCH_NAMES[most], []
    chosen = stored if dtype == "keep" else dtype
    if dtype == "keep" and place.type == "cpu" and stored in ("float16", "bfloat16") and not computes_natively(stored):
        chosen = "float32"
        notes.append(f"stored in {stored}, computed in float32: this processor has no {stored} arithmetic")
    elif chosen != stored:
        notes.append(f"stored in {stored}, computed in {chosen} as asked")
    width = getattr(torch, chosen).itemsize
    return Plan(place, chosen, width, DTYPE_BYTES[most], tuple(notes))


def tokenizer_of(checkpoint: Checkpoint) -> Callable[[str], list[int]]:
    """The checkpoint's own way from text to ids, its leading special tokens included.

    Raises:
        BadFile, Unsupported: see `load_tokenizer`.
    """
    tokenizer = load_tokenizer(checkpoint)
    return lambda text: list(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def import_architecture(checkpoint: Checkpoint) -> None:
    """Import the model's code without making a weight, so that the process has its full size before the model's.

    Raises:
        BadFile, Unsupported: see `refusals`.
    """
    with refusals(checkpoint, "model"), torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(checkpoint.path, **from_folder())
        transformers.AutoModelForCausalLM.from_config(config)


def last_logits_only(model: Any) -> dict[str, int]:
    """The argument that makes a model compute the logits of its last position alone, where it knows one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def cache_name(model: Any) -> str:
    """What newer and older transformers call the keys and values, as an argument and as a part of the output."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
