"""What OpenCompass 0.3.1 calls our tasks and their subsets in its summary: names, prompt versions, order, groups.

Recomputed with OpenCompass itself; the version is the first six digits of its hash of a data set's inference settings.
"""

from __future__ import annotations

from edgelm.tasks.longbench_subsets import SUBSETS

# BBH's subsets in OpenCompass's order: 17 with choices, then 10 with free answers.
BBH = {
    "temporal_sequences": "e43931", "disambiguation_qa": "d52c61", "date_understanding": "a8000b",
    "tracking_shuffled_objects_three_objects": "7964c0", "penguins_in_a_table": "fceb27", "geometric_shapes": "503c8f",
    "snarks": "42d6ca", "ruin_names": "408de8", "tracking_shuffled_objects_seven_objects": "7964c0",
    "tracking_shuffled_objects_five_objects": "7964c0", "logical_deduction_three_objects": "45ebc5",
    "hyperbaton": "5e5016", "logical_deduction_five_objects": "45ebc5", "logical_deduction_seven_objects": "45ebc5",
    "movie_recommendation": "cc2fde", "salient_translation_error_detection": "5b5f35",
    "reasoning_about_colored_objects": "1cb761", "multistep_arithmetic_two": "30f91e", "navigate": "1576d9",
    "dyck_languages": "805bea", "word_sorting": "9a3f78", "sports_understanding": "d3fa77",
    "boolean_expressions": "612c92", "object_counting": "781e5c", "formal_fallacies": "eada96",
    "causal_judgement": "89eaa4", "web_of_lies": "0c0441",
}  # fmt: skip

LONGBENCH = {
    name: SUBSETS[name].hash for name in (
        "2wikimqa", "hotpotqa", "musique", "multifieldqa_en", "multifieldqa_zh", "narrativeqa", "qasper", "triviaqa",
        "gov_report", "qmsum", "vcsum", "dureader", "lcc", "repobench-p", "passage_retrieval_en",
        "passage_retrieval_zh", "passage_count", "trec", "lsht", "multi_news", "samsum",
    )
}  # fmt: skip
LONGBENCH_CATEGORIES = {
    each.category: tuple(name for name, other in SUBSETS.items() if other.category == each.category)
    for each in SUBSETS.values()
}
_LANGUAGES = {
    f"longbench_{language}": tuple(name for name, each in SUBSETS.items() if f"longbench_{language}" in each.groups)
    for language in ("zh", "en")
}

PARTS = {"bbh": BBH, "longbench": LONGBENCH}  # tasks whose subsets are data sets of their own
# By task: the data set's name (of a task with parts what their names begin with) and version, in the order in which the
# competition's configuration lists them.
DATA_SETS = {
    "commonsenseqa": ("commonsense_qa", "734a22"), "chid-dev": ("chid-dev", "211ee7"), "chid": ("chid-test", "211ee7"),
    "humaneval": ("openai_humaneval", "8e312c"), "bbh": ("bbh-", ""), "gsm8k": ("gsm8k", "1d7fe4"),
    "truthfulqa": ("truthful_qa", "5ddc62"), "longbench": ("LongBench_", ""),
}  # fmt: skip
METRICS = {
    "chid-dev": ("accuracy",), "chid": ("accuracy",), "bbh": ("score",), "commonsenseqa": ("accuracy",),
    "gsm8k": ("accuracy",), "humaneval": ("humaneval_pass@1",), "longbench": ("score",),
    "truthfulqa": ("bleu_max", "bleu_diff", "bleu_acc"),
}  # fmt: skip

# The groups of a task with parts, by name: means of its parts, or of groups before.
GROUPS = {
    "bbh": {"bbh": tuple(BBH)},
    "longbench": {
        **{f"longbench_{name}": parts for name, parts in LONGBENCH_CATEGORIES.items()},
        **_LANGUAGES,
        "longbench": tuple(f"longbench_{name}" for name in LONGBENCH_CATEGORIES),
    },
}

# The benchmarks as people call them.
TITLES = {
    "commonsenseqa": "CommonsenseQA", "bbh": "BIG-Bench Hard", "gsm8k": "GSM8K", "longbench": "LongBench",
    "humaneval": "HumanEval", "chid": "CHID", "chid-dev": "CHID dev", "truthfulqa": "TruthfulQA",
}  # fmt: skip
