"""Quality against size: which points the page's plots have, and what each step cost for what it gained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_lowercase

from edgelm.compress.page.bars import figure, four
from edgelm.compress.page.facts import Done, Facts
from edgelm.compress.page.parts import Quality
from edgelm.compress.page.plot import Kind, Point, Scale, plot
from edgelm.train.costs.figures import short

BASE = "base"
_LOST = 1e6  # a perplexity above which there is no model left, and no room for the others


@dataclass(frozen=True)
class Plot:
    """A plot of the page."""

    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True)
class Bargain:
    """What a step cost for what it gained, in words; what the card does not say is empty."""

    mark: str
    step: str
    parameters: str
    perplexity: str
    kl: str


def plots(facts: Facts) -> list[Plot]:
    """Perplexity and KL; a plot with no two points to compare is left out."""
    size, base = facts.shape.before.parameters, facts.perplexity_base
    steps = _judged(map(str, count(1)), facts.own)
    perplexities = [
        *(_point(mark, f"{step}, before this run", parameters, quality.perplexity, "perplexity", "earlier")
          for mark, step, parameters, quality in _earlier(facts)),
        *([] if base is None else [_point(BASE, "", size, base, "perplexity")]),
        *(_point(mark, step, parameters, quality.perplexity, "perplexity")
          for mark, step, parameters, quality in steps),
    ]  # fmt: skip
    kls = [
        *_candidates(facts), _point(BASE, "", size, 0.0, "KL"),
        *(_point(mark, step, parameters, quality.kl, "KL") for mark, step, parameters, quality in steps),
    ]  # fmt: skip
    return [*_drawn("Perplexity against parameters", perplexities, steep=True),
            *_drawn("KL from the base against parameters", kls, nought=True)]  # fmt: skip


def bargains(facts: Facts) -> list[Bargain]:
    """What each step of this run changed, behind those of earlier runs whose quality the card knows."""
    made = [Bargain(mark, step, short(parameters), four(quality.perplexity), "")
            for mark, step, parameters, quality in _earlier(facts)]  # fmt: skip
    size, quality = facts.shape.before.parameters, Quality(perplexity=facts.perplexity_base or math.nan, kl=0.0)
    before: tuple[int | None, Quality | None] = (size, quality)
    for number, done in enumerate(facts.own, start=1):
        made.append(Bargain(str(number), done.step, *_changed(*before, done.parameters, done.quality)))
        before = (done.parameters, done.quality)
    return made


def _changed(size: int | None, was: Quality | None, new_size: int | None, now: Quality | None) -> tuple[str, str, str]:
    """Parameters, perplexity and KL, each against what it was."""
    parameters = "" if size is None or new_size is None else _signed(f"{100 * (new_size / size - 1):+.1f} %")
    if was is None or now is None:
        return parameters, "", ""
    perplexity = "" if math.isnan(was.perplexity) else f"× {four(now.perplexity / was.perplexity)}"
    return parameters, perplexity, _signed(f"{now.kl - was.kl:+.2g}")


def _signed(number: str) -> str:
    """With a minus as long as a plus, and no sign before a nought."""
    return number[1:] if float(number.rstrip(" %")) == 0 else number.replace("-", "−", 1)


Judged = tuple[str, str, int, Quality]  # mark, step, parameters, quality


def _judged(marks: Iterable[str], steps: Iterable[Done]) -> list[Judged]:
    """The steps whose size and quality the card knows."""
    return [(mark, done.step, done.parameters, done.quality)
            for mark, done in zip(marks, steps, strict=False) if done.parameters and done.quality]  # fmt: skip


def _earlier(facts: Facts) -> list[Judged]:
    """The last steps before this run, as far as there are letters for them; what the very last left is the base."""
    known = [done for done in facts.earlier[:-1] if done.parameters and done.quality]
    return _judged(ascii_lowercase, known[-len(ascii_lowercase) :])


def _candidates(facts: Facts) -> list[Point]:
    """What a full search has built and measured."""
    return [Point("", f"{each.recipe}, untrained: {short(each.parameters)} parameters, KL {figure(each.kl)}",
                  each.parameters, each.kl, "other")
            for each in (facts.search.alternatives if facts.search else []) if each.kl is not None]  # fmt: skip


def _point(mark: str, step: str, parameters: int, value: float, what: str, kind: Kind = "step") -> Point:
    said = f"{f'{mark} {step}'.strip()}: {short(parameters)} parameters, {what} {figure(value)}"
    return Point(mark, said, parameters, value, kind)


def _drawn(title: str, points: Sequence[Point], *, nought: bool = False, steep: bool = False) -> list[Plot]:
    shown = [point for point in points if point.y <= _LOST]  # not those that are NaN either
    if sum(point.kind == "step" for point in shown) < 2:
        return []
    scale = Scale.of([point.y for point in shown], nought=nought, steep=steep)
    notes = ["logarithmic"] * scale.logarithmic + [f"without what is above {short(_LOST)}"] * (len(shown) < len(points))
    return [Plot(title, plot(title, shown, scale, figure), ", ".join(notes))]
