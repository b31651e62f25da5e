"""A checkpoint as a stock transformers model on this machine: where it runs, in which dtype, with which tokenizer."""

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
from edgelm.headers import DTYPE_BYTES

_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


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
    if most not in _STORED:
        raise Unsupported(
            f"the weights are stored as {most}, which no model computes with",
            mend="save them as F16 or F32",
        )
    stored, notes = _STORED[most], []
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
        Unsupported: there is no tokenizer that transformers can load.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.path, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise Unsupported(
            f"{checkpoint.path} has no tokenizer that can be loaded",
            why=_one_line(error),
            mend="save the tokenizer beside the weights (tokenizer.json and tokenizer_config.json)",
        ) from error
    return lambda text: list(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def import_architecture(checkpoint: Checkpoint) -> None:
    """Import the model's code without making a weight, so that the process has its full size before the model's.

    Raises:
        Unsupported: transformers knows no such causal model.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.path, local_files_only=True)
        with torch.device("meta"):
            transformers.AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unloadable(checkpoint, error) from error


def load(checkpoint: Checkpoint, settled: Plan) -> Any:
    """The model, ready to answer.

    Raises:
        Unsupported: transformers cannot load it, or tensors are missing or of another shape than configured.
    """
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint.path,
            dtype=getattr(torch, settled.dtype),
            device_map=settled.device,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, with those that are missing
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unloadable(checkpoint, error) from error
    absent, misshapen = sorted(found["missing_keys"]), sorted(name for name, *_ in found["mismatched_keys"])
    if absent or misshapen:
        raise Unsupported(
            f"the weights of {checkpoint.path} are not those that its config.json describes",
            why=f"{len(absent)} tensors missing, {len(misshapen)} of another shape; first {(absent + misshapen)[0]}",
            mend="restore the config.json that was saved with these weights",
        )
    return model.eval()


def last_logits_only(model: Any) -> dict[str, int]:
    """The argument that makes a model compute the logits of its last position alone, where it knows one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def _unloadable(checkpoint: Checkpoint, error: Exception) -> Unsupported:
    return Unsupported(
        f"{checkpoint.path} cannot be loaded as a stock transformers model",
        why=_one_line(error),
        mend="save it with save_pretrained as a class that transformers has",
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
