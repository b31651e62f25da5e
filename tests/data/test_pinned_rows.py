import pytest

from edgelm.data.pinned_rows import pinned_rows
from edgelm.tasks.longbench_subsets import SUBSETS

OFFICIAL = {"commonsenseqa": 1221, "bbh": 6511, "gsm8k": 1319, "longbench": 4750, "humaneval": 164, "truthfulqa": 817,
            "chid": 2002, "mmlu": 14042}  # fmt: skip


@pytest.mark.parametrize(("task", "rows"), OFFICIAL.items())
def test_rows_are_known_by_protocols_of_the_official_suite_alone(task, rows):
    assert pinned_rows(task, f"opencompass-0.3.1/{task}-1") == rows
    assert pinned_rows(task, f"miniature-1/{task}-1") is None


def test_nothing_is_known_of_other_tasks():
    assert pinned_rows("night-watch", "opencompass-0.3.1/night-watch-1") is None


def test_longbench_has_the_subsets_whose_rows_are_counted():
    assert len(SUBSETS) == 18 + 1 + 2
