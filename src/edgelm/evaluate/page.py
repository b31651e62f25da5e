"""A report, or the comparison of two, as one HTML page that needs nothing else: no font, no picture from elsewhere.

Everything but the search among the answers works without a script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from edgelm.evaluate.blind import blind
from edgelm.evaluate.browser import embedded, script_json, shorten
from edgelm.evaluate.cautions import cautions
from edgelm.evaluate.compare import Difference, noted, only_in
from edgelm.evaluate.effort import efforts
from edgelm.evaluate.facts import fact, size
from edgelm.evaluate.intervals import Interval, interval
from edgelm.evaluate.opencompass_names import TITLES
from edgelm.evaluate.order import in_order
from edgelm.evaluate.references import REFERENCES, beside
from edgelm.pages import environment
from edgelm.report import FULL_MARK, Answer, Report, TaskScore
from edgelm.tasks.base import Sample

EXAMPLES = 3  # answers a task that are shown without a script: those that earned least
LONGEST, MOST = 2000, 200  # in a comparison: characters of an answer, and changed answers of a task and direction


def report_page(
    report: Report,
    answers: Mapping[str, Sequence[Answer]],
    *,
    samples: Mapping[str, Sequence[Sample]],
    formed: Mapping[str, Fraction] | None = None,
    seconds: Mapping[str, float],
    loading: float = 0,
) -> str:
    """The page of a report; equal input gives equal text.

    Args:
        report: what is shown.
        answers: of every task, in file order.
        samples: the questions and references to show beside the answers, by task; of a hold-out there are none.
        formed: the share of answers in the form that marks need, in percent, by task; as far as known.
        seconds: how long each task took, as far as known.
        loading: seconds that loading the checkpoint took.

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    report = report.model_copy(update={"tasks": {task: report.tasks[task] for task in in_order(report.tasks)}})
    answers = {task: answers[task] for task in in_order(answers)}
    took = efforts(answers, seconds, report.context)
    data, shortened = embedded(answers, samples)
    held = {task: against for task, score in report.tasks.items() if (against := blind(task, score))}
    published = {task: beside(task, score) for task, score in report.tasks.items()}
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            titles=TITLES,
            intervals={task: interval(score, answers[task]) for task, score in report.tasks.items()},
            formed=formed or {},
            held=held,
            published=published,
            references=[each for each in REFERENCES if any(each.name in scores for scores in published.values())],
            cautions=cautions(report, took),
            efforts=took,
            loading=loading,
            examples={task: _examples(own) for task, own in answers.items()},
            makers={task: _maker(score) for task, score in report.tasks.items()},
            engines=_settings(report, lambda score: {"asked as": score.prompting, **score.engine}),
            sandboxes=_settings(report, lambda score: score.conditions),
            data=script_json(data),
            shortened=shortened,
            full=FULL_MARK,
        )
    )


def comparison_page(a: Report, b: Report, differences: Iterable[Difference]) -> str:
    """The page of a comparison.

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    template = _environment().get_template("comparison.html.jinja")
    differences = list(differences)
    said = [f"Only in {name}: {_names(tasks)}" for name, tasks in (("A", only_in(a, b)), ("B", only_in(b, a))) if tasks]
    said += [f"{_names(tasks)}: {text}" for text, tasks in noted(differences).items()]
    return template.render(a=a, b=b, differences=differences, cautions=said, titles=TITLES, longest=LONGEST, most=MOST)


def _environment() -> Any:
    return environment(__file__, one, two, whole, size, millions, span, signed, clock, shorten)


def _examples(answers: Sequence[Answer]) -> list[Answer]:
    marked = [answer for answer in answers if answer.mark is not None and answer.mark < FULL_MARK]
    return sorted(marked, key=lambda answer: answer.mark or 0)[:EXAMPLES]


def _names(tasks: Iterable[str]) -> str:
    return ", ".join(TITLES.get(task, task) for task in tasks)


def _maker(score: TaskScore) -> str:
    """Which engine made the answers, in which numbers and where."""
    return " · ".join(str(score.engine[name]) for name in ("engine", "dtype", "device") if score.engine.get(name))


def _settings(report: Report, facts_of: Callable[[TaskScore], Mapping[str, Any]]) -> list[tuple[str, dict[str, str]]]:
    """Facts of the scores with the names of their tasks; tasks that share all of them stand together."""
    groups: dict[str, tuple[list[str], dict[str, str]]] = {}
    for task, score in report.tasks.items():
        if written := {name: fact(name, value) for name, value in facts_of(score).items()}:
            groups.setdefault(repr(written), ([], written))[0].append(task)
    return [(_names(tasks), written) for tasks, written in groups.values()]


# How figures are written.


def one(value: float) -> str:
    """One decimal."""
    return f"{float(value):.1f}"


def two(value: float) -> str:
    """Two decimals."""
    return f"{float(value):.2f}"


def whole(value: int) -> str:
    """A whole number with thin spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def signed(value: float) -> str:
    """Two decimals with a true sign."""
    return f"{value:+.2f}".replace("-", "−")


def millions(value: int) -> str:
    """A number of parameters or tokens in billions, millions or thousands."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if value >= unit:
            return f"{value / unit:.3g} {name}" if value < 1000 * unit else f"{value / unit:.0f} {name}"
    return str(value)


def span(value: Interval | None) -> str:
    """From – to, or a dash."""
    return f"{value.low:.1f} – {value.high:.1f}" if value else "–"


def clock(seconds: float) -> str:
    """Seconds, minutes and seconds, or hours and minutes."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
