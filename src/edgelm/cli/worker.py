"""Evaluate what a server has queued, on this machine: submitted models run in a box without network."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Annotated

import httpx
import typer

from edgelm.cli.console import Data, note
from edgelm.errors import BadOption, MissingInput
from edgelm.files import read_bytes
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Limits
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.loop import Stopped, run, stops_at_once
from edgelm.server.worker.model_box import find_box
from edgelm.server.worker.work import Bench

GIB = 2**30


def worker(
    server: Annotated[str, typer.Option(help="Address of the server, such as https://contest.example.org.")],
    key_file: Annotated[Path, typer.Option(help="File with the worker's key, which an administrator made.")],
    folder: Annotated[Path, typer.Option(help="Folder for fetched files and jobs; workers of one host may share it.")],
    tags: Annotated[list[str] | None, typer.Option("--tags", help="What this machine has, such as gpu.")] = None,
    data: Data = None,
    engine: Annotated[str, typer.Option(help="Engine spec that asks the questions.")] = "local",
    device: Annotated[str, typer.Option(help="Device spec whose speed is measured.")] = "local",
    see: Annotated[
        list[str] | None, typer.Option(help="Device file that models see, such as /dev/nvidia0; repeatable.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Longest time of one task.", min=0.001)] = 24.0,
    memory_gib: Annotated[float, typer.Option(help="Most memory of one task, in GiB.", min=0.1)] = 64.0,
    once: Annotated[bool, typer.Option("--once", help="End when nothing waits.")] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run models with all your rights; such results do not count.")
    ] = False,
) -> None:
    """Evaluate what a server has queued, on this machine: submitted models run in a box without network.

    The box is tried first, by a program that attempts to get out. A worker that is killed loses nothing: another goes
    on after a minute. One that is asked to end gives its job back.
    """
    if not server.startswith(("http://", "https://")):
        raise BadOption(f"--server {server}", mend="begin with https:// or, on this machine, http://")
    key = read_bytes(key_file, 1000).decode(errors="replace").strip()
    if not key.isascii() or not key:
        raise MissingInput(f"{key_file} holds no key", mend="ask an administrator for one")
    box = find_box(unsafe=unsafe_no_sandbox, devices=see or ())
    note(f"box: {box.facts['box']}")
    folder.mkdir(parents=True, exist_ok=True)
    limits = Limits(seconds=hours * 3600, memory=int(memory_gib * GIB))
    signal.signal(signal.SIGTERM, stops_at_once)
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {key}"}, timeout=60.0) as http:
        bench = Bench(Calls(http), Local(), box, folder.resolve(), data.resolve() if data else None, engine, device,
                      limits)  # fmt: skip
        with contextlib.suppress(Stopped):
            run(bench, tags or (), once=once, say=note)
