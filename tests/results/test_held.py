"""What results files are held against, from the rules."""

from edgelm.results.held import expected
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024


def test_the_rules_say_tasks_versions_samples_and_limit():
    held = expected(Neurips2024(), ["model"])
    assert held.tasks == ("commonsenseqa", "bbh", "gsm8k", "longbench", "humaneval", "chid", "truthfulqa")
    assert held.versions["gsm8k"] == "1d7fe4" and held.versions["truthfulqa"] == "5ddc62"
    assert (held.samples["humaneval"], held.limit) == (164, 12 * 2**30)


def test_another_suite_pins_neither_samples_nor_versions():
    held = expected(Miniature(), ["base"])
    assert (held.tasks, held.versions, held.samples) == (("commonsenseqa", "gsm8k", "chid"), {}, {})
