"""LongBench beside a real OpenCompass 0.3.1: its prompts, the answers it got and the scores it gave.

The rows of the golden runs and of MiniLongBench are published as rendered prompts alone. Here the columns are taken out
of them again and written as a suite of its own in the upstream format.
"""

import gzip
import json
import re

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.engines.hf import HF
from edgelm.engines.local import Local
from edgelm.evaluate.questions import Selection, questions
from edgelm.report import mean_percent
from edgelm.tasks.longbench import PROMPTS, LongBench
from edgelm.tasks.longbench_subsets import SUBSETS

# OpenCompass's scores of the answers that MiniLongBench publishes.
MINI_SCORES = {
    "narrativeqa": 3.325724, "qasper": 11.356581, "multifieldqa_en": 23.332032, "multifieldqa_zh": 12.00949,
    "hotpotqa": 7.444403, "2wikimqa": 7.986269, "musique": 14.6695, "dureader": 10.699026, "gov_report": 20.604257,
    "qmsum": 18.000302, "multi_news": 32.590329, "vcsum": 8.129991, "trec": 37.5, "triviaqa": 83.928571,
    "samsum": 27.145811, "lsht": 25.0, "passage_count": 0.0, "passage_retrieval_en": 6.666667,
    "passage_retrieval_zh": 7.222222, "lcc": 70.923077, "repobench-p": 43.826087,
}  # fmt: skip


@pytest.fixture
def suite(own, shared):
    """`suite({subset: [(prompt, gold), …]})`: the rows as a suite of its own."""
    prompts = (shared / "data" / PROMPTS).read_bytes()

    def make(tables):
        files = {PROMPTS: prompts}
        for name, rows in tables.items():
            template = SUBSETS[name].prompt(json.loads(prompts))
            lines = [json.dumps(_columns(template, prompt) | _labels(gold)) + "\n" for prompt, gold in rows]
            files[f"longbench/full/{name}.jsonl"] = "".join(lines).encode()
        return own(files)

    return make


def _columns(template, prompt):
    """The columns that fill a template to a prompt. Where several would, all give the same prompt again."""
    pattern = re.escape(template)
    for name in ("context", "input"):
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.*)")
    return {"input": "", "context": ""} | re.fullmatch(pattern, prompt, re.DOTALL).groupdict()


def _labels(gold):
    return gold if isinstance(gold, dict) else {"answers": gold, "all_classes": None}


def _scores(samples, answers):
    """Each subset's score in percent."""
    task, marks = LongBench(), {name: [] for name in SUBSETS}
    for sample, answer in zip(samples, answers, strict=True):
        marks[sample.subset].append(task.score(sample, answer))
    return {name: float(mean_percent(own)) for name, own in marks.items()}


# The golden runs


@pytest.fixture
def runs(golden):
    """`{subset: rows of the golden run}`."""
    return {name: list(golden(f"chat/LongBench_{name}").values()) for name in SUBSETS}


@pytest.fixture
def data(runs, suite):
    """The rows of the golden runs; the last newline of each prompt is that of the chat rendering."""
    texts = {name: [(row["origin_prompt"][0]["prompt"], row["gold"]) for row in rows] for name, rows in runs.items()}
    return suite({name: [(text.removesuffix("\n"), gold) for text, gold in rows] for name, rows in texts.items()})


def test_prompts_are_those_of_opencompass(runs, data):
    asked = [sample.prompt.messages() for sample in LongBench().samples(data)]
    wanted = [row["origin_prompt"][0]["prompt"] for rows in runs.values() for row in rows]
    assert asked == [[{"role": "user", "content": text}] for text in wanted]


@pytest.mark.parametrize(
    "engine", [HF(batch=8, dtype="float32", device="cpu"), Local(dtype="float32", device="cpu")], ids=["hf", "local"]
)
def test_answers_are_byte_equal_to_those_of_opencompass(engine, runs, data, shared):
    asked = questions(LongBench(), data, Selection(), {})
    model = Checkpoint(shared / "oracle/models/tiny-chatml")
    with engine.open(model, "chat") as session:
        texts = {reply.key: reply.text for group in session.answer(asked.requests) for reply in group}
    wanted = [row["prediction"] for rows in runs.values() for row in rows]
    assert [texts[request.key] for request in asked.requests] == wanted


def test_scores_are_those_of_opencompass(runs, data, golden):
    answers = [row["prediction"] for rows in runs.values() for row in rows]
    wanted = {name: golden(f"chat_results/LongBench_{name}")["score"] for name in SUBSETS}
    assert _scores(LongBench().samples(data), answers) == pytest.approx(wanted, abs=5e-5)


# Real rows of all subsets


@pytest.fixture
def mini(shared):
    """`{subset: rows}` of MiniLongBench's published answers of a base model."""
    folder = shared / "data/longbench/minilongbench"
    contents = {name: (folder / f"MiniLongBench_{name}.json.gz").read_bytes() for name in SUBSETS}
    return {name: list(json.loads(gzip.decompress(content)).values()) for name, content in contents.items()}


def test_real_rows_are_asked_and_marked_as_by_opencompass(mini, suite):
    tables = {name: [(row["origin_prompt"], row["gold"]) for row in rows] for name, rows in mini.items()}
    samples = LongBench().samples(suite(tables))
    rows = [row for rows in mini.values() for row in rows]
    assert [sample.prompt.base_text() for sample in samples] == [row["origin_prompt"] for row in rows]
    assert _scores(samples, [row["prediction"] for row in rows]) == pytest.approx(MINI_SCORES, abs=5e-5)


@pytest.mark.parametrize("name", ["multi_news", "multifieldqa_zh", "passage_retrieval_zh"])
def test_upstreams_own_rows_are_asked_with_the_same_prompts(mini, upstream, name):
    samples = LongBench(subsets=(name,)).samples(upstream)
    asked = {sample.prompt.base_text(): list(sample.reference.answers) for sample in samples}
    assert len(samples) == 200
    for row in mini[name]:
        assert asked[row["origin_prompt"]] == row["gold"]
