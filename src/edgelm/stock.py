"""The transformers model and tokenizer of a checkpoint: from its folder alone, whole, and without code from it.

With `code`, which a person must ask for, the checkpoint's own classes are loaded in place of the stock ones. They run
with all rights of the process; that they are files of the folder, which its digest covers, is made sure of.
And the other way: tensors into a weight file.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadFile, Unsupported
from edgelm.files import disk_errors

_CLASS = re.compile(r"([A-Za-z_]\w*)\.[A-Za-z_]\w*", re.ASCII)  # as an `auto_map` names one: FILE.CLASS
_MENDS = {
    "model": "edgelm show names what does not fit; restore config.json, or save the model again",
    "tokenizer": "copy tokenizer.json and tokenizer_config.json from the base",
}


def from_folder(code: bool = False) -> dict[str, Any]:
    """The arguments of every `from_pretrained`: nothing is fetched, and own code runs only if asked for."""
    return {"local_files_only": True, "trust_remote_code": code}


def require_known(checkpoint: Checkpoint, code: bool = False) -> None:
    """Refuse a checkpoint that cannot be a model here, by its configuration first, then by its weights' headers.

    Raises:
        BadFile: `config.json` or a weight file is damaged, or a dimension is impossible.
        MissingInput: there are no safetensors files.
        Unsupported: transformers has no causal language model of this class; with `code`, the folder has none either.
    """
    model_type = checkpoint.config.get("model_type")
    if code:
        _require_own_code(checkpoint)
    elif not isinstance(model_type, str) or model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        own = checkpoint.own_code
        raise Unsupported(
            f"transformers {transformers.__version__} has no language model of model_type '{model_type}'",
            why=f"the checkpoint brings code of its own ({own[0]}), which runs only if asked for" if own else "",
            mend="the engine option code=true (--engine local:code=true, or hf:code=true) runs it, with all your rights"
            if own else "correct model_type in config.json, or install a newer transformers",
        )  # fmt: skip
    with contextlib.suppress(Unsupported):  # transformers has more classes than are described here
        _ = checkpoint.shape
    _ = checkpoint.tensors


def _require_own_code(checkpoint: Checkpoint) -> None:
    """Refuse to run code unless there is some, all of it in files that the checkpoint's digest covers."""
    named = checkpoint.own_code
    if not named:
        raise Unsupported(f"{checkpoint.path} brings no code of its own", why="its configuration has no auto_map",
                          mend="leave code=true away")  # fmt: skip
    for name in named:
        found = _CLASS.fullmatch(name)
        if found is None or f"{found[1]}.py" not in checkpoint.files:
            raise Unsupported(f"{checkpoint.path} names code that is not in its folder: {name!r:.80}",
                              mend="copy the file into the folder, and name it FILE.CLASS in auto_map")  # fmt: skip
    if (checkpoint.path / "custom_generate").exists():
        raise Unsupported(f"{checkpoint.path} brings its own way to make answers, in custom_generate/",
                          why="the protocols ask for plain greedy answers", mend="remove that folder")  # fmt: skip


def load_model(
    checkpoint: Checkpoint, dtype: torch.dtype, device: str | torch.device = "cpu", *, code: bool = False
) -> Any:
    """The model, ready to answer, every weight of it from the files; with `code`, of the checkpoint's own class.

    Raises:
        BadFile, MissingInput, Unsupported: see `require_known` and `refusals`.
        BadFile: tensors are missing or of another shape than configured.
    """
    require_known(checkpoint, code)
    if code:
        logging.getLogger(__name__).warning("code that comes with %s runs, with all your rights", checkpoint.path)
    with refusals(checkpoint, "model"), _no_bars():
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint.path, dtype=dtype, device_map=torch.device(device), use_safetensors=True,
            output_loading_info=True, ignore_mismatched_sizes=True,  # reported below, with those that are missing
            **from_folder(code),
        )  # fmt: skip
    _require_whole(checkpoint, found)
    return model.eval()


def load_tokenizer(checkpoint: Checkpoint, *, code: bool = False) -> Any:
    """The tokenizer, with the settings of its files; with `code`, of the checkpoint's own class if it brings one.

    Raises:
        BadFile: it is damaged or not there.
        Unsupported: it needs a package that is not installed.
    """
    with refusals(checkpoint, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.tokenizer_path, **from_folder(code))
    if len(tokenizer) == len(tokenizer.get_added_vocab()):  # what transformers makes of some classes without files
        raise BadFile(
            f"the tokenizer of {checkpoint.path} does not load", why="it has no vocabulary", mend=_MENDS["tokenizer"]
        )
    return tokenizer


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write contiguous tensors as a safetensors file that plain transformers loads.

    Raises:
        NoSpace, BadOption: see `disk_errors`.
    """
    with disk_errors(path):
        try:
            save_file(dict(tensors), path, metadata={"format": "pt"})
        except SafetensorError as error:  # it tells the system's number in its text only
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), str(error)) from error
        path.chmod(0o644)


@contextlib.contextmanager
def refusals(checkpoint: Checkpoint, part: Literal["model", "tokenizer"]) -> Iterator[None]:
    """Turn whatever transformers raises over the checkpoint's files in this block into an error that names them.

    Raises:
        Unsupported: a package that the files ask for is not installed.
        BadFile: for every other reason, except that memory or threads ran out, which stays what it was.
    """
    what = f"the {part} of {checkpoint.path} does not load"
    try:
        yield
    except ImportError as error:
        raise Unsupported(what, why=_one_line(error), mend="install what it asks for, or give a plain model") from error
    except Exception as error:  # the libraries below raise whatever the damaged file makes them raise
        if is_out_of_memory(error) or "start new thread" in str(error):
            raise
        raise BadFile(what, why=_one_line(error), mend=_MENDS[part]) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out: Python's, CUDA's, or the CPU allocator's plain RuntimeError."""
    plain = isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))
    return plain or isinstance(error, MemoryError | torch.OutOfMemoryError)


def _require_whole(checkpoint: Checkpoint, found: dict[str, Any]) -> None:
    """Refuse a model with tensors that transformers had to make up."""
    absent, misshapen = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if not absent and not misshapen:
        return
    if absent:
        first = f"{absent[0]} is not stored"
    else:
        name, stored, configured = misshapen[0]
        first = f"{name} is {tuple(stored)}, config.json makes it {tuple(configured)}"
    raise BadFile(
        f"the weights of {checkpoint.path} are not those that its config.json describes",
        why=f"{first} ({len(absent)} tensors missing, {len(misshapen)} of another shape)",
        mend="restore the config.json that was saved with these weights",
    )


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing its own progress bars into ours."""
    shown = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.logging.enable_progress_bar()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
