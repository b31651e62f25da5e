"""Evaluate what a server has queued, here or on a cluster: submitted models run in a box without network."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import httpx
import typer

from edgelm.cli.console import Data, note
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, MissingInput, Unsupported
from edgelm.files import read_bytes
from edgelm.plugins import parse
from edgelm.rules.base import HOLDOUT, Rules
from edgelm.score.protocols import refusal
from edgelm.server.client import is_open
from edgelm.server.worker.bench import Bench, Secrets
from edgelm.server.worker.boxes import accelerators, kernel
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Limits
from edgelm.server.worker.executors.cluster import Cluster
from edgelm.server.worker.executors.find import find_executor
from edgelm.server.worker.executors.groups import delegated
from edgelm.server.worker.executors.local import WATCHED, Local
from edgelm.server.worker.loop import Stopped, rules_in_force, run, run_several, stops_at_once
from edgelm.server.worker.model_box import find_box
from edgelm.tasks.base import protocol

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
    holdout: Annotated[
        list[Path] | None, typer.Option(help="Sealed hold-out (see `edgelm holdout seal`), as often as there are some.")
    ] = None,
    holdout_key: Annotated[Path | None, typer.Option(help="File with the key that opens them.")] = None,
    seed: Annotated[
        Path | None, typer.Option(help="File with a secret; the order of the questions follows from it.")
    ] = None,
    executor: Annotated[
        str,
        typer.Option(help="Where models run: local, slurm or ray, with options as in slurm:partition=long,cpus=8."),
    ] = "local",
    jobs: Annotated[int, typer.Option(help="How many jobs at once, to fill a cluster.", min=1, max=1000)] = 1,
    once: Annotated[bool, typer.Option("--once", help="End when nothing waits.")] = False,
    cache_gib: Annotated[
        float, typer.Option(help="What fetched packages may take of the disk, as long as jobs hold no more.", min=0)
    ] = 256.0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send the worker's key unencrypted, on a network that you trust.")
    ] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run models with all your rights; such results do not count.")
    ] = False,
) -> None:
    """Evaluate what a server has queued, here or on a cluster: submitted models run in a box without network.

    The box is made by bubblewrap, rootless podman or docker: the first that holds, which is tried at the start by a
    program that attempts to get out; why others were left out is shown. The questions of all tasks are made once
    at the start, too, so that no job fails for lack of data. Where --see names no device files, models see the NVIDIA
    cards in CUDA_VISIBLE_DEVICES, by number, or all of them. A worker that is killed loses nothing: another goes on
    after a minute. One that is asked to end gives its job back.
    """
    if not server.startswith(("http://", "https://")):
        raise BadOption(f"--server {server}", mend="begin with https:// or, on this machine, http://")
    if is_open(server) and not insecure:
        raise BadOption(f"{server} is not encrypted", why="whoever is on the way could read the worker's key",
                        mend="give an address with https://, or, on a network of your own, --insecure")  # fmt: skip
    key = read_bytes(key_file, 1000).decode(errors="replace").strip()
    if not key.isascii() or not key:
        raise MissingInput(f"{key_file} holds no key", mend="ask an administrator for one")
    if holdout and not holdout_key:
        raise BadOption("--holdout without its key", mend="give --holdout-key FILE")
    for file in (*(holdout or ()), *([holdout_key] if holdout_key else []), *([seed] if seed else [])):
        read_bytes(file)
    secrets = Secrets(seed and seed.resolve(), tuple(file.resolve() for file in holdout or ()),
                      holdout_key and holdout_key.resolve())  # fmt: skip
    runs = find_executor(executor)
    if isinstance(runs, Local):
        with contextlib.suppress(Unsupported):  # its watchdog does without
            runs.groups = delegated()
    limits = Limits(seconds=hours * 3600, memory=int(memory_gib * GIB))
    there = isinstance(runs, Cluster) and not see  # the cards are the nodes'
    devices = see or (() if there else accelerators.nvidia())
    box = replace(find_box(unsafe=unsafe_no_sandbox, devices=devices, memory=limits.memory), there=there)
    box = replace(box, facts=box.facts | {"cgroup": runs.capabilities().get("cgroup", WATCHED)})
    for kind, why in box.facts["skipped"].items():
        note(f"no box by {kind}: {why}")
    note(f"box: {box.facts['box']}" + "".join(f"; {name}: {box.facts[name]}" for name in ("cgroup", *kernel.NAMES)
                                                if name in box.facts))  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stops_at_once)
    wide = httpx.Limits(max_connections=2 * jobs + 8)  # each job's own calls, and the signs of its life
    with httpx.Client(base_url=server, headers={"Authorization": f"Bearer {key}"}, timeout=60.0, limits=wide) as http:
        benches = [Bench(Calls(http, say=note), runs, box, folder.resolve(), data.resolve() if data else None, engine,
                         device, limits, secrets, int(cache_gib * GIB)) for _ in range(jobs)]  # fmt: skip
        with contextlib.suppress(Stopped):
            _require_questions(rules_in_force(benches[0].calls, once=once, say=note), data)
            if jobs == 1:
                run(benches[0], tags or (), once=once, say=note)
            else:
                run_several(benches, tags or (), once=once, say=note)


def _require_questions(rules: Rules, data: Path | None) -> None:
    """Make the questions of all public tasks once, so that no job fails for what is not on this machine.

    Raises:
        InputError: some cannot be made, or are others than the rules ask.
    """
    folder = DataFolder(data, offline=True)
    for name in rules.tasks:
        if name != HOLDOUT:
            task = parse("tasks", name)
            if others := refusal(rules, name, protocol(task, folder), organiser=True):
                raise BadOption(f"{name} would not count: it would be {others}", why=f"the data are of {folder.suite}",
                                mend="give the folder with the data of the rules: --data, or EDGELM_DATA")  # fmt: skip
            task.samples(folder)
