from types import SimpleNamespace
from typing import Any

import pytest

from edgelm.devices.base import require_runnable
from edgelm.errors import BadOption, Unsupported
from edgelm.report import Workload


def checkpoint(context: int) -> Any:
    return SimpleNamespace(shape=SimpleNamespace(context=context))


def test_a_workload_as_long_as_the_context_runs_and_one_longer_does_not() -> None:
    require_runnable(checkpoint(256), Workload(prompt_tokens=192, generated_tokens=64))
    with pytest.raises(Unsupported, match=r"257 positions .*the model has 256") as caught:
        require_runnable(checkpoint(256), Workload(prompt_tokens=192, generated_tokens=65))
    assert "--prompt-tokens and --generated-tokens to 256 together" in caught.value.mend


@pytest.mark.parametrize("field", ["prompt_tokens", "generated_tokens", "batch", "repeats"])
def test_counts_that_leave_nothing_to_time_are_refused(field: str) -> None:
    counts = {"prompt_tokens": 8, "generated_tokens": 8, field: 0}
    with pytest.raises(BadOption, match=f"--{field.replace('_', '-')} is 0"):
        require_runnable(checkpoint(256), Workload(**counts))
