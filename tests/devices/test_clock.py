import inspect
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from edgelm.devices import clock
from edgelm.devices.timing import speed_of
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=12, generated_tokens=6)
PROMPT = list(range(30, 42))


def counted(folder: Path) -> tuple[Any, list[tuple[int, ...]]]:
    """A model, and the shapes of the inputs that its forward passes have seen."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    seen: list[tuple[int, ...]] = []
    forward = model.forward

    def note(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    note.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    model.forward = note.__get__(model)
    return model, seen


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi"])
def test_one_pass_for_the_prompt_one_for_each_further_token_and_the_greedy_tokens(
    family: str, make_checkpoint: Callable[..., Path]
) -> None:
    model, seen = counted(make_checkpoint(family))
    started = time.perf_counter_ns()
    repeat = clock.run(model, PROMPT, WORKLOAD)
    elapsed = time.perf_counter_ns() - started
    assert seen == [(1, 12)] + [(1, 1)] * 5
    assert repeat.is_valid(WORKLOAD, model.config.vocab_size)
    assert list(repeat.arrived_ns) == sorted(repeat.arrived_ns)
    assert 0 < repeat.arrived_ns[0] < repeat.arrived_ns[-1] <= elapsed
    ids = list(PROMPT)
    with torch.inference_mode():
        for _ in range(6):
            ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    assert repeat.ids == tuple(ids[12:])


def test_end_of_text_does_not_end_a_run(make_checkpoint: Callable[..., Path]) -> None:
    model, _ = counted(make_checkpoint("llama"))
    first = clock.run(model, PROMPT, WORKLOAD).ids
    model.config.eos_token_id = model.generation_config.eos_token_id = first[0]
    assert clock.run(model, PROMPT, WORKLOAD).ids == first


def test_a_batch_runs_all_sequences_in_one_pass(make_checkpoint: Callable[..., Path]) -> None:
    model, seen = counted(make_checkpoint("llama"))
    workload = WORKLOAD.model_copy(update={"batch": 3})
    repeat = clock.run(model, PROMPT, workload)
    assert seen == [(3, 12)] + [(3, 1)] * 5
    assert repeat.is_valid(workload, model.config.vocab_size)


class Ticking:
    """A clock and a model that takes known times by it: a prompt `first`, every further token `gap`, in nanoseconds."""

    device = torch.device("cpu")

    def __init__(self, first: int, gap: int) -> None:
        self.first, self.gap, self.time, self.passes = first, gap, 10**15, 0

    def now(self) -> int:
        return self.time

    def forward(self, input_ids: torch.Tensor) -> None:
        """Nothing; its signature is looked at."""

    def __call__(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        self.time += self.first if input_ids.shape[1] > 1 else self.gap
        self.passes += 1
        logits = torch.zeros(input_ids.shape[0], 1, 50)
        return SimpleNamespace(logits=logits, past_key_values="a cache")


def test_known_delays_are_measured_to_the_nanosecond() -> None:
    model = Ticking(first=1_234_567_891, gap=20_000_003)
    repeat = clock.run(model, PROMPT, WORKLOAD, model.now)
    assert repeat.arrived_ns == tuple(1_234_567_891 + 20_000_003 * number for number in range(6))
    speed = speed_of(WORKLOAD, "test", [repeat], vocab=50)
    assert speed.prefill == pytest.approx(12 / 1.234567891, rel=1e-12)
    assert speed.decode == pytest.approx(1 / 0.020000003, rel=1e-12)


def test_the_kits_figure_is_the_inverse_of_the_mean_seconds_without_the_first() -> None:
    class Warming(Ticking):
        def now(self) -> int:
            self.first = {0: 9 * 10**9, 1: 10**9, 2: 2 * 10**9, 3: 3 * 10**9}.get(self.passes, 0)
            return self.time

    model = Warming(0, 0)
    found = clock.kit_2024(model, [1] * 2000, 3, model.now)
    assert model.passes == 4
    assert found["inferences_per_second"] == found["unsynchronised"] == 0.5
    assert (found["tokens"], found["logits"]) == (2000, "of all positions")


def test_the_kits_own_clock_stops_before_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Ticking):
        """Hands work over in 1 ms; the device is done 99 ms later."""

        pending = 0

        def __call__(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
            self.pending += 99_000_000
            return super().__call__(input_ids)

        def finish(self, _: torch.device) -> None:
            self.time, self.pending = self.time + self.pending, 0

    model = Late(1_000_000, 0)
    monkeypatch.setattr(clock, "synchronise", model.finish)
    found = clock.kit_2024(model, [1] * 2000, 3, model.now)
    assert found["inferences_per_second"] == pytest.approx(10)
    assert found["unsynchronised"] == pytest.approx(1000)
