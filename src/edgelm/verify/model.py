"""The runs of one model in three fresh processes, and what each test makes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from edgelm.devices.base import require_runnable
from edgelm.devices.prompt import exact_tokens
from edgelm.evaluate.workers import Job
from edgelm.report import Workload
from edgelm.verify.agreement import agreement
from edgelm.verify.counts import exact_counts
from edgelm.verify.hidden import hidden_prompts
from edgelm.verify.perplexity import same_perplexity
from edgelm.verify.probe import Accuracy, Clock, Probe, Throughput, accuracy_run, throughput_run
from edgelm.verify.process import fresh
from edgelm.verify.prompts import timed_prompts
from edgelm.verify.remade import remade
from edgelm.verify.repeated import repeated_prompt
from edgelm.verify.result import Result
from edgelm.verify.seed import Seed
from edgelm.verify.self_agreement import self_agreement
from edgelm.verify.subject import Subject

WEIGHED = 512  # tokens of the fixed text, as far as the context holds them


@dataclass(frozen=True)
class Surroundings:
    """What runs take from outside: what loads a model in a fresh process, a clock, and who is told what is done."""

    start: Callable[[Job], AbstractContextManager[Probe]] = fresh
    now: Clock = time.perf_counter_ns
    say: Callable[[str], object] = lambda text: None


@dataclass(frozen=True)
class Runs:
    """What the three processes gave, and what they ran on."""

    first: Accuracy
    second: Accuracy
    timed: Throughput
    device: str


def run(subject: Subject, seed: Seed, track: str, workload: Workload, around: Surroundings) -> Runs:
    """Ask the drawn questions in two fresh processes, and time a third between the same questions.

    Raises:
        BadOption, Unsupported: the workload does not fit the model, or the engine cannot run it.
    """
    require_runnable(subject.checkpoint, workload)
    shape = subject.checkpoint.shape
    job = Job.of(subject.checkpoint, subject.prompting, subject.engine)
    asked: list[Accuracy] = []
    for number in ("first", "second"):
        around.say(f"{subject.slot}: {len(subject.names)} prompts in a {number} process")
        with around.start(job) as probe:
            text = exact_tokens(probe.tokens, min(WEIGHED, shape.context), shape.vocab)
            asked.append(accuracy_run(probe, subject.units, text))
    around.say(f"{subject.slot}: {2 * workload.repeats} timed runs in a third process, the prompts between them")
    with around.start(job) as probe:
        prompts = timed_prompts(seed, track, probe.tokens, count=workload.repeats + 1, tokens=workload.prompt_tokens,
                                vocab=shape.vocab)  # fmt: skip
        timed = throughput_run(probe, prompts, workload, subject.units, text, around.now)
        return Runs(asked[0], asked[1], timed, probe.device())


def results(subject: Subject, runs: Runs, workload: Workload) -> list[Result]:
    """M-10, the stored answers, M-02 to M-05."""
    names = subject.names
    itself = agreement(runs.first.replies, runs.second.replies, names)
    again = agreement(subject.stored, runs.first.replies, names)
    between = agreement(runs.timed.hidden, runs.first.replies, names)
    timed = runs.timed
    return [
        self_agreement(itself),
        remade(again, itself, same_engine=subject.same_engine),
        hidden_prompts(between, itself),
        repeated_prompt(timed.distinct_ns, timed.repeated_ns),
        exact_counts((*timed.distinct, *timed.repeated), workload, subject.checkpoint.shape.vocab),
        same_perplexity(runs.first.perplexity, timed.perplexity),
    ]
