"""The optimisers: Muon for the matrices inside layers, AdamW for the embedding and the norms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from edgelm.train.loop.distributed import fill

# Newton–Schulz coefficients of the quintic iteration (Keller Jordan, https://kellerjordan.github.io/posts/muon):
# steep at zero, so that five rounds bring singular values from 0.01 up to about one.
ROUNDS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)


def orthogonal(matrices_SRC: torch.Tensor) -> torch.Tensor:
    """Each matrix of a stack (S, R, C) with all its singular values brought near 1 (about 0.7 to 1.2).

    In bfloat16 on a GPU, where it is enough and fast; in float32 on a CPU, where many have no fast bfloat16.
    """
    a, b, c = COEFFICIENTS
    x = matrices_SRC.bfloat16() if matrices_SRC.is_cuda else matrices_SRC.float()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices_SRC.dtype)


class Muon(Optimizer):
    """Momentum whose updates are orthogonalised (arXiv 2502.16982: scaled to AdamW's size, decoupled weight decay).

    torch's own Muon takes matrices one by one and whole. Here those of a shape go through the products as one stack,
    which is dealt out over the processes: each orthogonalises its part, and hands it to the others. Where each holds
    a share of every matrix (FSDP2), a matrix is gathered first, and shares of it are handed back.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.1) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                directions = [self._direction(parameter, group["momentum"]) for parameter in parameters]
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                for parameter, update in zip(parameters, _orthogonalised(directions), strict=True):
                    parameter.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-rate)

    def _direction(self, parameter: nn.Parameter, momentum: float) -> torch.Tensor:
        """Nesterov's look ahead: the gradient and the momentum that it has become part of."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        moving = state["momentum"].mul_(momentum).add_(parameter.grad)
        return parameter.grad.add(moving, alpha=momentum)


def _orthogonalised(directions: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    if isinstance(directions[0], DTensor):
        return _from_shares(directions)
    stack_SRC = torch.stack(list(directions))
    size = dist.get_world_size() if dist.is_initialized() else 1
    if size == 1:
        return orthogonal(stack_SRC).unbind()
    padded_SRC = torch.cat([stack_SRC, stack_SRC.new_zeros(-len(stack_SRC) % size, *stack_SRC.shape[1:])])
    parts = padded_SRC.chunk(size)
    dist.all_gather(list(parts), orthogonal(parts[dist.get_rank()]).contiguous())
    return padded_SRC[: len(stack_SRC)].unbind()


def _from_shares(directions: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    """The same for matrices of which each process holds a share."""
    rank, size = dist.get_rank(), dist.get_world_size()
    gathered = [direction.full_tensor() for direction in directions]  # type: ignore[attr-defined]
    mine = orthogonal(torch.stack(gathered[rank::size])).unbind() if gathered[rank::size] else ()
    for number, whole in enumerate(mine):
        gathered[rank + number * size] = whole
    updates = [torch.empty_like(direction) for direction in directions]
    for number, (update, whole) in enumerate(zip(updates, gathered, strict=True)):
        fill(update, whole, source=number % size)
    return updates


def optimisers(
    model: Any, *, muon: float, adamw: float, decay: float, plain: bool = False
) -> list[tuple[str, Optimizer, float]]:
    """The optimisers that together hold every parameter once, each with its name and peak rate.

    `plain` leaves all to AdamW at the rate `adamw`, as a peer to compare with; matrices then decay too.
    """
    inside = [parameter for parameter in model.model.layers.parameters() if parameter.ndim == 2]
    held = {id(parameter) for parameter in inside}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in held]
    fused = rest[0].is_cuda
    adam = {"lr": adamw, "betas": (0.9, 0.95), "eps": 1e-8, "fused": fused}
    if plain:
        groups = [{"params": inside, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        return [("adamw", torch.optim.AdamW(groups, **adam), adamw)]
    return [
        ("muon", Muon(inside, muon, decay=decay), muon),
        ("adamw", torch.optim.AdamW(rest, weight_decay=0.0, **adam), adamw),
    ]
