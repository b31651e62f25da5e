"""What OpenCompass 0.3.1 calls our tasks and their subsets in its summary: names, prompt versions, order, groups.

Recomputed with OpenCompass itself; the version is the first six digits of its hash of a data set's inference settings.
"""

from __future__ import annotations

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
    "2wikimqa": "6b3efc", "hotpotqa": "6b3efc", "musique": "6b3efc", "multifieldqa_en": "d3838e",
    "multifieldqa_zh": "e9a7ef", "narrativeqa": "a68305", "qasper": "6b3efc", "triviaqa": "d30cb9",
    "gov_report": "54c5b0", "qmsum": "d33331", "vcsum": "f7a8ac", "dureader": "c6c7e4", "lcc": "6ba507",
    "repobench-p": "6df953", "passage_retrieval_en": "734db5", "passage_retrieval_zh": "01cca2",
    "passage_count": "dcdaab", "trec": "824187", "lsht": "e8a339", "multi_news": "6f9da9", "samsum": "f4416d",
}  # fmt: skip

LONGBENCH_CATEGORIES = {
    "single-document-qa": ("narrativeqa", "qasper", "multifieldqa_en", "multifieldqa_zh"),
    "multi-document-qa": ("hotpotqa", "2wikimqa", "musique", "dureader"),
    "summarization": ("gov_report", "qmsum", "multi_news", "vcsum"),
    "few-shot-learning": ("trec", "triviaqa", "samsum", "lsht"),
    "synthetic-tasks": ("passage_count", "passage_retrieval_en", "passage_retrieval_zh"),
    "code-completion": ("lcc", "repobench-p"),
}
# Two further groups; the code subsets belong to both.
LONGBENCH_LANGUAGES = {
    "zh": ("multifieldqa_zh", "dureader", "vcsum", "lsht", "passage_retrieval_zh", "lcc", "repobench-p"),
    "en": (
        "narrativeqa", "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "musique", "gov_report", "qmsum",
        "multi_news", "trec", "triviaqa", "samsum", "passage_count", "passage_retrieval_en", "lcc", "repobench-p",
    ),
}  # fmt: skip

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
        **{f"longbench_{name}": parts for name, parts in (LONGBENCH_CATEGORIES | LONGBENCH_LANGUAGES).items()},
        "longbench": tuple(f"longbench_{name}" for name in LONGBENCH_CATEGORIES),
    },
}

# The benchmarks as people call them.
TITLES = {
    "commonsenseqa": "CommonsenseQA", "bbh": "BIG-Bench Hard", "gsm8k": "GSM8K", "longbench": "LongBench",
    "humaneval": "HumanEval", "chid": "CHID", "chid-dev": "CHID dev", "truthfulqa": "TruthfulQA",
}  # fmt: skip
