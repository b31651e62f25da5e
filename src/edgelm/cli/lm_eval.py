"""Run any task of lm-eval on one of our engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, Out, emit_json, emit_table
from edgelm.errors import BadOption, MissingPackage, Offline, Unsupported
from edgelm.files import write_bytes, write_json
from edgelm.folders import new_folder
from edgelm.plugins import parse


def lm_eval(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Out,
    task: Annotated[list[str], typer.Option("--task", "-t", help="lm-eval's name of a task or group.")],
    engine: Annotated[str, typer.Option(help="Engine spec: local or hf.")] = "local:truncate=room",
    include: Annotated[Path | None, typer.Option(help="Folder of further task files, in lm-eval's format.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(help="Exemplars; as the task says by default.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first rows of each task.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the checkpoint's chat template.")] = False,
    gen_kwargs: Annotated[str | None, typer.Option(help="Settings of answers, such as max_gen_toks=64.")] = None,
    json: Json = False,
) -> None:
    """Run any task of lm-eval on one of our engines.

    OUT holds results.json as lm-eval makes it, and samples/TASK.jsonl. The scores are lm-eval's, by its own prompts:
    they are not those of the competition.
    """
    try:
        import lm_eval as harness
        from lm_eval.tasks import TaskManager

        from edgelm.bridges.lm_eval import SessionLM
        from edgelm.bridges.lm_eval_output import errors_alone
    except ImportError as error:
        raise MissingPackage(error.name or "lm_eval", "lm-eval") from None
    with errors_alone():
        manager = TaskManager(include_path=str(include) if include else None)
        if unknown := [name for name in task if not manager.match_tasks([name])]:
            raise BadOption(f"lm-eval has no task '{unknown[0]}'", mend="see `lm-eval ls tasks`, or name --include")
        with new_folder(out) as folder, parse("engines", engine).open(Checkpoint(model), "base") as session:
            if not hasattr(session, "weigh"):
                raise Unsupported(f"the engine {engine} has no model at hand", mend="use --engine local or hf")
            try:
                found = harness.simple_evaluate(
                    SessionLM(session), tasks=task, num_fewshot=num_fewshot, limit=limit, apply_chat_template=chat,
                    gen_kwargs=gen_kwargs, task_manager=manager, bootstrap_iters=1000,
                )  # fmt: skip
            except (ConnectionError, FileNotFoundError) as error:  # what `datasets` says of data that it cannot get
                raise Offline(
                    f"the data of {', '.join(task)} cannot be had", why=" ".join(str(error).split()),
                    mend="run it once with a network, or give --include a task over local files",
                ) from None  # fmt: skip
            _write(folder, found)
    if json:
        emit_json(found["results"])
    else:
        emit_table(("task", "metric", ">value"), _rows(found["results"]))


def _write(folder: Path, found: dict[str, Any]) -> None:
    """Results and samples; what is no JSON value is written as text."""
    import json

    samples = found.pop("samples", {})
    for name, rows in samples.items():
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        write_bytes(folder / "samples" / f"{name}.jsonl", "".join(line + "\n" for line in lines).encode())
    write_json(folder / "results.json", json.loads(json.dumps(found, default=str)))


def _rows(results: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (name, metric.removesuffix(",none"), f"{value:.4f}")
        for name, figures in results.items() for metric, value in figures.items() if isinstance(value, float)
    ]  # fmt: skip
