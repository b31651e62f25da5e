"""What the value screen of `edgelm check --values` says of weights in known forms, and how fast it reads.

python benchmarks/screen.py            # the confusion table of docs/check.md
python benchmarks/screen.py --width 64 # the same of rows that narrow
python benchmarks/screen.py --speed 16 # seconds for so many GB of one 8B model's layers, in a temporary file
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgelm.check.screen import CLEAN, REFER, Figures, screen_tensor
from edgelm.check.values import not_finite
from edgelm.headers import read_header

Array = np.ndarray
NF4 = np.array([
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
], np.float32)  # fmt: skip  # of QLoRA
E4M3 = np.unique([s * m for s in (-1, 1) for m in (
    *(k / 8 * 2.0**-6 for k in range(8)),
    *((1 + k / 8) * 2.0 ** (e - 7) for e in range(1, 16) for k in range(8) if (e, k) != (15, 7)),
)]).astype(np.float32)  # fmt: skip  # every finite value of FP8


def weights(rows: int = 1024, width: int = 4096, seed: int = 0) -> Array:
    """Weights as a trained layer has them: normal, each row with a scale of its own."""
    random = np.random.default_rng(seed)
    scales = np.exp(random.normal(0, 0.3, (rows, 1)))
    return (random.normal(0, 0.02, (rows, width)) * scales).astype(np.float32)


def grouped(w: Array, group: int) -> Array:
    """Groups of neighbours as rows."""
    return w.reshape(-1, group)


def integers(w: Array, bits: int, group: int | None) -> Array:
    """Round to nearest on a symmetric grid; one scale a group, a row (its width), or the tensor (None)."""
    cells = w.reshape(1, -1) if group is None else grouped(w, group)
    most = 2 ** (bits - 1) - 1
    scale = np.abs(cells).max(1, keepdims=True) / most
    return (np.rint(cells / scale) * scale).astype(np.float32).reshape(w.shape)


def nearest(w: Array, grid: Array, group: int, top: float) -> Array:
    """The nearest values of a grid that is scaled to each group's largest."""
    cells = grouped(w, group)
    scale = np.abs(cells).max(1, keepdims=True) / top
    places = np.searchsorted((grid[1:] + grid[:-1]) / 2, cells / scale)
    return (grid[places] * scale).astype(np.float32).reshape(w.shape)


def low_rank(w: Array, rank: int, size: float) -> Array:
    """A random update of a rank, `size` times as large as the weights."""
    random = np.random.default_rng(1)
    update = random.normal(size=(len(w), rank)) @ random.normal(size=(rank, w.shape[1]))
    return (update / update.std() * w.std() * size).astype(np.float32)


def to_bf16(w: Array) -> Array:
    """The values that BF16 can hold, to nearest even."""
    bits = w.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def pruned(w: Array) -> Array:
    """The smaller half of the weights is zero."""
    return np.where(np.abs(w) < np.median(np.abs(w)), 0, w).astype(np.float32)


def noisy(w: Array, share: float) -> Array:
    """Noise of a share of the weights' deviation on top."""
    return w + np.random.default_rng(2).normal(0, share * w.std(), w.shape).astype(np.float32)


Form = Callable[[Array], Array]
# Form, stored dtype, and whether it was quantised.
FORMS: dict[str, tuple[Form, str, bool]] = {
    "FP16": (lambda w: w, "F16", False),
    "BF16, cast to FP16": (to_bf16, "F16", False),
    "BF16, cast to FP32": (to_bf16, "F32", False),
    "FP32": (lambda w: w, "F32", False),
    "half pruned": (pruned, "F16", False),
    "low rank (256)": (lambda w: low_rank(w, 256, 1.0), "F16", False),
    "low-rank update merged (rank 16)": (lambda w: w + low_rank(w, 16, 0.1), "F16", False),
    "int8 per tensor": (lambda w: integers(w, 8, None), "F16", True),
    "int8 per channel": (lambda w: integers(w, 8, w.shape[1]), "F16", True),
    "int8 per 128": (lambda w: integers(w, 8, 128), "F16", True),
    "int8 per 128, FP32": (lambda w: integers(w, 8, 128), "F32", True),
    "int6 per 128": (lambda w: integers(w, 6, 128), "F16", True),
    "int4 per 128": (lambda w: integers(w, 4, 128), "F16", True),
    "int4 per 32": (lambda w: integers(w, 4, 32), "F16", True),
    "NF4 per 64": (lambda w: nearest(w, NF4, 64, 1.0), "F16", True),
    "FP8 (E4M3) per channel": (lambda w: nearest(w, E4M3, w.shape[1], 448.0), "F16", True),
    "int8 per channel, low-rank update merged": (
        lambda w: integers(w, 8, w.shape[1]) + low_rank(w, 16, 0.1), "F16", True),
    "FP8, low-rank update merged": (lambda w: nearest(w, E4M3, w.shape[1], 448.0) + low_rank(w, 16, 0.1), "F16", True),
    "int4 per 128, low-rank update merged": (lambda w: integers(w, 4, 128) + low_rank(w, 16, 0.1), "F16", True),
    "int4 per 128, 5 % noise": (lambda w: noisy(integers(w, 4, 128), 0.05), "F16", True),
}  # fmt: skip


def store(path: Path, w: Array, dtype: str) -> None:
    """A safetensors file with one linear weight."""
    data = w.astype(np.float16 if dtype == "F16" else np.float32).tobytes()
    entry = {"layer.weight": {"dtype": dtype, "shape": list(w.shape), "data_offsets": [0, len(data)]}}
    header = json.dumps(entry).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def screened(form: str, folder: Path, w: Array) -> Figures:
    """The figures of weights in one of `FORMS`."""
    change, dtype, _ = FORMS[form]
    store(folder / "form.safetensors", change(w), dtype)
    (tensor,) = read_header(folder / "form.safetensors")
    figures = screen_tensor(tensor, seed=0)
    assert figures is not None
    return figures


def verdict(share: float) -> str:
    """What the checker says of a share of distinct values."""
    return "QNT-05, referred" if share < REFER else "QNT-06, told" if share < CLEAN else "nothing"


def table(width: int) -> None:
    """The confusion table, of rows of a width."""
    print("| stored form | quantised | per row | per 128 | the screen says |\n| --- | --- | --- | --- | --- |")
    w = weights(width=width)
    with tempfile.TemporaryDirectory() as name:
        for form, (_, _, quantised) in FORMS.items():
            found = screened(form, Path(name), w)
            said = verdict(found.groups) + (" (invisible)" if quantised and found.groups >= CLEAN else "")
            print(f"| {form} | {'yes' if quantised else 'no'} | {found.rows:.2f} | {found.groups:.2f} | {said} |")


def speed(gigabytes: float) -> None:
    """The time of one pass over layers of an 8B model's shape, by part."""
    shapes = [(4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096), (14336, 4096), (14336, 4096), (4096, 14336)]
    w = weights(14336, 4096).astype(np.float16)
    with tempfile.TemporaryDirectory() as name:
        seconds = {"read": 0.0, "NaN and infinities": 0.0, "screen": 0.0}
        done = 0
        while done < gigabytes * 1e9:
            for number, shape in enumerate(shapes):
                path = Path(name, f"{number}.safetensors")
                store(path, w.reshape(-1)[: shape[0] * shape[1]].reshape(shape), "F16")
                (tensor,) = read_header(path)
                marks = [time.perf_counter()]
                with path.open("rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass
                marks.append(time.perf_counter())
                not_finite(tensor)
                marks.append(time.perf_counter())
                screen_tensor(tensor, seed=0)
                marks.append(time.perf_counter())
                for part, start, end in zip(seconds, marks, marks[1:], strict=False):
                    seconds[part] += end - start
                done += tensor.bytes
        print(f"{done / 1e9:.1f} GB: " + ", ".join(f"{part} {spent:.1f} s" for part, spent in seconds.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", type=float, metavar="GB")
    parser.add_argument("--width", type=int, default=4096)
    given = parser.parse_args()
    speed(given.speed) if given.speed else table(given.width)
