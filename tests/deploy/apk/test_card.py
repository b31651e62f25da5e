"""What the app measures with a context of any size."""

from __future__ import annotations

import pytest

from edgelm.deploy.apk.card import workload_of
from edgelm.rules.neurips_2024 import Neurips2024


def test_the_rules_workload_where_it_fits() -> None:
    rules = Neurips2024()
    expected = {"prompt_tokens": rules.prompt_tokens, "generated_tokens": rules.generated_tokens,
                "repeats": rules.repeats, "whole": True}  # fmt: skip
    assert workload_of(2000) == workload_of(131072) == expected


@pytest.mark.parametrize("context", [3, 64, 512, 1999])
def test_a_shorter_context_is_filled_in_the_same_proportion(context: int) -> None:
    work = workload_of(context)
    assert not work["whole"]
    assert work["prompt_tokens"] + work["generated_tokens"] == context
    assert work["generated_tokens"] >= 2
    if context >= 64:
        assert work["prompt_tokens"] / work["generated_tokens"] == pytest.approx(3, rel=0.02)
