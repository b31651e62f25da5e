"""The process that measures: `python -m edgelm.devices.child` reads one job from stdin and writes JSON lines to stdout.

It is a process of its own so that memory is counted from nothing: the parent's imports and earlier models neither
count nor hide anything. Lines are `{"progress": [label, done, of]}`, and last `{"result": …}` or `{"error": …}`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

import torch
import transformers

from edgelm.checkpoint import Checkpoint
from edgelm.devices import clock, loading, meters, meters_gpu
from edgelm.devices.base import Measurement, Progress
from edgelm.devices.host import conditions, machine
from edgelm.devices.prediction import bytes_per_decoded_token, predict_memory, roofline
from edgelm.devices.prompt import PASSAGE, bytes_per_token, exact_tokens
from edgelm.devices.rates import copy_rate, matrix_rate
from edgelm.devices.timing import KIT_TOKENS, Repeat, speed_of
from edgelm.errors import InputError
from edgelm.files import sha256_bytes
from edgelm.report import Speed, Workload
from edgelm.stock import is_out_of_memory, load_model, require_known

Between = Callable[[Any, int], object]  # is given the loaded model and the number of the repeat that has ended, from 0


def measure_here(
    checkpoint: Checkpoint, workload: Workload, device: str, dtype: str, threads: int, progress: Progress,
    between: Between = lambda model, number: None, text: str = PASSAGE,
) -> Measurement:  # fmt: skip
    """Measure in this process (see `Local` for the settings).

    Memory peaks are those of the whole process until the first repeat has ended: the others need the same again, and
    what is done between them, untimed, is no part of the workload.
    """
    if threads:
        torch.set_num_threads(threads)
    others = meters_gpu.device_in_use()
    require_known(checkpoint)
    settled = loading.plan(checkpoint, device, dtype)
    on_gpu = settled.device.type == "cuda"
    shape = checkpoint.shape
    encode = loading.tokenizer_of(checkpoint)
    prompt = exact_tokens(encode, workload.prompt_tokens, shape.vocab, text)
    loading.import_architecture(checkpoint)
    before = conditions() | {"threads": torch.get_num_threads()}
    stages = _Stages(progress, workload.repeats + 4)
    runtime = meters_gpu.device_runtime(others) if on_gpu else meters.resident()
    predicted = predict_memory(
        shape, workload, computed=settled.bytes, stored=settled.bytes if on_gpu else settled.stored_bytes,
        runtime=runtime,
    )  # fmt: skip

    with meters.Sampler() as sampler:
        stages.next()
        model = load_model(checkpoint, getattr(torch, settled.dtype), settled.device)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        stages.next()
        clock.run(model, prompt, workload)
    repeats: list[Repeat] = []
    memory: dict[str, int] = {}
    for number in range(workload.repeats):
        stages.next()
        repeats.append(clock.run(model, prompt, workload))
        if not memory:
            memory = {"host-peak": meters.host_peak()} | sampler.peaks
            memory |= meters_gpu.device_peaks(others) if on_gpu else {}
        between(model, number)

    extra: dict[str, Any] = {"conditions": before, "notes": list(settled.notes), "dtype": settled.dtype}
    extra |= {
        "prompt_sha256": sha256_bytes(text.encode()),
        "bytes_per_token": bytes_per_token(encode),
        "memory_over_time": sampler.kept,
    }
    stages.next()
    if shape.context >= KIT_TOKENS:
        long_prompt = exact_tokens(encode, KIT_TOKENS, shape.vocab)
        extra["kit-2024"] = clock.kit_2024(model, long_prompt, workload.repeats)
    del model
    gc.collect()
    stages.next()
    speed = speed_of(workload, f"local:{settled.device.type}", repeats, shape.vocab, **extra)
    speed = speed.model_copy(update={"roofline": _roofline(checkpoint, speed, settled)})
    stages.next()
    gpu = {"gpu": torch.cuda.get_device_name()} if on_gpu else {}
    return Measurement(speed=speed, memory=memory, predicted=predicted, machine=machine() | gpu)


def _roofline(checkpoint: Checkpoint, speed: Speed, settled: loading.Plan) -> dict[str, float]:
    """The machine's rates, and how much of each the model reached."""
    shape, width = checkpoint.shape, settled.bytes
    return roofline(
        speed, shape,
        read=bytes_per_decoded_token(shape, speed.workload, width),
        weights=width * (shape.parameters - (0 if shape.tied else shape.head_parameters)),
        copy=copy_rate(settled.device),
        matrix=matrix_rate(settled.device, getattr(torch, settled.dtype)),
    )  # fmt: skip


class _Stages:
    """Moves the bar on: loading, warming up, the repeats, the kit's figure and the machine's rates are a stage each."""

    def __init__(self, progress: Progress, of: int) -> None:
        self.progress, self.of, self.done = progress, of, 0

    def next(self) -> None:
        self.progress("measuring", self.done, self.of)
        self.done += 1


def main(measure: Callable[..., Measurement] = measure_here) -> None:
    """Do the job on stdin. Whatever libraries print goes to stderr, so that stdout holds our lines alone."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    transformers.logging.set_verbosity_error()
    job = json.load(sys.stdin)
    workload = Workload.model_validate(job.pop("workload"))
    checkpoint = Checkpoint(job.pop("checkpoint"))

    def tell(label: str, done: int, of: int) -> None:
        _write(lines, {"progress": [label, done, of]})

    try:
        measurement = measure(checkpoint, workload, progress=tell, **job)
        _write(lines, {"result": measurement.model_dump(mode="json")})
    except InputError as error:
        kind = type(error).__name__
        _write(lines, {"error": {"kind": kind, "what": error.what, "why": error.why, "mend": error.mend}})
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _write(lines, {"error": {"kind": "out of memory", "why": str(error).partition("\n")[0]}})


def _write(lines: TextIO, value: dict[str, Any]) -> None:
    lines.write(json.dumps(value, allow_nan=False) + "\n")
    lines.flush()


if __name__ == "__main__":
    main()
