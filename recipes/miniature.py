"""The whole journey on one page: train a small model, compress it three ways, and hold a competition between them.

    python recipes/miniature.py out/demo

Everything is generated or made here; the network is not used. Each stage makes one folder and is skipped when the
folder is there, so an interrupted run goes on where it stopped. Remove the output folder to start afresh.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer

from edgelm.check.run import check
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import emit_table, note, progress
from edgelm.cli.score import show_board
from edgelm.compress.fallback import find_texts
from edgelm.compress.run import compress
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write as write_suite
from edgelm.deploy.base import deploy
from edgelm.evaluate.run import evaluate
from edgelm.evaluate.views import PAGE, write_views
from edgelm.measure import measure
from edgelm.pack import Entry, pack
from edgelm.plugins import parse
from edgelm.report import REPORT, Report, Workload
from edgelm.score.publish import publish
from edgelm.train.run import train

TEAMS = {  # what each team does to the base
    "Shallow": ("depth:drop=1",),
    "Narrow": ("width:ffn=192",),
    "Slim": ("depth:drop=1", "width:ffn=256"),
}
TASKS = {"gsm8k": "about 0", "commonsenseqa": "20", "chid": "14.3"}  # and what guessing scores, in percent
RULES = parse("rules", "miniature")
CALIBRATION = 4096  # tokens
TRACK, SLOT = "compression", "base"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for everything.")],
    training: Annotated[
        list[str] | None, typer.Option("--train", help="Training steps other than the defaults.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Test rows of each task.")] = 100,
) -> None:
    """Run the miniature competition, from random weights to the leaderboard page."""
    torch.set_num_threads(1)  # more gain nothing on a model this small, and would change its bytes
    make_base(out, training or [], rows)
    for team, steps in TEAMS.items():
        compress_base(out, team, steps)
    for name in ("base", *map(str.lower, TEAMS)):
        report_on(out, name)
    for team in TEAMS:
        submit(out, team)
    hold(out)


def make_base(out: Path, training: list[str], rows: int) -> None:
    """The miniature suite, and a model trained on its text from random weights."""
    if not (data := out / "data").exists():
        with timed("generate the miniature suite"):
            write_suite(data, rows=rows)
    if not (base := out / "base").exists():
        with timed("train the base from random weights"), progress() as bar:
            train([parse("train", spec) for spec in training], data, base, bar)


def compress_base(out: Path, team: str, steps: tuple[str, ...]) -> None:
    """A team's smaller model, calibrated on the training text."""
    if not (small := out / team.lower()).exists():
        with timed(f"{team}: compress by {' '.join(steps)}"), progress() as bar:
            recipe = [parse("compress", spec) for spec in steps]
            texts = find_texts([], DataFolder(out / "data"))
            compress(Checkpoint(out / "base"), recipe, small, texts=texts, tokens=CALIBRATION, progress=bar)


def report_on(out: Path, name: str) -> None:
    """What a model scores, and how fast and large it is here."""
    model, scores, speed = Checkpoint(out / name), out / f"{name}-scores", out / f"{name}-speed"
    if not (scores / REPORT).exists():
        with timed(f"evaluate {name}"), progress() as bar:
            data = DataFolder(out / "data")
            tasks = [(parse("tasks", task), data) for task in TASKS]
            evaluate(model, tasks, parse("engines", "local"), scores, progress=bar)
            write_views(scores, {task.label: task.samples(data) for task, data in tasks})
    if not speed.exists():
        with timed(f"measure {name}"), progress() as bar:
            workload = Workload(
                prompt_tokens=RULES.prompt_tokens, generated_tokens=RULES.generated_tokens, repeats=RULES.repeats
            )
            measure(model, parse("devices", "local"), workload, speed, bar)


def submit(out: Path, team: str) -> None:
    """A team's submission: its model with both reports and the file for the phone, checked."""
    name = team.lower()
    model, bundle, package = out / name, out / f"{name}-bundle", out / f"{name}-submission"
    if not bundle.exists():
        with timed(f"{team}: export to GGUF"):
            deploy(Checkpoint(model), parse("deploy", "gguf"), bundle)
    if not package.exists():
        with timed(f"{team}: pack and check"):
            entry = Entry(model, (out / f"{name}-scores", out / f"{name}-speed"), bundle)
            title, contact = " ".join(TEAMS[team]), f"{name}@example.org"
            pack({SLOT: entry}, team=team, track=TRACK, rules=RULES, out=package, title=title, contact=contact)
    refused = [finding for finding in check(package, RULES) if finding.severity == "E"]
    assert not refused, refused


def hold(out: Path) -> None:
    """Score the submissions, and show the standings and what the base could do."""
    base = Report.load(out / "base-scores") | Report.load(out / "base-speed")
    board = out / "leaderboard"
    packages = [out / f"{team.lower()}-submission" for team in TEAMS]
    shutil.rmtree(board, ignore_errors=True)  # made anew each time: it costs seconds
    (standing,) = publish(RULES, packages, board, reference={SLOT: base})
    rows = [(task, f"{float(base.tasks[task].score):.1f}", chance) for task, chance in TASKS.items()]
    emit_table(("task", ">base, %", ">guessing, %"), rows, title="\nThe base, trained from scratch")
    show_board(standing)
    note(f"\nThe page: {board / TRACK / 'index.html'}")
    note(f"Every answer: {out / 'base-scores' / PAGE}, and so for {', '.join(map(str.lower, TEAMS))}")


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    note(f"{what} …")
    start = time.monotonic()
    yield
    note(f"        {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    typer.run(main)
