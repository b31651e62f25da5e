"""The seven benchmarks: those that a run asks if none is named, and those whose questions its page can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edgelm.data.folder import DataFolder
from edgelm.errors import InputError, MissingInput, Offline, Unsupported
from edgelm.plugins import parse
from edgelm.report import Report
from edgelm.tasks.base import Sample, Task, protocol

TASKS = ("commonsenseqa", "bbh", "gsm8k", "longbench", "humaneval", "truthfulqa", "chid")  # asked if none are named
SHOWN = (*TASKS, "chid:split=dev", *(f"{name}:scorer=fixed" for name in TASKS))  # their labels are known beforehand
Asked = list[tuple[Task, DataFolder]]
Say = Callable[[str], object]


def at_hand(data: DataFolder, say: Say, *, marked: bool = True) -> Asked:
    """The benchmarks without those whose data or sandbox cannot be had: nobody asked for these by name.

    Args:
        data: where the rows come from; what is missing is fetched if it may be.
        say: told what is left out, and what can be done.
        marked: whether answers are marked here, which a shard may leave to another machine.

    Raises:
        MissingInput, Offline: there are no data for any of them.
        Unsupported: those of HumanEval alone are here, and no sandbox.
    """
    found: Asked = []
    absent: list[InputError] = []
    for spec in TASKS:
        task = parse("tasks", spec)
        try:
            for name in task.files(data):
                data.path(name)
        except (MissingInput, Offline) as error:
            absent.append(error)
            say(f"{spec} is left out: {error.what}; name it with --task to see how to get its data")
        else:
            found.append((task, data))
    if not found:
        raise absent[0]
    return _markable(found, say) if marked else found


def reported(report: Report, data: DataFolder, say: Say) -> Asked:
    """Those of the benchmarks that a report has and that can be marked here."""
    if left := sorted(report.tasks.keys() - set(TASKS)):
        say(f"left as they are: {', '.join(left)}; name them with --task to score them anew")
    return _markable([(parse("tasks", spec), data) for spec in TASKS if spec in report.tasks], say)


def _markable(tasks: Asked, say: Say) -> Asked:
    """The tasks without those whose programs nothing here can confine.

    Raises:
        Unsupported: there are no others.
    """
    found: Asked = []
    for task, data in tasks:
        try:
            task.conditions()
        except Unsupported as error:
            if len(tasks) == 1:
                raise
            say(f"{task.label} is left out: {error.what}; {error.mend} (-t {task.label}:sandbox=none); "
                f"-t {task.label} asks for it by name")  # fmt: skip
        else:
            found.append((task, data))
    return found


def by_label(asked: Iterable[Task] = ()) -> dict[str, Task]:
    """The benchmarks that a page can show, and the tasks asked, by their labels."""
    return {task.label: task for task in (*(parse("tasks", spec) for spec in SHOWN), *asked)}


def questions_of(report: Report, asked: Asked, data: DataFolder) -> Mapping[str, Sequence[Sample]]:
    """The questions and references of a report's tasks, by task: of those asked now, and of every benchmark that it has
    from earlier runs, if the rows at hand are those that were asked. Nothing is fetched for it, and of hold-outs there
    are none unless `asked` has them.
    """
    samples = {task.label: task.samples(own) for task, own in asked if task.label in report.tasks}
    here = DataFolder(data.root, offline=True)
    for label, task in by_label().items():
        score = report.tasks.get(label)
        if score is None or label in samples:
            continue
        try:
            if protocol(task, here) == score.protocol:
                samples[label] = task.samples(here)
        except InputError:  # its data is elsewhere, and the page does without
            continue
    return samples
