"""The timed runs of a loaded model: greedy generation with a cache, and the starting kit's forward pass.

Every reading is of the monotonic clock, in nanoseconds, after the device has finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from edgelm.devices.loading import cache_name, last_logits_only
from edgelm.devices.rates import synchronise
from edgelm.devices.timing import KIT_TOKENS, Repeat
from edgelm.report import Workload

Clock = Callable[[], int]  # nanoseconds


@torch.inference_mode()
def run(model: Any, prompt: Sequence[int], workload: Workload, now: Clock = time.perf_counter_ns) -> Repeat:
    """Run the workload once: greedy, end-of-text ignored, all sequences of the batch with the same prompt.

    The clock starts before the prompt is handed to the device, and a token has arrived when its id is on the host.
    """
    device, keep, name = model.device, last_logits_only(model), cache_name(model)
    arrived: list[int] = []
    ids: list[int] = []
    cache = None
    synchronise(device)
    start = now()
    input_BT = torch.tensor([list(prompt)] * workload.batch, device=device)
    for _ in range(workload.generated_tokens):
        output = model(input_ids=input_BT, use_cache=True, **{name: cache}, **keep)
        cache = getattr(output, name)
        input_BT = output.logits[:, -1:].argmax(dim=-1)
        ids += input_BT[:, 0].tolist()
        synchronise(device)
        arrived.append(now() - start)
    return Repeat(tuple(arrived), tuple(ids), len(prompt))


@torch.inference_mode()
def kit_2024(model: Any, prompt: Sequence[int], repeats: int, now: Clock = time.perf_counter_ns) -> dict[str, Any]:
    """The 2024 starting kit's "inferences a second": 1 / mean seconds of a forward pass over its 2,000 tokens.

    Logits of all positions, as the kit makes them. Two of its faults are mended: the clock is read after the device
    has finished, and a first pass warms up. `unsynchronised` is what the kit's own clock would have said, which is
    read as soon as the work has been handed to the device.
    """
    input_BT = torch.tensor([list(prompt)], device=model.device)
    handed_over = finished = 0
    for number in range(repeats + 1):
        synchronise(model.device)
        start = now()
        model(input_ids=input_BT)
        returned = now()
        synchronise(model.device)
        if number:
            handed_over += returned - start
            finished += now() - start
    return {
        "inferences_per_second": repeats * 1e9 / finished,
        "unsynchronised": repeats * 1e9 / handed_over,
        "tokens": KIT_TOKENS,
        "logits": "of all positions",
    }
