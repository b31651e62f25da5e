"""The tasks of a hold-out folder, each with its data: one for every pack and every task file."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, MissingInput
from edgelm.plugins import available
from edgelm.tasks.base import Task
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.kinds import TASKS, CodeTask, Confinement
from edgelm.tasks.holdout.read import read_pack
from edgelm.tasks.holdout.schema import Code
from edgelm.tasks.holdout.task_file import load_task

_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def holdout_tasks(folder: Path, confinement: Confinement = "bubblewrap") -> list[tuple[Task, DataFolder]]:
    """What a folder holds to be asked: its `.toml` and `.json` files are packs, its `.py` files tasks, in their order.

    Args:
        folder: the hold-out; files in folders below it, and `.jsonl` files, are data.
        confinement: what runs the programs of `code` packs.

    Raises:
        MissingInput: there is no such folder, or nothing to be asked in it.
        BadFile: a file in it is not what it should be; nothing of the folder is asked then.
    """
    data = HoldOut(folder)
    return [(_task(data, file, label, confinement), data) for label, file in task_files(data).items()]


def task_files(data: HoldOut) -> dict[str, str]:
    """The file of each task by what the task is called, without reading any.

    Raises:
        MissingInput: there is none.
        BadFile: a file has no name for a task.
    """
    found: dict[str, str] = {}
    for file in data.files:
        if "/" not in file and Path(file).suffix in (".toml", ".json", ".py"):
            found[_label(data, file, found)] = file
    if not found:
        raise MissingInput(f"the hold-out {data.root} has no tasks", mend="write NAME.toml and NAME.jsonl into it")
    return found


def _task(data: HoldOut, file: str, label: str, confinement: Confinement) -> Task:
    if file.endswith(".py"):
        return load_task(data, file, label)
    pack = read_pack(data, file)
    if isinstance(pack, Code):
        return CodeTask(label, file, pack, confinement)
    return TASKS[pack.kind](label, file, pack)


def _label(data: HoldOut, file: str, taken: Collection[str]) -> str:
    """What a file's task is called: its name, which must be free and fit for a file."""
    label = Path(file).stem.replace("_", "-")
    where = data.root / file
    if not _LABEL.fullmatch(label):
        raise BadFile(f"{where} has no name for a task", why="small letters, digits and hyphens make one",
                      mend="rename the file")  # fmt: skip
    if label in taken:
        raise BadFile(f"{where}: there is another task called '{label}' in the hold-out", mend="rename one of them")
    if public := next((name for name in available("tasks") if f"{label}-".startswith(f"{name}-")), None):
        raise BadFile(f"{where}: '{label}' is a name of the public task {public}",
                      why="a report has one score of each name", mend="rename the file")  # fmt: skip
    return label
