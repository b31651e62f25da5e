"""How many rows the pinned data of an official task have, so that no report decides by itself what all of them are."""

from __future__ import annotations

from functools import cache

from edgelm.data.sources import source, sources
from edgelm.rules.base import Rules

# The rows behind the tasks whose figure is a plain mean of all marks, whoever prints it. OpenCompass leaves empty
# answers out of TruthfulQA's; those of BBH and LongBench are means of means.
_PLAIN = {"commonsenseqa": "commonsenseqa/dev_rand_split.jsonl", "gsm8k": "gsm8k/test.jsonl",
          "humaneval": "humaneval/HumanEval.jsonl.gz", "chid": "chid/test_public.json"}  # fmt: skip
_PLACES = {"bbh": "bbh/tasks/", "mmlu": "mmlu/", "truthfulqa": "truthfulqa/v1/"}  # of all files with rows
_LONGBENCH = 18 * 200 + 150 + 2 * 500  # in one archive: most subsets have 200 rows, multifieldqa_en 150, code 500 each


def upstream_samples() -> dict[str, int]:
    """The number of samples of each task whose score is k of n, on the upstream data."""
    return {task: rows for task, name in _PLAIN.items() if (rows := source(name).rows)}


def pinned_rows(task: str, protocol: str) -> int | None:
    """The rows that a task has by a protocol of the official suite; None where nothing is known of them."""
    suite = protocol.partition("/")[0]
    return _official().get(task) if suite == Rules.suite else None


@cache
def _official() -> dict[str, int]:
    counted = {
        task: sum(source.rows or 0 for name, source in sources().items() if name.startswith(place))
        for task, place in _PLACES.items()
    }
    return {**upstream_samples(), **counted, "longbench": _LONGBENCH}
