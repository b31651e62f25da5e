"""OpenCompass's names cover our tasks and their subsets, each once."""

from edgelm.evaluate.opencompass_names import BBH, DATA_SETS, GROUPS, LONGBENCH, LONGBENCH_CATEGORIES, METRICS, PARTS
from edgelm.submission import COLUMNS
from edgelm.tasks.bbh import SETS
from edgelm.tasks.longbench_subsets import SUBSETS


def test_every_subset_has_a_name_and_a_version():
    assert tuple(BBH) == SETS and set(LONGBENCH) == set(SUBSETS)
    assert all(len(version) == 6 for versions in PARTS.values() for version in versions.values())


def test_every_subset_is_in_one_category():
    names = [name for category in LONGBENCH_CATEGORIES.values() for name in category]
    assert sorted(names) == sorted(SUBSETS) and len(LONGBENCH_CATEGORIES) == 6


def test_groups_are_means_of_subsets_or_of_groups_before():
    for task, groups in GROUPS.items():
        known = set(PARTS[task])
        for name, parts in groups.items():
            assert set(parts) <= known
            known.add(name)


def test_every_task_of_the_competition_has_a_data_set_and_a_metric():
    assert set(COLUMNS) | {"chid-dev"} == set(DATA_SETS) == set(METRICS)
