"""The engine that a report names, as far as its words are trusted."""

from __future__ import annotations

from typing import Any

import pytest

from edgelm.engines.hf import HF
from edgelm.engines.local import Local
from edgelm.errors import Unsupported
from edgelm.verify.engine import engine_like

SOUND = {"engine": "hf", "batch": 4, "dtype": "float32", "device": "cuda", "truncate": "room", "torch": "1"}


def test_settings_that_change_answers_are_taken_over_and_the_device_is_the_one_here() -> None:
    assert engine_like(SOUND) == HF(batch=4, dtype="float32", truncate="room")
    assert engine_like(SOUND | {"engine": "local"}) == Local(batch=4, dtype="float32", truncate="room")


def test_code_of_a_checkpoint_is_not_run_because_its_report_says_so() -> None:
    assert engine_like(SOUND | {"code": True}) == engine_like(SOUND)


@pytest.mark.parametrize("changed", [
    {"engine": "vllm"}, {"engine": "hf:code=true"}, {"engine": ["hf"]}, {"batch": 10**9}, {"batch": 0}, {"batch": True},
    {"batch": "4,code=true"}, {"dtype": "float32,code=true"}, {"dtype": None}, {"truncate": "middle"},
])  # fmt: skip
def test_anything_else_is_refused_with_the_option_to_give(changed: dict[str, Any]) -> None:
    with pytest.raises(Unsupported) as refused:
        engine_like(SOUND | changed)
    assert "--engine" in refused.value.mend
