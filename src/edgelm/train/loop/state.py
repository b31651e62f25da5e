"""States of a training run on disk: weights and optimisers, whole or not there, for any number of processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import Optimizer

from edgelm.errors import BadFile, BadOption, EdgelmError
from edgelm.files import disk_errors, read_json, sha256_file, write_json
from edgelm.folders import new_folder
from edgelm.stock import save_tensors
from edgelm.train.loop.average import Average
from edgelm.train.loop.distributed import fill, whole

TENSORS, FACTS = "tensors.safetensors", "state.json"
Named = Sequence[tuple[str, Optimizer, float]]  # as `optimisers` gives them


@dataclass(frozen=True)
class State:
    """A saved state: its folder, and what is known about it."""

    path: Path
    step: int
    facts: Mapping[str, Any]

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors, on the CPU."""
        return load_file(self.path / TENSORS)


class States:
    """The states of one run below a folder, of which the newest and every marked one are kept.

    Args:
        folder: holds one folder a state.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], *, mark: bool) -> None:
        """Write a state, then drop old ones; a marked one stays.

        Raises:
            NoSpace: the disk is full; older states are untouched.
        """
        path = self._path(step)
        shutil.rmtree(path, ignore_errors=True)  # of the same step, by a run that read less far
        with disk_errors(path), new_folder(path) as partial:
            save_tensors(partial / TENSORS, tensors)
            with (partial / TENSORS).open("rb") as file:
                os.fsync(file.fileno())
            digest = sha256_file(partial / TENSORS)
            write_json(partial / FACTS, {**facts, "step": step, "sha256": digest, "marked": mark})
        unmarked = [state for state in self._all() if not state.facts.get("marked")]
        for old in unmarked[: -self.keep]:
            shutil.rmtree(old.path, ignore_errors=True)

    def forget_after(self, step: int) -> None:
        """Remove what is later than a step, which a run that goes on from there makes anew, and what kills have left.

        Otherwise the end of a longer run would be taken for that of a shorter one.
        """
        for path in (*(state.path for state in self._all() if state.step > step), *self.folder.glob(".step-*")):
            shutil.rmtree(path, ignore_errors=True)

    def newest(self, usable: Callable[[State], bool], note: Callable[[str], object]) -> State | None:
        """The furthest state that is whole and usable; `note` is told of damaged ones."""
        for state in reversed(self._all()):
            if not usable(state):
                continue
            if sha256_file(state.path / TENSORS) == state.facts["sha256"]:
                return state
            note(f"{state.path} is damaged and left out")
        return None

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _all(self) -> list[State]:
        """All states that look whole, by step."""
        found = []
        for path in sorted(self.folder.glob("step-*")):
            try:
                facts = read_json(path / FACTS)
                found.append(State(path, facts["step"], facts))
            except (EdgelmError, KeyError, TypeError):
                continue
        return [state for state in found if (state.path / TENSORS).is_file()]


def snapshot(model: nn.Module, named: Named, average: Average | None = None) -> dict[str, torch.Tensor]:
    """Everything that a run needs to go on, by name and in full, on the CPU; every process must ask."""
    tensors = {f"model.{name}": _copy(parameter.detach()) for name, parameter in model.named_parameters()}
    for name, tensor in (average.tensors if average else {}).items():
        tensors[f"average.{name}"] = _copy(tensor)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for label, optimizer, _ in named:
        for parameter, held in optimizer.state.items():
            for key, value in held.items():
                tensors[f"{label}.{names[id(parameter)]}.{key}"] = _copy(value)
    return tensors


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor on the CPU: one at a time, so that a device holds no more than one whole."""
    return whole(tensor).cpu().contiguous()


def weights(state: State, *, average: bool = False) -> dict[str, torch.Tensor]:
    """The model's tensors in a state, or their average, by the names of its parameters."""
    part = "average." if average else "model."
    return {name.removeprefix(part): tensor for name, tensor in state.tensors().items() if name.startswith(part)}


def restore(model: nn.Module, named: Named, average: Average | None, state: State) -> None:
    """Put a snapshot's tensors back.

    Raises:
        BadOption: it is of another model or another optimiser.
    """
    tensors = state.tensors()
    parameters = dict(model.named_parameters())
    expected = {f"model.{name}" for name in parameters}
    found = {name for name in tensors if name.startswith("model.")}
    if expected != found or any(tensors[f"model.{name}"].shape != each.shape for name, each in parameters.items()):
        raise BadOption(f"{state.path} holds another model", mend="choose another -o, or remove it")
    for name, parameter in parameters.items():
        fill(parameter, tensors.pop(f"model.{name}"))
    for name in parameters:
        kept = tensors.pop(f"average.{name}", None)
        if average and kept is not None:
            fill(average.tensors[name], kept)
    owners = {label: (optimizer, {id(each) for group in optimizer.param_groups for each in group["params"]})
              for label, optimizer, _ in named}  # fmt: skip
    for name, tensor in tensors.items():
        label, _, rest = name.partition(".")
        of, _, key = rest.rpartition(".")
        if label not in owners or of not in parameters or id(parameters[of]) not in owners[label][1]:
            raise BadFile(f"{state.path} holds {name}, which no optimiser of this run has", mend="choose another -o")
        _fill_state(owners[label][0], parameters[of], key, tensor)


def _fill_state(optimizer: Optimizer, parameter: nn.Parameter, key: str, tensor: torch.Tensor) -> None:
    if tensor.ndim == 0:  # AdamW's count of updates, which lives where its kernel reads it
        fused = optimizer.param_groups[0].get("fused")
        optimizer.state[parameter][key] = tensor.to(parameter.device) if fused else tensor
    else:
        held = torch.zeros_like(parameter)
        fill(held, tensor)
        optimizer.state[parameter][key] = held
