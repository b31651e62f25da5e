"""Headers: spellings that fold to the same, aliases, OpenCompass's names of settings, and strangers."""

import pytest

from edgelm.results.columns import NAMES, column, known
from edgelm.submission import HEADER


@pytest.mark.parametrize("name", HEADER)
@pytest.mark.parametrize("spell", [str, str.upper, str.lower, lambda name: name.replace("-", " "),
                                   lambda name: f" **{name}** ", lambda name: name.replace("-", "_")])  # fmt: skip
def test_canonical_names_in_any_spelling(name, spell):
    assert column(spell(name)) == (name, "")


@pytest.mark.parametrize(("header", "name"), [
    ("bbh_gen", "BIG-Bench-Hard"), ("FewChid_gen", "CHID"), ("commonsenseqa_7shot_cot_gen_734a22", "CommonsenseQA"),
    ("FewCLUE_chid_gen_0a29a2", "CHID"), ("openai_humaneval", "HumanEval"), ("Pruned Model", "Model"),
    ("GPU Memory Usage", "Memory-Usage"), ("truthful_qa", "TruthfulQA"),
])  # fmt: skip
def test_aliases(header, name):
    assert column(header).name == name


@pytest.mark.parametrize(
    "header", ["crowspairs_gen", "MMLU", "chid-dev", "bbh-snarks", "gen", "", "GSM8K" * 100, "Total Params"]
)
def test_strangers(header):
    assert column(header).name == ""


def test_no_alias_means_two_columns():
    assert len(set(NAMES.values())) == len(HEADER)
    assert all(column(alias).name == name for alias, name in NAMES.items())


def test_columns_of_figures_are_counted_once():
    assert known(["Model", "GSM8K", "gsm8k", "bbh", "what"]) == 2
