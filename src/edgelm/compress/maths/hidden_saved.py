"""What narrowing the stream has decided, in the step's folder: by it a killed run goes on, and later steps compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from edgelm.compress.maths.hidden_basis import Basis, Rotation, Selection
from edgelm.compress.maths.hidden_statistics import Place
from edgelm.files import read_json, write_json
from edgelm.stock import save_tensors

_BASIS, _SAID = "basis.safetensors", "decided.json"


@dataclass(frozen=True)
class Decision:
    """The narrowed stream's coordinates, the factor of every norm, and what the card says of the choice."""

    basis: Rotation | Selection
    scales: dict[Place, float]
    record: dict[str, Any]

    @property
    def said(self) -> list[list[Any]]:
        """The factors as JSON: layer, norm, factor."""
        return [[*place, scale] for place, scale in self.scales.items()]


def decided(folder: Path, decide: Callable[[], Decision], device: torch.device) -> tuple[Decision, Path]:
    """What an earlier, interrupted run has decided here, else `decide`, which is kept; and the file of its basis."""
    path, said = folder / _BASIS, folder / _SAID
    if not said.is_file():
        made = decide()
        save_tensors(path, {name: tensor.cpu().contiguous() for name, tensor in vars(made.basis).items()})
        write_json(said, {"scales": made.said, "record": made.record})
        return made, path
    kept = read_json(said)
    scales = {(number, norm): scale for number, norm, scale in kept["scales"]}
    return Decision(basis_of(path, device), scales, kept["record"]), path


def basis_of(path: Path, device: torch.device) -> Rotation | Selection:
    """The basis in a file, on the device to compute on."""
    tensors = load_file(path, str(device))
    return Rotation(**tensors) if "Q_DS" in tensors else Selection(**tensors)


def seen_by(paths: Sequence[Path], device: torch.device) -> Callable[[Tensor], Tensor]:
    """What makes of the base's stream (T × D) that of a model narrowed to these bases, one after another (T × S)."""
    bases: list[Basis] = [basis_of(path, device) for path in paths]

    def seen(x_TD: Tensor) -> Tensor:
        for basis in bases:
            x_TD = basis.stream(x_TD)
        return x_TD

    return seen
