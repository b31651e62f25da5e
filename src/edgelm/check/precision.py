"""Precision checks from headers and JSON: storage dtypes, and the marks of quantised formats in weights and bundles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from edgelm.bundle import BUNDLE_LIST
from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model
from edgelm.checkpoint import read_config
from edgelm.errors import BadFile
from edgelm.headers import BUFFERS, TORCH_NAMES, Tensor
from edgelm.native import gguf_header
from edgelm.submission import BUNDLE

WHOLE = ("I", "U", "BOOL")  # beginnings of the integers' names
PACKED = (*WHOLE, "F8_", "F6_", "F4")  # beginnings of dtypes that hold quantised weights
BUFFER_SHARE = 100  # buffers take at most one in so many bytes
QUANTISED_NAMES = {"qweight", "qzeros", "g_idx", "scales", "SCB", "absmax", "weight_packed"}
MLC_CONFIG = "mlc-chat-config.json"
MLC_WEIGHTS = ("ndarray-cache.json", "tensor-cache.json")  # its lists of tensors, by version
GGUF_TYPES = {
    0: "float32", 1: "float16", 28: "float64", 30: "bfloat16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
}  # fmt: skip
UNQUANTISED = ("q0f16", "q0f32")
CONFIG_DTYPES = {torch_name: name for name, torch_name in TORCH_NAMES.items()}


def dtypes(model: Model) -> Findings:
    """DTY-01, DTY-02, DTY-03, DTY-05: how the tensors are stored, one finding a dtype."""
    groups: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    tensors = model.checkpoint.tensors.values()
    spared = sum(tensor.bytes for tensor in tensors if _is_buffer(tensor)) * BUFFER_SHARE <= model.checkpoint.bytes
    for tensor in tensors:
        if tensor.dtype not in model.rules.dtypes:
            code = "DTY-05" if spared and _is_buffer(tensor) else _code(tensor.dtype)
            groups[code, tensor.dtype].append(tensor)
    for (code, dtype), found in sorted(groups.items()):
        where = model.package.relative(found[0].file)
        size = sum(tensor.bytes for tensor in found)
        names = some(tensor.name for tensor in found)
        yield finding(code, where, f"{len(found):,} tensors of {dtype} ({size:,} bytes): {names}")


def _is_buffer(tensor: Tensor) -> bool:
    return tensor.dtype.startswith(WHOLE) and tensor.name.endswith(BUFFERS)


def _code(dtype: str) -> str:
    if dtype == "BF16":
        return "DTY-01"
    return "DTY-02" if dtype.startswith(PACKED) else "DTY-03"


def configured(model: Model) -> Findings:
    """DTY-04: the dtype that the configuration names, against the one that most parameters have."""
    named = model.checkpoint.config.get("dtype") or model.checkpoint.config.get("torch_dtype")
    stored = next(iter(model.checkpoint.dtypes), None)
    if named is not None and stored is not None and CONFIG_DTYPES.get(str(named), named) != stored:
        yield finding("DTY-04", model.at("checkpoint/config.json"), f"it names {named}, the tensors are {stored}")


def quantised(model: Model) -> Findings:
    """QNT-01, QNT-02: a quantised format, by its configuration or its tensors' names."""
    if "quantization_config" in model.checkpoint.config:
        yield finding("QNT-01", model.at("checkpoint/config.json"), "it has a quantization_config")
    names = [name for name in model.checkpoint.tensors if name.rpartition(".")[2] in QUANTISED_NAMES]
    if names:
        yield finding("QNT-02", model.at("checkpoint"), f"tensors {some(names)}")


def bundled(model: Model) -> Findings:
    """QNT-03: the precision of a bundle, as MLC's configuration or the deploy target names it."""
    for path in _bundle(model):
        if path.name == MLC_CONFIG and (named := read_config(path).get("quantization")) not in UNQUANTISED:
            yield finding("QNT-03", model.package.relative(path), f"quantization is {named!r}")
    path = model.find(f"{BUNDLE}/{BUNDLE_LIST}")
    if path.is_file():
        option = re.search(r"[:,](?:dtype|quantization)=([^,]*)", str(read_config(path).get("target", "")))
        if option and option[1] not in (*UNQUANTISED, *CONFIG_DTYPES, *CONFIG_DTYPES.values()):
            yield finding("QNT-03", model.package.relative(path), f"the bundle was made as {option[1]}")


def stored(model: Model) -> Findings:
    """QNT-03: the types of a bundle's tensors, whatever it is said to be made as."""
    for path in _bundle(model):
        if wrong := sorted(_types(path) - CONFIG_DTYPES.keys()):
            yield finding("QNT-03", model.package.relative(path), f"it holds tensors of {some(wrong)}")


def _bundle(model: Model) -> Iterator[Path]:
    """The files of a bundle; MLC's lie in folders of their own."""
    return (model.find(name.removeprefix(model.at(""))) for name in model.package.files
            if name.startswith(model.at(f"{BUNDLE}/")))  # fmt: skip


def _types(path: Path) -> set[str]:
    """How the tensors are stored that a file of a bundle holds or lists; of one that does neither, nothing."""
    if path.name in MLC_WEIGHTS:
        try:
            return {str(tensor["dtype"]) for shard in read_config(path)["records"] for tensor in shard["records"]}
        except (KeyError, TypeError):
            raise BadFile(f"{path} is no list of tensors", mend="make the bundle anew") from None
    with path.open("rb") as file:
        is_gguf = file.read(4) == gguf_header.MAGIC or path.suffix.lower() == ".gguf"
    kinds = {tensor.kind for tensor in gguf_header.read_header(path).tensors} if is_gguf else set()
    return {GGUF_TYPES.get(kind, f"type {kind} of GGUF") for kind in kinds}


MODEL_CHECKS = (
    Check("CKP-02", dtypes),
    Check("CKP-04", configured),
    Check("QNT-01", quantised),
    Check("BND-01", bundled),
    Check("QNT-03", stored),
)
