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


def test_the_kits_figure_is_the_inverse_of_the_mean_seconds_without_the_first() -> None:
    waits = iter([0.2, 0.01, 0.02, 0.03])
    seen = []

    def forward(input_ids: torch.Tensor) -> None:
        seen.append(tuple(input_ids.shape))
        time.sleep(next(waits))

    class Slow(SimpleNamespace):
        def __call__(self, input_ids: torch.Tensor) -> None:
            forward(input_ids)

    figure = clock.kit_2024(Slow(device=torch.device("cpu")), [1] * 2000, repeats=3)
    assert seen == [(1, 2000)] * 4
    assert 10 < figure <= 50
