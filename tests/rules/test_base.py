"""What the rule sets pin is what the tasks here are."""

from dataclasses import replace

import pytest

from edgelm.errors import BadOption
from edgelm.plugins import available, parse
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024


@pytest.mark.parametrize("name", sorted(available("tasks")))
def test_the_official_rules_pin_the_version_of_every_task_that_can_be_asked(name):
    task = parse("tasks", name)
    assert Neurips2024().protocol(task.label) == f"opencompass-0.3.1/{task.version}"


def test_what_is_not_pinned_has_no_protocol():
    assert Neurips2024().protocol("gsm") is None
    assert Miniature().protocol("gsm8k") is None
    assert parse("rules", "miniature:versions=gsm8k-ece68579").protocol("gsm8k") == "miniature-1/gsm8k-ece68579"


def test_a_task_of_another_suite_can_be_pinned_and_the_first_pin_counts():
    pins = "holdout/night-watch-1a2b3c4d+ceval-exam/ceval-00112233+ceval-5f30c7"
    rules = parse("rules", f"neurips-2024:holdouts=night-watch+ceval,versions={pins}")
    assert rules.protocol("night-watch") == "holdout/night-watch-1a2b3c4d"
    assert rules.protocol("ceval") == "ceval-exam/ceval-00112233"
    assert rules.protocol("night") is None


def test_rules_that_count_other_versions_are_other_rules():
    assert parse("rules", "neurips-2024:versions=gsm8k-1d7fe4").digest != Neurips2024().digest


@pytest.mark.parametrize("field", ["repeats", "batch", "places", "board_ranks"])
def test_a_number_by_which_nothing_could_be_ranked_is_refused(field):
    for value in (0, -1):
        with pytest.raises(BadOption, match=f"{field}={value}"):
            replace(Miniature(), **{field: value})
    with pytest.raises(BadOption, match=f"{field}=0"):
        parse("rules", f"neurips-2024:{field}=0")
    assert getattr(parse("rules", f"neurips-2024:{field}=1"), field) == 1


def test_a_base_is_accepted_for_its_slot_by_name_and_digest():
    rules = parse("rules", "neurips-2024:bases=phi-2/microsoft/phi-2+qwen-7b/Qwen/Qwen2-7B@0a1b")
    assert rules.accepted("phi-2") == (("microsoft/phi-2", ""),)
    assert rules.accepted("qwen-7b") == (("Qwen/Qwen2-7B", "0a1b"),)
    assert rules.accepted("llama-3-8b") == ()
    with pytest.raises(BadOption, match="bases=phi/phi-2"):
        parse("rules", "neurips-2024:bases=phi/phi-2")


def test_both_readings_of_the_published_rules_are_accepted():
    names = [base.name for base in Neurips2024().accepted("llama-3-8b")]
    assert {"meta-llama/Meta-Llama-3-8B", "meta-llama/Llama-3.1-8B-Instruct"} <= {*names}
