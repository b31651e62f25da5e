"""Measure a bundle through its runner, wherever that runs: the same workload and figures as for a checkpoint.

All times are the runner's own readings of its monotonic clock, so that no transport between it and us is counted. Our
clock is read as well: what it says can only be longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from edgelm.bundle import Bundle
from edgelm.devices.base import Measurement, Progress, require_runnable
from edgelm.devices.model_file import Stored, read_stored
from edgelm.devices.prediction import bytes_per_token_of, predict_bundle, roofline
from edgelm.devices.prompt import SHA256, bytes_per_token, exact_tokens
from edgelm.devices.timing import KIT_TOKENS, Repeat, speed_of
from edgelm.errors import EdgelmError, InputError, MissingInput, Unsupported
from edgelm.native.runner import Rates, Runner
from edgelm.report import Speed, Workload

RATES_SECONDS = 1.0  # spent on the machine's rates
_CLOCKS_APART = 0.02  # share by which two clocks may differ


def positions(workload: Workload) -> int:
    """The context to start a runner with."""
    return workload.prompt_tokens + workload.generated_tokens


def require_bundle_runnable(bundle: Bundle, workload: Workload) -> None:
    """Refuse what no runner can measure, before anything is sent or started.

    Raises:
        BadOption, Unsupported: see `require_runnable`; or more than one sequence is asked for.
        MissingInput: the bundle has no GGUF file.
    """
    require_runnable(bundle, workload)
    if workload.batch != 1:
        raise Unsupported(
            f"a bundle is measured with one sequence, not {workload.batch}",
            why="the runner answers one question at a time",
            mend="take rules whose batch is 1",
        )
    if not bundle.model.is_file():
        raise MissingInput(f"{bundle.model} is missing", why="the bundle's list has it", mend="make the bundle anew")


def measured(
    runner: Runner, bundle: Bundle, workload: Workload, device: str, progress: Progress, *,
    conditions: Mapping[str, Any], machine: Mapping[str, Any], memory: Callable[[], Mapping[str, int]],
    warmed: Callable[[], object] = lambda: None,
) -> Measurement:  # fmt: skip
    """What a started runner makes of the workload.

    Args:
        runner: with the bundle's model, and a context of at least `positions(workload)`.
        bundle: for its shape and what is stored.
        workload: is run once to warm up, then as often as it says.
        device: named in the report.
        progress: is told of stages.
        conditions: that may disturb a measurement started now.
        machine: that the runner is on.
        memory: peak bytes by meter, asked after the repeats.
        warmed: is called after the warm-up: what samples the runner's memory should stop then.

    Raises:
        Unsupported: no repeat is valid, or the memory is too small.
        EdgelmError: the runner ended before the repeats were done; what it cannot tell after them is a note.
    """
    shape, stored = bundle.shape, read_stored(bundle.model)
    predicted = predict_bundle(shape, stored, positions(workload))
    ready, stages = runner.ready, iter(range(workload.repeats + 3))

    def next_stage() -> None:
        progress("measuring", next(stages), workload.repeats + 3)

    next_stage()
    prompt = exact_tokens(runner.tokenize, workload.prompt_tokens, shape.vocab)
    density = bytes_per_token(runner.tokenize)
    _run(runner, prompt, workload)
    warmed()
    repeats, seen_ns = [], []
    for _ in range(workload.repeats):
        next_stage()
        start = time.monotonic_ns()
        repeats.append(_run(runner, prompt, workload))
        seen_ns.append(time.monotonic_ns() - start)
    beside = _Beside(_ahead(repeats, seen_ns))
    read = beside.found("memory", lambda: dict(memory())).get("memory", {})
    peaks = {meter: peak for meter, peak in read.items() if peak > 0}
    next_stage()
    extra: dict[str, Any] = {
        "conditions": {**conditions, "threads": ready.threads}, "seen_ns": seen_ns,
        "dtype": next(iter(stored.values), ""),
        "engine": f"runner {ready.runner}, llama.cpp {ready.llama_cpp}", "load_ns": ready.load_ns,
        "prompt_sha256": SHA256, "bytes_per_token": density,
    }  # fmt: skip
    if shape.context > KIT_TOKENS and ready.context > KIT_TOKENS:
        extra |= beside.found("kit-2024", lambda: _kit_2024(runner, shape.vocab, workload))
    next_stage()
    speed = speed_of(workload, device, repeats, shape.vocab, **extra)
    more = beside.found("roofline", lambda: roofline_of(runner.rates(RATES_SECONDS), bundle, stored, speed))
    speed = speed.model_copy(update={**more, "notes": beside.notes})
    progress("measuring", workload.repeats + 3, workload.repeats + 3)
    return Measurement(speed=speed, memory=peaks, predicted=predicted, machine=dict(machine))


def _run(runner: Runner, prompt: list[int], workload: Workload) -> Repeat:
    done = runner.generate(prompt, workload.generated_tokens, ignore_end=True)
    return Repeat(tuple(done.arrived_ns), tuple(done.ids), done.prompt_tokens)


def _ahead(repeats: list[Repeat], seen_ns: list[int]) -> list[str]:
    """A note if the runner says that more time went by than did here: its clock cannot be trusted then."""
    ratio = max(
        repeat.arrived_ns[-1] / seen if repeat.arrived_ns else 0 for repeat, seen in zip(repeats, seen_ns, strict=True)
    )
    return [f"the device's clock went {ratio:.2f} times as fast as ours"] if ratio > 1 + _CLOCKS_APART else []


def _kit_2024(runner: Runner, vocab: int, workload: Workload) -> dict[str, Any]:
    """The starting kit's figure: forward passes over 2,000 tokens, timed by the runner until the first token is there.

    The runner computes the logits of the last position alone; the kit's model computed those of all.
    """
    prompt = exact_tokens(runner.tokenize, KIT_TOKENS, vocab)
    times = [runner.generate(prompt, 1, ignore_end=True).arrived_ns[0] for _ in range(workload.repeats)]
    return {"inferences_per_second": len(times) * 1e9 / sum(times), "tokens": KIT_TOKENS,
            "logits": "of the last position"}  # fmt: skip


def roofline_of(rates: Rates, bundle: Bundle, stored: Stored, speed: Speed) -> dict[str, float]:
    """The rates that the runner told, and what share of each the bundle's model reached; see `roofline`."""
    return roofline(
        speed, bundle.shape, read=bytes_per_token_of(bundle.shape, stored, speed.workload),
        weights=stored.bytes - stored.looked_up, copy=rates.copy_bytes_per_second,
        matrix=rates.matrix_operations_per_second,
    ) | {"read_bytes_per_second": rates.read_bytes_per_second}  # fmt: skip


class _Beside:
    """Figures beside the speed: one that there cannot be becomes a note, as the repeats are not lost for that."""

    def __init__(self, notes: list[str]) -> None:
        self.notes, self._ended = notes, False

    def found(self, name: str, figure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The figure by its name; nothing if it cannot be measured, or the runner has ended."""
        if self._ended:
            self.notes.append(f"{name} was not measured: the runner had ended")
            return {}
        try:
            return {name: figure()}
        except EdgelmError as error:
            self._ended = not isinstance(error, InputError)
            why = f", {error.why.partition(':')[0]}" if self._ended and error.why else ""
            self.notes.append(f"{name} could not be measured: {error.what}{why}")
            return {}
