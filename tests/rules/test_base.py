"""What the rule sets pin is what the tasks here are."""

import pytest

from edgelm.plugins import available, parse
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024


@pytest.mark.parametrize("name", sorted(available("tasks")))
def test_the_official_rules_pin_the_version_of_every_task_that_can_be_asked(name):
    task = parse("tasks", name)
    assert Neurips2024().version(task.label) == task.version


def test_what_is_not_pinned_has_no_version():
    assert Neurips2024().version("gsm") is None
    assert Miniature().version("gsm8k") is None
    assert parse("rules", "miniature:versions=gsm8k-ece68579").version("gsm8k") == "gsm8k-ece68579"


def test_rules_that_count_other_versions_are_other_rules():
    assert parse("rules", "neurips-2024:versions=gsm8k-1d7fe4").digest != Neurips2024().digest
