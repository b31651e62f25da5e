"""One process or many: what `torchrun` started, and how a model is spread over it (DDP or FSDP2)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from edgelm.errors import BadOption, Unsupported

Spread = Literal["ddp", "fsdp"]
PATIENCE = timedelta(hours=24)  # the others wait while the first process prepares the text


@dataclass(frozen=True)
class World:
    """The processes that train together: this one's number, how many there are, and the device it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """What torch calls the device."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()

    def told(self, value: Any) -> Any:
        """What the first process says."""
        said = [value]
        if self.size > 1:
            dist.broadcast_object_list(said)
        return said[0]

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value


@contextlib.contextmanager
def world(device: str = "auto") -> Iterator[World]:
    """The world that `torchrun` describes in the environment; one process if it was not used.

    Args:
        device: `cpu`, `cuda`, or `auto`: a GPU if torch sees one.

    Raises:
        BadOption: there is no such device.
        Unsupported: more processes on this host than it has GPUs.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadOption(f"there is no device '{device}'", mend="cpu, cuda or auto")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadOption("torch sees no GPU", mend="--device cpu, or install a torch build with CUDA")
    use_gpu = device != "cpu" and torch.cuda.is_available()
    rank, size, local = (int(os.environ.get(name, default)) for name, default in
                         (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")))  # fmt: skip
    if use_gpu and local >= torch.cuda.device_count():
        raise Unsupported(f"process {local} of this host has no GPU", why=f"torch sees {torch.cuda.device_count()}",
                          mend="a smaller --nproc-per-node")  # fmt: skip
    where = torch.device("cuda", local) if use_gpu else torch.device("cpu")
    if use_gpu:
        torch.cuda.set_device(where)
    if size > 1:
        dist.init_process_group("nccl" if use_gpu else "gloo", timeout=PATIENCE)
    try:
        yield World(rank, size, where)
    finally:
        if size > 1:
            dist.destroy_process_group()


def spread(objective: nn.Module, layers: nn.ModuleList, here: World, how: Spread, dtype: torch.dtype) -> nn.Module:
    """The module whose gradients are the mean over all processes; itself in a world of one.

    With `fsdp` each process keeps a share of every tensor and gathers a layer while it computes in it, in `dtype`.
    """
    if how == "fsdp":
        mesh = dist.init_device_mesh(here.device.type, (here.size,))
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        for layer in layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(objective, mesh=mesh, mp_policy=policy)
        return objective
    if here.size > 1:
        return DistributedDataParallel(objective, gradient_as_bucket_view=True)
    return objective


@contextlib.contextmanager
def synchronised(module: nn.Module, last: bool) -> Iterator[None]:
    """Add gradients of passes up without exchanging them, but for the last pass of an update.

    Gradients that are shared out (FSDP2) are exchanged each time: whole ones would take the memory that was saved.
    """
    if isinstance(module, DistributedDataParallel) and not last:
        with module.no_sync():
            yield
    else:
        yield


def settle(module: nn.Module) -> None:
    """Let each process go back to its share after passes without a backward one, which would have done it."""
    if isinstance(module, FSDPModule):
        module.reshard()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor of which each process may hold a share; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def fill(target: torch.Tensor, full: torch.Tensor, source: int | None = None) -> None:
    """Write all of a tensor into one of which each process may hold a share.

    `source` is the process that has the values; None if every one has them.
    """
    with torch.no_grad():
        if isinstance(target, DTensor):
            full = distribute_tensor(
                full.to(target.device), target.device_mesh, target.placements, src_data_rank=source
            )
        target.copy_(full)
