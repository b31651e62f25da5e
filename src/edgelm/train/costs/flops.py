"""Floating-point operations of training, and the share of a device's peak that they make up (MFU).

Letters: L layers, H query heads, K head size, T tokens of context, N_mm parameters that are used in matrix products.
"""

from __future__ import annotations

import math
import re

from edgelm.shapes import Shape

# Dense bfloat16 tensor-core peaks with float32 accumulation, from NVIDIA's data sheets; where a sheet states the figure
# with sparsity, half of it. The first row all of whose words are in a device's name counts.
_PEAKS: tuple[tuple[str, float], ...] = (
    ("H100 PCIe", 756e12),  # H100 Tensor Core GPU, data sheet
    ("H100 NVL", 835e12),
    ("H100", 989e12),  # SXM: torch calls it "NVIDIA H100 80GB HBM3"
    ("H200 NVL", 835e12),  # H200 Tensor Core GPU, data sheet
    ("H200", 989e12),
    ("GH200", 989e12),  # GH200 Grace Hopper Superchip, data sheet
    ("A100", 312e12),  # A100 Tensor Core GPU, data sheet; PCIe and SXM alike
    ("L40S", 362e12),  # L40S, data sheet
    ("RTX 4090", 165e12),  # Ada GPU architecture white paper, appendix A
    ("B200", 2250e12),  # HGX B200, data sheet: 36e15 with sparsity on eight
)
_LESSER = {"MIG", "LAPTOP", "D"}  # a slice, or a smaller chip under the same name


def matrix_parameters(shape: Shape) -> int:
    """N_mm: parameters used in matrix products: a tied table once (as the head), an untied input table not."""
    return sum(
        math.prod(size) for name, size in shape.tensors.items()
        if len(size) == 2 and (shape.tied or not _looked_up(name))
    )  # fmt: skip


def _looked_up(name: str) -> bool:
    return name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight"))


def flops_per_token(shape: Shape, context: int) -> int:
    """Operations of one forward and backward pass, a token: 6·N_mm + 12·L·H·K·T (arXiv 2204.02311, appendix B).

    It is a convention, kept so that figures can be compared: every token is counted as if it saw the whole context.
    """
    return 6 * matrix_parameters(shape) + 12 * shape.layers * shape.heads * shape.head_size * context


def causal_flops_per_token(shape: Shape, context: int) -> int:
    """The same with attention at half, since a token sees what is before it: half of the context on average."""
    return 6 * matrix_parameters(shape) + 6 * shape.layers * shape.heads * shape.head_size * context


def peak(device: str) -> float | None:
    """Operations a second of a device at dense bfloat16, by the name that torch gives it; None if it is not known."""
    words = set(re.split(r"[^A-Z0-9]+", device.upper()))
    if words & _LESSER:
        return None
    return next((rate for name, rate in _PEAKS if set(name.upper().split()) <= words), None)


def mfu(flops: float, tokens_per_s: float, peak: float | None, devices: int = 1) -> float | None:
    """The share of the peak of all devices that is put to use, 0 to 1; None where the peak is not known.

    `flops` is of one token, `tokens_per_s` of all devices together.
    """
    return None if peak is None else flops * tokens_per_s / (devices * peak)
