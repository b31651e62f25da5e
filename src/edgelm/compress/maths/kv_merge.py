"""Merging neighbouring key/value heads of one layer: what a merge changes, query heads and output take over.

N heads X_h (K × C) shall all be read from one shared head Y: X_h ≈ A_h Y, with factors A_h for their readers to absorb.
Inputs weigh by their second moment S = E[x xᵀ], in which the products of heads are the blocks X_h S X_jᵀ of a matrix G.
With the A_h/√N stacked to U, whose columns shall be orthonormal, the best Y is (1/N) Σ A_hᵀ X_h; of the heads' energy
tr(G) then tr(Uᵀ G U) is left.

- `svd`: U are the first eigenvectors of G: the truncated SVD of the heads whitened by a factor of S, found without the
  factor and without its inverse. Of all scales that A and Y can share out, this one leaves Y as large as the heads,
  so that penalties and half precision mean what they meant before.
- `mean`: every A_h is orthogonal, and Y the mean of the aligned heads.

Dimensions that a token's place rotates turn in pairs (i, i + R/2), as Hugging Face stores them. All that commutes with
the turning is one complex factor a pair; with a pair as a complex row, the above holds with K = 1. A query then becomes
conj(a)·q, as Re(conj(q)·a y) = Re(conj(conj(a)·q)·y). Where keys pass a norm with weights before they turn, ±1 is left.

Letters: G key/value heads, N = G/G′ that become one, M query heads that read one, K head size, R dimensions of it that
turn, P = R/2, J = N·K; C inputs of a projection, the last of them 1 for the bias; D model width, F = H·K, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from edgelm.compress.costs.bounds import DOUBLE_BELOW
from edgelm.compress.maths.attention import Attention

Merge = Literal["svd", "mean"]
_Unit = Callable[[Tensor], Tensor]  # the nearest matrices of a group, such as the orthogonal ones

_DAMPING = 0.01  # of the mean square of the inputs, added to all: what the text did not show counts a little
_ROUNDS = 16  # of aligning heads to their mean; none raises the error


class InputMoment:
    """E[x xᵀ] of what a layer's projections are given, a 1 behind each x."""

    def __init__(self, width: int, device: torch.device | None = None) -> None:
        dtype = torch.float64 if width <= DOUBLE_BELOW else torch.float32
        self.tokens = 0
        self._sum_DD = torch.zeros(width, width, dtype=dtype, device=device)
        self._sum_D = torch.zeros(width, dtype=dtype, device=device)

    def add(self, x_TD: Tensor) -> None:
        """Count the tokens of one sequence."""
        self.tokens += len(x_TD)
        self._sum_DD += x_TD.T @ x_TD
        self._sum_D += x_TD.sum(0)

    def mean(self) -> Tensor:
        """The second moment (C × C), in double precision."""
        column_D1 = self._sum_D[:, None]
        corner_11 = column_D1.new_full((1, 1), self.tokens)
        sum_CC = torch.cat([torch.cat([self._sum_DD, column_D1], 1), torch.cat([column_D1.T, corner_11], 1)])
        return sum_CC.double() / self.tokens


@dataclass(frozen=True)
class Merged:
    """The tensors that change, and the share of the heads' energy that is lost: Σ‖X_h x − A_h Y x‖² over Σ‖X_h x‖²."""

    tensors: dict[str, Tensor]
    key_error: float
    value_error: float


def merge_groups(
    tensors: Mapping[str, Tensor], attention: Attention, groups: int, moment_CC: Tensor, merge: Merge
) -> Merged:
    """Merge the key/value heads of a layer to `groups`, each of as many neighbours; query heads keep their order.

    Args:
        tensors: the layer's, by their names below it; those made have their dtype.
        attention: how they are laid out.
        groups: how many are left, a divisor of their number.
        moment_CC: of the inputs, see `InputMoment.mean`.
        merge: what the factors may be; queries and keys that pass a norm can be merged by `mean` alone.
    """
    assert attention.groups % groups == 0
    assert merge == "mean" or not attention.normed
    layout = (groups, attention.groups // groups)
    unit = _polar if merge == "mean" else None
    keys, key_error = _merge_keys(tensors, attention, layout, moment_CC, unit)
    values, value_error = _merge_values(tensors, attention, layout, moment_CC, unit)
    return Merged(keys | values, key_error, value_error)


def _merge_keys(
    tensors: Mapping[str, Tensor], attention: Attention, layout: tuple[int, int], moment_CC: Tensor, unit: _Unit | None
) -> tuple[dict[str, Tensor], float]:
    """Keys, and the queries that absorb their factors: those that turn, then those that do not."""
    key_GNKC = _with_bias(tensors, "k_proj").unflatten(0, (*layout, attention.size))
    query_GNMKC = _with_bias(tensors, "q_proj").unflatten(0, (*layout, attention.readers, attention.size))
    if attention.normed:
        key_GNKC, unit = _evened(key_GNKC, moment_CC), _sign
    R = attention.rotated
    turning = share(_pairs(key_GNKC[..., :R, :]).movedim(-2, 1)[..., None, :], moment_CC, unit)
    factor_GN1P1 = turning.factor[..., 0].movedim(1, 2)[:, :, None]
    query_GNMRC = _unpaired(factor_GN1P1.conj() * _pairs(query_GNMKC[..., :R, :]))
    key_GRC = _unpaired(turning.head[..., 0, :])

    still = share(key_GNKC[..., R:, :], moment_CC, unit)
    query_GNMKC = torch.cat([query_GNMRC, still.factor.mT[:, :, None] @ query_GNMKC[..., R:, :]], -2)
    key_GKC = torch.cat([key_GRC, still.head], -2)
    made = {
        **_stored(tensors, "q_proj", query_GNMKC.flatten(0, 3)),
        **_stored(tensors, "k_proj", key_GKC.flatten(0, 1)),
    }
    return made, _ratio(turning.lost + still.lost, turning.energy + still.energy)


def _merge_values(
    tensors: Mapping[str, Tensor], attention: Attention, layout: tuple[int, int], moment_CC: Tensor, unit: _Unit | None
) -> tuple[dict[str, Tensor], float]:
    """Values, and the output matrix that absorbs their factors."""
    values = share(_with_bias(tensors, "v_proj").unflatten(0, (*layout, attention.size)), moment_CC, unit)
    name = f"{attention.output}.weight"
    output_DF = tensors[name]
    output_DGNMK = output_DF.double().unflatten(1, (*layout, attention.readers, attention.size))
    output_DGNMK = torch.einsum("dgnmk,gnkj->dgnmj", output_DGNMK, values.factor)
    made = {**_stored(tensors, "v_proj", values.head.flatten(0, 1)), name: output_DGNMK.flatten(1).to(output_DF.dtype)}
    return made, _ratio(values.lost, values.energy)


@dataclass(frozen=True)
class Shared:
    """Heads that were N and are one: A (… × N × K × K) and Y (… × K × C), the energy there was, and what is lost."""

    factor: Tensor
    head: Tensor
    energy: float
    lost: float


def share(heads_NKC: Tensor, moment_CC: Tensor, unit: _Unit | None) -> Shared:
    """The best shared head of each batch of heads (… × N × K × C); see the top of the module.

    Args:
        heads_NKC: real or complex.
        moment_CC: of the inputs.
        unit: what makes factors of the kind that is wanted; None: any will do.
    """
    N, K, _ = heads_NKC.shape[-3:]
    heads_JC = heads_NKC.flatten(-3, -2)
    gram_JJ = _times(heads_JC, moment_CC) @ heads_JC.mH
    damping = _DAMPING * moment_CC.diagonal()[:-1].mean()
    damped_JJ = gram_JJ + damping * (heads_JC[..., :-1] @ heads_JC[..., :-1].mH)
    basis_JK = torch.linalg.eigh(damped_JJ).eigenvectors[..., -K:] if unit is None else _aligned(damped_JJ, N, unit)
    energy = float(gram_JJ.diagonal(dim1=-2, dim2=-1).real.sum())
    kept = float((basis_JK.conj() * (gram_JJ @ basis_JK)).real.sum())
    factor_JK = N**0.5 * basis_JK
    return Shared(factor_JK.unflatten(-2, (N, K)), factor_JK.mH @ heads_JC / N, energy, max(energy - kept, 0.0))


def _aligned(gram_JJ: Tensor, N: int, unit: _Unit) -> Tensor:
    """Orthonormal columns (… × N·K × K) whose blocks are of `unit`'s kind and keep most energy.

    All heads are aligned to one, the first, and then to the mean of the aligned ones again and again (generalised
    Procrustes analysis).
    """
    K = gram_JJ.shape[-1] // N
    seen_JK = gram_JJ[..., :K]  # X_h S Yᵀ, with Y the first head
    for _ in range(_ROUNDS):
        factor_JK = unit(seen_JK.unflatten(-2, (N, K))).flatten(-3, -2)
        seen_JK = gram_JJ @ factor_JK
    return factor_JK / N**0.5


def _polar(matrix_KK: Tensor) -> Tensor:
    """The nearest orthogonal matrices; of complex 1 × 1 the phase."""
    left_KK, _, right_KK = torch.linalg.svd(matrix_KK)
    return left_KK @ right_KK


def _sign(number_11: Tensor) -> Tensor:
    """+1 or −1, whichever is nearer."""
    return torch.where(number_11.real < 0, -1.0, 1.0).to(number_11.dtype)


def _evened(heads_NKC: Tensor, moment_CC: Tensor) -> Tensor:
    """The heads made as large as each other, as the norm behind them does anyway: a mean shall favour none."""
    energy_N11 = (_times(heads_NKC, moment_CC) * heads_NKC).sum((-2, -1), keepdim=True)
    return heads_NKC * (energy_N11.mean(-3, keepdim=True) / energy_N11.clamp_min(1e-30)).sqrt()


def _times(rows_C: Tensor, moment_CC: Tensor) -> Tensor:
    """Rows (… × C) times a real matrix, all of them in one product, which is many times faster than one a batch."""
    if rows_C.is_complex():
        return torch.complex(_times(rows_C.real, moment_CC), _times(rows_C.imag, moment_CC))
    return (rows_C.reshape(-1, len(moment_CC)) @ moment_CC).view(rows_C.shape)


def _pairs(rows_RC: Tensor) -> Tensor:
    """Dimensions that turn together as one complex row (… × P × C)."""
    return torch.complex(*rows_RC.chunk(2, -2))


def _unpaired(rows_PC: Tensor) -> Tensor:
    """The way back."""
    return torch.cat([rows_PC.real, rows_PC.imag], -2)


def _with_bias(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """A projection (out × C) in double precision: its weight, and its bias or zeros as the last column."""
    weight = tensors[f"self_attn.{name}.weight"].double()
    bias = tensors.get(f"self_attn.{name}.bias", weight.new_zeros(len(weight)))
    return torch.cat([weight, bias.double()[:, None]], 1)


def _stored(tensors: Mapping[str, Tensor], name: str, rows_C: Tensor) -> dict[str, Tensor]:
    """The projection as tensors again, with a bias if it had one."""
    parts = {f"self_attn.{name}.weight": rows_C[:, :-1], f"self_attn.{name}.bias": rows_C[:, -1]}
    return {part: made.to(tensors[part].dtype) for part, made in parts.items() if part in tensors}


def _ratio(lost: float, energy: float) -> float:
    return lost / energy if energy else 0.0
