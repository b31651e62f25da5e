"""A task file of a hold-out: a Python file with a class of its own name, run because the organiser put it there."""

from __future__ import annotations

import sys
import types
from typing import Any

from edgelm.errors import BadFile, EdgelmError
from edgelm.tasks.base import Task
from edgelm.tasks.holdout.folder import HoldOut

PARTS = ("version", "max_tokens", "stop", "files", "samples", "score", "score_all", "aggregate", "figures",
         "conditions")  # fmt: skip


def load_task(data: HoldOut, file: str, label: str) -> Task:
    """The task that a file defines, with the defaults of its options. It goes by the file's name.

    Nothing is written beside the file, so that loading it leaves the folder as it was published.

    Raises:
        BadFile: it does not run, defines no class of its own name, or one that is no task.
    """
    where = data.root / file
    module = types.ModuleType(f"edgelm_holdout_{label.replace('-', '_')}")
    module.__file__ = str(where)
    sys.modules[module.__name__] = module  # dataclasses look their own module up
    try:
        exec(compile(data.read(file), where, "exec"), vars(module))
        task = _of_name(module, file, where)()
    except EdgelmError:
        raise
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _last_line(error, str(where))
        raise BadFile(f"{where} does not load", why=f"{type(error).__name__}: {error} (line {line})",
                      mend="mend the file; edgelm holdout check tries it") from error  # fmt: skip
    missing = [part for part in ("label", *PARTS) if not hasattr(task, part)]
    if missing:
        raise BadFile(f"{where}: the class is no task", why=f"it lacks {', '.join(missing)}",
                      mend="derive it from edgelm.tasks.base.Benchmark")  # fmt: skip
    if task.label != label:
        raise BadFile(f"{where}: its label is '{task.label}'", why="a task of a hold-out goes by its file's name",
                      mend=f'write label = "{label}", or rename the file')  # fmt: skip
    return task


def _of_name(module: types.ModuleType, file: str, where: object) -> Any:
    wanted = file.removesuffix(".py").replace("_", "").casefold()
    for name, value in vars(module).items():
        own = isinstance(value, type) and value.__module__ == module.__name__
        if own and name.replace("_", "").casefold() == wanted:
            return value
    raise BadFile(f"{where} defines no class of its own name", mend="name the task's class like the file")


def _last_line(error: Exception, where: str) -> int | None:
    """The line of the file that was running when the error came."""
    line, trace = None, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == where:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
