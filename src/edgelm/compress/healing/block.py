"""Healing layer by layer: each learns to give what the base has at its place, from what the healed ones before it give.

    min Σ_t ‖f′_l(x̂_l) − x_{l+1}‖² / ‖x_{l+1}‖²

x is the base's stream, in the model's coordinates where that is narrower, and x̂ that behind the layers healed so far.
Where layers are left out, the one before them learns to do their work as well. One layer is in memory at a time, with
its gradients and Adam's two moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.healing.lessons import lessons
from edgelm.compress.healing.loop import learn
from edgelm.compress.maths.hidden_saved import seen_by
from edgelm.compress.stream.layer import Layer, Passage, turned
from edgelm.compress.stream.model import Model
from edgelm.errors import Unsupported
from edgelm.files import read_json, write_json

if TYPE_CHECKING:
    from edgelm.compress.heal import Heal


def heal_layers(
    model: Model, teacher: Model, text: Sequence[Tokens], how: Heal, lr: float, progress: Progress
) -> list[list[float]]:
    """Heal every layer of the model, and write it; the loss of each update, layer by layer.

    A layer that an earlier, interrupted run has written is taken from there.

    Args:
        model: what is healed.
        teacher: see `teacher_of`.
        text: sequences, of which every layer learns; their states are in memory.
        how: tokens, batch and seed.
        lr: Adam's rate at its peak.
        progress: told how many layers are done.

    Raises:
        Unsupported: the model is narrower than its base, and no basis says how.
    """
    if model.config["hidden_size"] != teacher.config["hidden_size"] and not model.bases:
        raise Unsupported("heal:method=block does not know how this model was made narrower than its base",
                          why="the two are compared behind every layer", mend="give method=full or lora")  # fmt: skip
    seen = seen_by(model.bases, model.device)
    target, stream = Stream.of(teacher, text), Stream.of(model, text)
    curves: list[list[float]] = []
    for number, stop in enumerate([*model.kept[1:], teacher.layers]):  # what the next layer read in the base
        progress("heal: layers", number, model.layers)
        target.run_to(stop)
        order = lessons(text, how.tokens, how.batch, f"{how.seed}/{number}")
        curves.append(heal_layer(model, number, stream.passages, target.passages, order, lr, seen=seen))
        stream.run_to(number + 1)
    return curves


def heal_layer(
    model: Model, number: int, given: Sequence[Passage], wanted: Sequence[Passage], order: Sequence[Sequence[int]],
    lr: float, told: Callable[[int], object] = lambda update: None,
    seen: Callable[[Tensor], Tensor] = lambda x_TD: x_TD,
) -> list[float]:  # fmt: skip
    """Let one layer learn to make of `given` what is `wanted`, and write it; the loss of each update.

    If an earlier, interrupted run has written it, it is taken from there.

    Args:
        model: whose layer learns.
        number: which one.
        given: the sequences before it.
        wanted: as they shall be behind it.
        order: the sequences of each update.
        lr: Adam's rate at its peak.
        told: told how many updates are behind.
        seen: makes of a wanted stream that in the model's coordinates.
    """
    assert model.folder is not None
    said = model.folder / f"layer-{number:05}.json"
    if said.is_file():
        model.adopt(said.with_suffix(".safetensors"))
    else:
        tensors, curve = _healed(model, number, given, wanted, order, lr, told, seen)
        model.put_layer(number, tensors)
        write_json(said, curve)
    losses: list[float] = read_json(said)
    return losses


class Stream:
    """All sequences on their way through one model.

    Args:
        model: whose layers they pass.
        passages: the sequences.
        behind: layers that they have passed.
    """

    def __init__(self, model: Model, passages: Sequence[Passage], behind: int = 0) -> None:
        self.model, self.passages, self.behind = model, list(passages), behind

    @classmethod
    def of(cls, model: Model, text: Sequence[Tokens]) -> Stream:
        """Sequences before the first layer."""
        return cls(model, [model.enter(tokens) for tokens in text])

    def run_to(self, stop: int) -> None:
        """Run the layers before `stop`, as they are by now."""
        for number in range(self.behind, stop):
            layer = self.model.layer(number)
            for place, passage in enumerate(self.passages):
                self.passages[place] = layer.run(passage)
        self.behind = stop


class _Learner(Layer):
    """A layer that learns."""

    @property
    def module(self) -> nn.Module:
        """The stock layer, whose parameters are learned."""
        return self._module.requires_grad_(True)


def _healed(
    model: Model, number: int, given: Sequence[Passage], wanted: Sequence[Passage], order: Sequence[Sequence[int]],
    lr: float, told: Callable[[int], object], seen: Callable[[Tensor], Tensor],
) -> tuple[dict[str, Any], list[float]]:  # fmt: skip
    """A layer's tensors after learning to make of `given` what is `wanted`, and the loss of each update."""
    layer = _Learner(model.config, number, model.layer_tensors(number))

    def passes(lesson: Sequence[int]) -> Iterator[Tensor]:
        tokens = sum(len(given[place].x_TD) for place in lesson)
        for place in lesson:
            goal_TD = seen(wanted[place].x_TD.to(layer.device))
            yield relative_error(layer.output(given[place]), goal_TD) / tokens

    losses = learn(layer.module, order, passes, lr, told)
    learned = {name: parameter.detach() for name, parameter in layer.module.named_parameters()}
    return turned(model.config, learned), losses


def relative_error(made_TD: Tensor, wanted_TD: Tensor) -> Tensor:
    """The squared distance of each token by the square of what is wanted, summed: all tokens count alike.

    Even the first, whose activations are orders of magnitude larger, and which the others must go on finding so.
    """
    return ((made_TD - wanted_TD).square().sum(-1) / wanted_TD.square().sum(-1).clamp_min(1e-30)).sum()
