"""A compression's report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

All of it comes from the card, so that the page of any compressed checkpoint can be made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.costs import phone
from edgelm.compress.page.bars import bars, figure, four
from edgelm.compress.page.facts import Done, Facts, facts_of
from edgelm.compress.page.parts import Healing
from edgelm.compress.page.points import bargains, plots
from edgelm.deploy.accepts import Exports
from edgelm.files import write_bytes
from edgelm.pages import environment
from edgelm.train.costs.figures import clock, short, size

REPORT = "report.html"
_DIMENSIONS = {"layers": "Layers", "width": "Width", "ffn": "Feed-forward", "heads": "Query heads",
               "kv_heads": "Key/value heads", "vocab": "Vocabulary", "parameters": "Parameters"}  # fmt: skip
_TITLES = {
    "scores": "How far each layer turns the stream",
    "error": "Error of what each layer writes, relative",
    "error_merged": "The same before the output matrix was fitted",
    "key_error": "Energy of the keys that is lost, relative",
    "value_error": "Energy of the values that is lost, relative",
    "ffn error": "Error of what each feed-forward writes, relative",
    "hidden error": "How far the narrowed stream is from the base’s behind each layer, relative",
    "heads error": "Error of what each attention writes, relative",
    "loss_first": "Loss of each layer before training",
    "loss_last": "Loss of each layer after training",
}


@dataclass(frozen=True)
class Chart:
    """A chart of the page."""

    title: str
    svg: str
    mean: float
    marked: str = ""  # what the marked bars are


@dataclass(frozen=True)
class Row:
    """The model before the run, or after one of its steps; what the card does not say is None."""

    step: str
    parameters: int | None
    bytes: int | None = None
    perplexity: float | None = None
    kl: float | None = None
    expected: float | None = None  # times as fast as before, by what is read for a token
    measured: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Trained:
    """How a step trained, in figures."""

    step: str
    healing: Healing
    updates: int
    first: float  # loss, in the mean of the layers
    last: float


def page(card: Card) -> str:
    """The page; equal input gives equal text.

    Raises:
        MissingInput: the card is not one of a compressed checkpoint.
        BadFile: a field of it is wrong.
        MissingPackage: jinja2 is not installed.
    """
    facts = facts_of(card)
    template = environment(__file__, clock, figure, four, short, size, times, whole).get_template("report.html.jinja")
    return template.render(
        facts=facts,
        reserve=phone.RESERVE,
        dimensions=_dimensions(facts),
        rows=_rows(facts),
        plots=plots(facts),
        bargains=bargains(facts),
        trained=_trained(facts),
        speed=next((done.speed for done in reversed(facts.own) if done.speed), None),
        charts=[(done.step, charts) for done in facts.own if (charts := _charts(done))],
        programs=Exports(**facts.forecast.exports.model_dump()).rows() if facts.forecast else [],
    )


def write(checkpoint: Checkpoint) -> Path:
    """Write the page into a compressed checkpoint's folder; where it is. The checkpoint's digest stays.

    Raises:
        MissingInput, BadFile, MissingPackage: see `page`.
        NoSpace: the disk is full.
    """
    path = checkpoint.path / REPORT
    write_bytes(path, page(checkpoint.card).encode())
    return path


def add_search(checkpoint: Checkpoint, found: Mapping[str, Any]) -> None:
    """Say on a compressed checkpoint's card, and on its page, what the search found that its recipe comes from.

    Raises:
        MissingInput, BadFile, MissingPackage, NoSpace: see `write`.
    """
    checkpoint.write_card(checkpoint.card.model_copy(update={"search": dict(found)}))
    write(checkpoint)


def _dimensions(facts: Facts) -> list[tuple[str, int, int]]:
    """Name, before, after."""
    before, after = facts.shape.before.model_dump(), facts.shape.after.model_dump()
    return [(title, before[name], after[name]) for name, title in _DIMENSIONS.items()]


def _rows(facts: Facts) -> list[Row]:
    """The model as it was, and after each step."""
    made = [Row("before", facts.shape.before.parameters, perplexity=facts.perplexity_original)]
    for done in facts.own:
        quality = done.quality
        made.append(Row(
            done.step, done.parameters, done.bytes,
            quality.perplexity if quality else None, quality.kl if quality else None,
            facts.forecast.read_base / done.read if facts.forecast and done.read else None,
            done.speed.decode.faster if done.speed else None, done.seconds,
        ))  # fmt: skip
    return made


def _trained(facts: Facts) -> list[Trained]:
    return [Trained(done.step, healing, sum(healing.updates), _mean(healing.loss_first), _mean(healing.loss_last))
            for done in facts.own if (healing := done.healing)]  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def _charts(done: Done) -> list[Chart]:
    made = []
    for name, values in done.by_layer():
        title = _title(done, name)
        marked = _marked(done, values) if name == "scores" else []
        svg = bars(title, values, marked, done.repaired)
        made.append(Chart(title, svg, sum(values) / len(values), "dropped" if marked else ""))
    return made


def _title(done: Done, name: str) -> str:
    if name == "scores" and "score=kl" in done.step:
        return "KL from the base without each layer, nats a token"
    if name == "error" and done.step.startswith("repair"):
        return "How far the stream is from the base’s behind each layer that was repaired, relative"
    return _TITLES.get(name, name.replace("_", " "))


def _marked(done: Done, values: Sequence[float]) -> list[int]:
    """Dropped layers; where scores are of blocks, by the layer that each begins with, the one that was dropped."""
    if "score=angle" in done.step:
        return [layer - ("replace=" in done.step) for layer in done.dropped[:1]]  # the one that stands for it is in it
    return [layer for layer in done.dropped if layer < len(values)]


# How figures are written.


def whole(value: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def times(value: float) -> str:
    """How many times as fast."""
    return f"{value:.2f}×"
