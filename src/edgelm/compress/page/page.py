"""A compression's report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

All of it comes from the card, so that the page of any compressed checkpoint can be made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.costs import phone
from edgelm.compress.costs.exports import Exports
from edgelm.compress.page.bars import bars, figure
from edgelm.compress.page.facts import Done, Facts, facts_of
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
    seconds: float | None = None


def page(card: Card) -> str:
    """The page; equal input gives equal text.

    Raises:
        MissingInput: the card is not one of a compressed checkpoint.
        BadFile: a field of it is wrong.
        MissingPackage: jinja2 is not installed.
    """
    facts = facts_of(card)
    template = environment(__file__, clock, figure, four, short, size, whole).get_template("report.html.jinja")
    return template.render(
        facts=facts,
        reserve=phone.RESERVE,
        dimensions=_dimensions(facts),
        rows=_rows(facts),
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


def _dimensions(facts: Facts) -> list[tuple[str, int, int]]:
    """Name, before, after."""
    before, after = facts.shape.before.model_dump(), facts.shape.after.model_dump()
    return [(title, before[name], after[name]) for name, title in _DIMENSIONS.items()]


def _rows(facts: Facts) -> list[Row]:
    """The model as it was, and after each step; after the last it is as the run has measured it."""
    made = [Row("before", facts.shape.before.parameters, perplexity=facts.quality.perplexity_base)]
    for number, done in enumerate(facts.own, start=1):
        last = number == len(facts.own)
        quality = done.quality or (facts.quality if last else None)
        made.append(Row(
            done.step,
            facts.shape.after.parameters if last else done.parameters,
            facts.tensor_bytes if last else done.bytes,
            quality.perplexity if quality else None, quality.kl if quality else None, done.seconds,
        ))  # fmt: skip
    return made


def _charts(done: Done) -> list[Chart]:
    made = []
    for name, values in done.by_layer():
        title = _TITLES.get(name, name.replace("_", " "))
        marked = _marked(done, values) if name == "scores" else []
        made.append(Chart(title, bars(title, values, marked), sum(values) / len(values), "dropped" if marked else ""))
    return made


def _marked(done: Done, values: Sequence[float]) -> list[int]:
    """Dropped layers; where scores are of blocks, by the layer that each begins with, the one that was dropped."""
    return done.dropped[:1] if "score=angle" in done.step else [layer for layer in done.dropped if layer < len(values)]


# How figures are written.


def whole(value: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def four(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"
