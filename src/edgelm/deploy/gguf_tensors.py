"""A checkpoint's tensors as llama.cpp wants them: names, order of rotary rows and dtypes, a few rows at a time.

Weights stay (out, in), as Hugging Face stores them; matrices take the dtype asked for, vectors are always F32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.gguf_metadata import Family, rotation
from edgelm.errors import BadFile, MissingInput, Unsupported
from edgelm.headers import BUFFERS, Tensor
from edgelm.shapes import Shape

Values = npt.NDArray[Any]

CHUNK_VALUES = 4 << 20  # values converted at a time: 16 MiB as float32
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_STORED = NUMPY_DTYPES | {"BF16": np.dtype("<u2")}
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class Export:
    """One tensor of the GGUF."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # F16 or F32
    source: Tensor | Values  # where its values lie, or the values themselves
    head_size: int = 0  # rows are put in llama.cpp's rotary order within heads of this size; 0: left in order

    @property
    def bytes(self) -> int:
        """Bytes in the GGUF, padding left out."""
        return math.prod(self.shape) * NUMPY_DTYPES[self.dtype].itemsize

    def chunks(self) -> Iterator[Values]:
        """The values in the GGUF's dtype, in order, a few rows at a time.

        Raises:
            BadFile: a value is not finite.
            Unsupported: a value does not fit F16.
        """
        if isinstance(self.source, Tensor):
            for rows in _read(self.source, self.head_size or 1):
                yield _convert(interleave(rows, self.head_size) if self.head_size else rows, self.dtype, self.source)
        else:
            yield self.source.astype(NUMPY_DTYPES[self.dtype])


def plan(checkpoint: Checkpoint, family: Family, dtype: str) -> list[Export]:
    """The tensors to write, in order, from headers alone.

    Raises:
        MissingInput: the checkpoint lacks a tensor that its configuration describes.
        BadFile: a tensor has another shape than the configuration says, or is none of its tensors.
        Unsupported: a tensor is stored in a dtype that is not exported.
    """
    shape = checkpoint.shape
    names = gguf.get_tensor_name_map(family.arch, shape.layers)
    exports = []
    for name, source in _stored(checkpoint).items():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert target, f"{family.arch} has no name for {name}"
        rotary = family.interleaved and ".self_attn." in name and name.split(".")[-2] in ("q_proj", "k_proj")
        exports.append(_export(target, source, dtype, shape.head_size if rotary else 0))
        if name == _EMBEDDING and shape.tied and family.own_head:
            exports.append(_export(names.get_name(_HEAD, try_suffixes=(".weight",)), source, dtype))
    if (factors := rope_factors(checkpoint.config, shape)) is not None:
        name = f"{gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.ROPE_FREQS]}.weight"
        exports.append(Export(name, factors.shape, "F32", factors))
    return exports


def _export(name: str, source: Tensor, dtype: str, head_size: int = 0) -> Export:
    return Export(name, source.shape, dtype if len(source.shape) > 1 else "F32", source, head_size)


def _stored(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The checkpoint's tensors in the order of its configuration, each as the configuration describes it."""
    expected, found = checkpoint.shape.tensors, checkpoint.tensors
    if missing := [name for name in expected if name not in found]:
        raise MissingInput(f"{checkpoint.path} lacks tensor {missing[0]}", why=f"{len(missing)} tensors are missing",
                           mend="save the whole model, or mend config.json")  # fmt: skip
    left_out = (_HEAD,) if checkpoint.shape.tied else ()
    for name, tensor in found.items():
        if name in expected and tensor.shape != expected[name]:
            raise BadFile(f"tensor {name} has shape {tensor.shape}", why=f"config.json says {expected[name]}",
                          mend="mend config.json or save the model again")  # fmt: skip
        if name in expected and tensor.dtype not in _STORED:
            raise Unsupported(f"tensor {name} is stored as {tensor.dtype}", why=f"exported are {', '.join(_STORED)}",
                              mend="save the model as float16, bfloat16 or float32")  # fmt: skip
        if name not in expected and name not in left_out and not name.endswith(BUFFERS):
            raise BadFile(f"{checkpoint.path} holds tensor {name}", why="its config.json describes no such tensor",
                          mend="mend config.json (biases, tied embeddings) or save the model again")  # fmt: skip
    return {name: found[name] for name in expected}


def _read(tensor: Tensor, multiple: int) -> Iterator[Values]:
    """The stored values as float16 or float32, in whole groups of `multiple` rows."""
    row = tensor.size // max(tensor.shape[0], 1)
    step = max(CHUNK_VALUES // (row * multiple), 1) * multiple
    with tensor.file.open("rb", buffering=0) as file:
        file.seek(tensor.start)
        for first in range(0, tensor.shape[0], step):
            rows = min(step, tensor.shape[0] - first)
            raw = np.fromfile(file, _STORED[tensor.dtype], rows * row)
            if raw.size != rows * row:
                raise BadFile(f"{tensor.file} ends inside tensor {tensor.name}", mend="copy the file again")
            if tensor.dtype == "BF16":  # the upper half of a float32
                raw = (raw.astype("<u4") << 16).view("<f4")
            yield raw.reshape(rows, *tensor.shape[1:])


def _convert(values: Values, dtype: str, source: Tensor) -> Values:
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, NUMPY_DTYPES[dtype])
    if not np.isfinite(converted).all():
        if not np.isfinite(values).all():
            raise BadFile(f"tensor {source.name} holds NaN or infinity", mend="the model is damaged: train it again")
        largest = np.abs(values).max()
        raise Unsupported(f"tensor {source.name} does not fit {dtype}", why=f"it holds {largest:.6g}",
                          mend="export with dtype=F32")  # fmt: skip
    return converted


def interleave(rows: Values, head_size: int) -> Values:
    """Rows of whole heads, with the two halves of each head interleaved.

    Within a head of K rows the order becomes 0, K/2, 1, K/2 + 1, …: Hugging Face's Llama rotates value i with
    value i + K/2, llama.cpp's rotates value 2i with value 2i + 1.
    """
    heads = rows.reshape(-1, 2, head_size // 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


def rope_factors(config: Mapping[str, Any], shape: Shape) -> Values | None:
    """What the llama3 scaling divides each rotary frequency by, (K/2,); None without that scaling.

    Source: the reference code of Llama 3.1, as in `transformers.modeling_rope_utils`.
    """
    rope = rotation(config)
    if rope["rope_type"] != "llama3":
        return None
    frequencies = rope["rope_theta"] ** -(np.arange(0, shape.head_size, 2, dtype=np.float64) / shape.head_size)
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)  # over the original context
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)  # 0: divided by the whole factor, 1: left alone
    return 1 / ((1 - smooth) / factor + smooth)
