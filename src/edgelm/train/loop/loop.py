"""The training loop: batches into a model, update by update, saved and resumed so that a kill changes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgelm.errors import BadOption
from edgelm.files import disk_errors, write_json
from edgelm.train.base import silent
from edgelm.train.loop.average import Average
from edgelm.train.loop.compiling import compile_layers
from edgelm.train.loop.distributed import Spread, World, spread, synchronised, whole
from edgelm.train.loop.held import HeldOut
from edgelm.train.loop.journal import Journal, on_request
from edgelm.train.loop.model import Objective
from edgelm.train.loop.optim import optimisers
from edgelm.train.loop.speed import Meter
from edgelm.train.loop.state import State, States, restore, snapshot
from edgelm.train.rows.batches import Batch, Batches

METRICS, STATES, BAD = "metrics.jsonl", "states", "bad-batch.json"
Told = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Settings:
    """What the loop must know, with everything resolved: counts are updates and rows, rates are peaks."""

    steps: int
    rows: int  # of an update, over all processes
    micro: int  # rows of one pass through the model
    warmup: int
    decay: int
    muon: float
    adamw: float
    wd: float = 0.1
    clip: float = 1.0
    z: float = 0.0
    plain: bool = False  # AdamW for everything
    dtype: torch.dtype = torch.float32
    compile: bool = False
    average: bool = False  # keep the running average of the weights beside them
    save: int = 100
    evaluate: int = 100

    def share(self, update: int) -> float:
        """The share of the peak rates at an update (from 0): up, level, and linearly down to the end."""
        up, down = max(1, self.warmup), max(1, self.decay)
        return min(1.0, (update + 1) / up, (self.steps - update) / down)

    @property
    def level(self) -> range:
        """The updates after which the rates have been level: a run can be prolonged from there."""
        return range(self.warmup, self.steps - self.decay + 1)


@dataclass
class Loop:
    """One stage of training. `run` goes on from the newest state below `folder`, if there is one.

    Args:
        model: its float32 weights are trained in place.
        batches: what is learned.
        held: what is measured and never learned.
        meter: counts tokens a second and what share of the device's peak that is.
        note: told in words what a person should know.
        told: told the metrics of each update.
    """

    model: Any
    batches: Batches
    held: HeldOut
    settings: Settings
    folder: Path
    here: World
    meter: Meter
    how: Spread = "ddp"
    told: Told = lambda metrics: None
    note: Callable[[str], object] = lambda text: None
    _asked: bool = field(default=False, init=False)  # this process to stop
    _stopping: bool = field(default=False, init=False)  # agreed on by all

    def run(self) -> None:
        """Train to the last update.

        Raises:
            BadOption: the loss or its gradient is no number; the last good state stays, the batch is written down.
            NoSpace: the disk is full; the last good state stays.
            SystemExit: (0) after a state was saved, because the process was asked to end.
        """
        self.model.to(self.here.device)
        objective = Objective(self.model, self.settings.z, self.settings.dtype, compiled=self.settings.compile)
        if self.settings.compile:
            compile_layers(objective, self.batches(0, self.settings.micro).to(self.here.device), self.note)
        trained = spread(objective, self.model.model.layers, self.here, self.how, self.settings.dtype)
        named = optimisers(self.model, muon=self.settings.muon, adamw=self.settings.adamw, decay=self.settings.wd,
                           plain=self.settings.plain)  # fmt: skip
        average = Average(self.model) if self.settings.average else None
        states = States(self.folder / STATES)
        start = self._resume(states, named, average)
        journal = Journal(self.folder / METRICS, writes=self.here.first)
        with on_request(self.stop), disk_errors(self.folder), journal.after(start) as log:
            for update in range(start, self.settings.steps):
                metrics = self._update(trained, named, update)
                step = update + 1
                if average:
                    average.update(step)
                if step % self.settings.evaluate == 0 or step == self.settings.steps:
                    metrics |= self._look(trained, average, update)
                log(metrics)
                if self.here.first:
                    self.told(metrics)
                if self._due(step) or self._stopping:
                    journal.sync()
                    self._save(states, named, average, step)
                if self._stopping and step < self.settings.steps:
                    if self.here.first:
                        self.note(f"stopped after update {step}; the same command goes on from there")
                    raise SystemExit(0)

    def stop(self) -> None:
        """End after the next update, with a state saved."""
        self._asked = True

    def _update(self, trained: nn.Module, named: Any, update: int) -> dict[str, Any]:
        """One update of the weights from one batch; what is worth knowing about it."""
        settings, rows = self.settings, self.settings.rows // self.here.size
        first = update * settings.rows
        answers = max(1, self.batches.answers(first, settings.rows))  # rows of nothing but a long question have none
        self.meter.start()
        total = torch.zeros((), device=self.here.device)
        for done in range(0, rows, settings.micro):
            count = min(settings.micro, rows - done)
            batch = self._read(first + self.here.rank * rows + done, count)
            with synchronised(trained, last=done + count == rows):
                loss = trained(batch)
                (loss * (self.here.size / answers)).backward()  # gradients are averaged over processes
            total += loss.detach()
        summed, asked = self.here.total(torch.stack([total, total.new_tensor(self._asked)])).tolist()
        mean, self._stopping = summed / answers, asked > 0  # all processes stop after the same update
        norm = whole(nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)).item()
        if not math.isfinite(mean) or not math.isfinite(norm):
            self._give_up(update)
        share = settings.share(update)
        for _, optimizer, rate in named:
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad()
        return {
            "step": update + 1, "tokens": (update + 1) * settings.rows * self.batches.context, "loss": mean,
            "lr": named[0][2] * share, "grad_norm": norm, **self.meter.stop(settings.rows * self.batches.context),
        }  # fmt: skip

    def _read(self, first: int, count: int) -> Batch:
        began = time.monotonic()
        batch = self.batches(first, count).to(self.here.device)
        self.meter.waited(time.monotonic() - began)
        return batch

    def _look(self, trained: nn.Module, average: Average | None, update: int) -> dict[str, Any]:
        """What the model, and the average of its weights, make of held-out text after an update; at the end, of all."""
        micro, everything = self.settings.micro, update + 1 == self.settings.steps
        fixed = self.settings.compile
        found = {"held": self.held.measure(trained, self.here, micro, everything=everything, fixed=fixed)}
        if average:
            with average.in_place():
                found["held_average"] = self.held.measure(trained, self.here, micro, everything=everything, fixed=fixed)
        if not all(math.isfinite(source["loss"]) for held in found.values() for source in held.values()):
            self._give_up(update)
        return found

    def _give_up(self, update: int) -> None:
        first = update * self.settings.rows
        if self.here.first:
            where = {"step": update + 1, "samples": list(range(first, first + self.settings.rows))}
            write_json(self.folder / BAD, where | {"documents": self.batches.documents(first, self.settings.rows)})
        raise BadOption(f"the loss or its gradient is no number at update {update + 1}",
                        why=f"the weights have blown up; the batch is written down in {self.folder / BAD}",
                        mend="lower muon= or adamw= in another -o; the last good state is kept")  # fmt: skip

    def _due(self, step: int) -> bool:
        """Whether a state is saved: at intervals, at the end of the level part, and at the end of all."""
        return step % self.settings.save == 0 or step in (self.settings.level.stop - 1, self.settings.steps)

    def _save(self, states: States, named: Any, average: Average | None, step: int) -> None:
        tensors = snapshot(self.model, named, average)
        if self.here.first:
            schedule = {"steps": self.settings.steps, "warmup": self.settings.warmup, "decay": self.settings.decay}
            states.save(
                step, tensors, schedule | {"seconds": self.meter.seconds}, mark=step == self.settings.level.stop - 1
            )
        self.here.barrier()

    def _resume(self, states: States, named: Any, average: Average | None) -> int:
        """Put the newest usable state back; the number of updates that it has behind it."""
        state = states.newest(self._usable, self.note if self.here.first else silent)
        start = state.step if state else 0
        if state:
            restore(self.model, named, average, state)
            self.meter.seconds = state.facts["seconds"]
        self.here.barrier()  # all have read what they need
        if self.here.first:
            states.forget_after(start)
            if start:
                self.note(f"going on after update {start}")
        return start

    def _usable(self, state: State) -> bool:
        """Whether a state lies on this run's way: one of another length shares the level part of the schedule only."""
        then = Settings(**{name: state.facts[name] for name in ("steps", "warmup", "decay")},
                        rows=1, micro=1, muon=0, adamw=0)  # fmt: skip
        same = (then.steps, then.warmup, then.decay) == (
            self.settings.steps, self.settings.warmup, self.settings.decay)  # fmt: skip
        return (
            state.step <= self.settings.steps
            if same
            else state.step in then.level and state.step in self.settings.level
        )
