"""LongBench as a task: what is asked of which file, what counts, what the parts and groups are called."""

import hashlib
import io
import json
import zipfile
from fractions import Fraction

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.sources import Source
from edgelm.errors import BadFile, MissingInput, MissingPackage, Offline, UnknownName
from edgelm.report import FULL_MARK
from edgelm.tasks import chinese
from edgelm.tasks.longbench import ARCHIVE, PLACES, PROMPTS, LongBench
from edgelm.tasks.longbench_subsets import SUBSETS

PROMPT_TABLE = {name: f"{name}: {{context}} ? {{input}}" for name in SUBSETS}


def _row(**changes):
    row = {"input": "Q", "context": "C", "answers": ["X"], "all_classes": ["X", "Y"]} | changes
    return json.dumps(row).encode() + b"\n"


def _suite(own, *names, row=None, prompts=PROMPT_TABLE):
    rows = {f"longbench/full/{name}.jsonl": row or _row() for name in names}
    return own({PROMPTS: json.dumps(prompts).encode(), **rows})


def test_templates_are_those_of_opencompass(shared, golden):
    prompts = json.loads((shared / "data" / PROMPTS).read_bytes())
    templates = {name: hashlib.sha256(subset.prompt(prompts).encode()).hexdigest() for name, subset in SUBSETS.items()}
    hashes = golden("prompt_hashes")
    assert templates == {name: hashes[f"LongBench_{name}"]["last_human_template_sha256"] for name in SUBSETS}


def test_the_versions_speak_of_all_hashes_and_of_the_part():
    lines = "\n".join(f"{name} {subset.hash}" for name, subset in SUBSETS.items())
    whole = f"longbench-{hashlib.sha256(lines.encode()).hexdigest()[:6]}"
    assert (LongBench().label, LongBench().version) == ("longbench", whole)
    assert LongBench(subsets=tuple(SUBSETS)).version == whole
    samsum = LongBench(subsets=("samsum", "trec"), scorer="fixed")
    assert (samsum.label, samsum.version) == ("longbench-trec+samsum-fixed", f"{whole}-trec+samsum+fixed-1")
    with pytest.raises(UnknownName, match="trec"):
        LongBench(subsets=("treck",))


# What is asked


def test_columns_are_put_in_one_after_the_other_and_references_stay_out(own):
    row = _row(input="{context} {answers}", context="[{answers}{input}{all_labels}{x}]")
    first, last = LongBench().samples(_suite(own, "hotpotqa", "trec", row=row))
    assert first.prompt.base_text() == "hotpotqa: [{input}{all_labels}{x}] ? [{input}{all_labels}{x}] "
    assert last.prompt.base_text() == "trec: [{answers}{input}{x}] ? [{answers}{input}{x}] {answers}"
    assert (first.reference.classes, last.reference.classes) == ((), ("X", "Y"))


def test_every_subset_has_its_cap_and_begins_a_batch(own):
    samples = LongBench().samples(_suite(own, *SUBSETS, row=_row() * 3))
    places = {name: place * PLACES for place, name in enumerate(SUBSETS)}
    assert [sample.index for sample in samples] == [first + n for first in places.values() for n in range(3)]
    assert {sample.subset: sample.max_tokens for sample in samples} == {
        "narrativeqa": 128, "qasper": 32, "multifieldqa_en": 64, "multifieldqa_zh": 64, "hotpotqa": 32, "2wikimqa": 32,
        "musique": 32, "dureader": 128, "gov_report": 512, "qmsum": 512, "multi_news": 512, "vcsum": 512, "trec": 64,
        "triviaqa": 32, "samsum": 128, "lsht": 64, "passage_count": 32, "passage_retrieval_en": 32,
        "passage_retrieval_zh": 32, "lcc": 64, "repobench-p": 64,
    }  # fmt: skip
    assert len({sample.id for sample in samples}) == 63


def test_a_part_is_asked_as_it_is_in_the_whole(own):
    data = _suite(own, "lcc", "trec", "qasper")
    whole = LongBench().samples(data)
    assert [sample.subset for sample in whole] == ["qasper", "trec", "lcc"]
    assert LongBench(subsets=("lcc", "qasper")).samples(data) == [whole[0], whole[2]]


def test_the_miniature_suite_is_asked(tmp_path):
    write(tmp_path / "suite", rows=3, train_rows=100)
    data = DataFolder(tmp_path / "suite")
    task = LongBench(subsets=("multifieldqa_en",))
    samples = task.samples(data)
    assert len(samples) == 3
    assert task.score_all([(sample, sample.reference.answers[0]) for sample in samples]) == [FULL_MARK] * 3
    assert LongBench().files(data) == task.files(data)
    with pytest.raises(MissingInput, match=r"miniature-1 has no longbench/full/trec\.jsonl"):
        LongBench(subsets=("trec",)).samples(data)


# Where the rows are


@pytest.fixture
def pinned(monkeypatch, tmp_path):
    """`pinned({name: bytes})`: an upstream folder whose files are those that upstream published."""

    def make(files):
        known = {}
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            known[name] = Source(name, None, "MIT", digest, f"https://example.org/{name}")
        monkeypatch.setattr("edgelm.data.folder.sources", lambda: known)
        monkeypatch.setattr("edgelm.data.folder.source", known.__getitem__)
        monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
        return DataFolder(tmp_path, offline=True)

    return make


def _archive(names=tuple(SUBSETS)):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(f"data/{name}.jsonl", _row(context=f"zipped {name}"))
    return content.getvalue()


def test_upstreams_rows_are_read_from_its_archive_or_from_files_of_their_own(pinned):
    prompts = json.dumps(PROMPT_TABLE).encode()
    data = pinned({PROMPTS: prompts, ARCHIVE: _archive(), "longbench/full/trec.jsonl": _row(context="alone")})
    texts = {sample.subset: sample.prompt.base_text() for sample in LongBench().samples(data)}
    assert texts["lcc"] == "lcc: zipped lcc ? Q"
    assert texts["trec"] == "trec: alone ? Q"
    assert len(texts) == 21
    assert LongBench(subsets=("trec", "lcc")).files(data) == [PROMPTS, "longbench/full/trec.jsonl", ARCHIVE]


def test_without_the_archive_the_error_says_what_to_place_and_what_can_be_asked(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path))
    data = DataFolder(shared / "data", offline=True)
    with pytest.raises(Offline, match=r"longbench/data\.zip is not here") as caught:
        LongBench().samples(data)
    revision = "5e628be450b7e67fb7ae6e201bd6d8f7056f7672"
    assert f"resolve/{revision}/data.zip and place it at longbench/data.zip in the folder" in caught.value.mend
    task = LongBench(subsets=("multifieldqa_zh", "multi_news", "passage_retrieval_zh"))
    assert caught.value.mend.endswith("longbench:subsets=multifieldqa_zh+multi_news+passage_retrieval_zh")
    assert len(task.samples(data)) == 600


# What is wrong with the data


@pytest.mark.parametrize("row", [
    _row(answers="X"), _row(answers=[]), _row(answers=[1]), _row(context=None), _row(all_classes=None), b"[]", b"{",
])  # fmt: skip
def test_rows_that_are_not_of_the_format_are_named(own, row):
    with pytest.raises(BadFile, match=r"(row|line) 1 of .*trec\.jsonl|no objects"):
        LongBench().samples(_suite(own, "trec", row=row))


@pytest.mark.parametrize("prompts", [[], {"trec": 1}, {"hotpotqa": "{input}"}])
def test_prompts_that_are_missing_are_named(own, prompts):
    with pytest.raises(BadFile, match=r"dataset2prompt\.json"):
        LongBench().samples(_suite(own, "trec", prompts=prompts))


def test_what_cuts_chinese_is_missed_before_anything_is_asked(own, monkeypatch):
    def absent():
        raise MissingPackage("jieba", "eval")

    monkeypatch.setattr(chinese, "segmenter", absent)
    data = _suite(own, "vcsum", "trec")
    assert LongBench(subsets=("trec",)).samples(data)
    with pytest.raises(MissingPackage):
        LongBench().samples(data)


# What counts


def test_only_the_first_line_counts_where_examples_are_given(own):
    subsets = ("trec", "triviaqa", "samsum", "lsht", "hotpotqa", "qmsum")
    samples = LongBench().samples(_suite(own, *subsets))
    marks = [LongBench().score(sample, "\n\nX\nY Y Y") > FULL_MARK * 0.99 for sample in samples]
    assert dict(zip([sample.subset for sample in samples], marks, strict=True)) == {
        "trec": True, "triviaqa": True, "samsum": True, "lsht": True, "hotpotqa": False, "qmsum": False,
    }  # fmt: skip
    trec = next(sample for sample in samples if sample.subset == "trec")
    assert LongBench().score(trec, " \nX") == 0, "a blank is a line"


def test_the_fixed_scorer_marks_long_summaries_and_nested_classes(own):
    long = " ".join(f"w{number}" for number in range(2000))
    row = _row(answers=[long, "Title of a person"], all_classes=["Title", "person", "a person", "Title of a person"])
    marks = {
        scorer: [LongBench(scorer=scorer).score(sample, answer) for sample, answer in zip(
            LongBench().samples(_suite(own, "gov_report", "trec", row=row)), (long, "Title of a person"), strict=True)]
        for scorer in ("official", "fixed")
    }  # fmt: skip
    assert marks == {"official": [0, 500_000], "fixed": [FULL_MARK, FULL_MARK]}


def test_the_score_is_the_mean_of_the_categories(own):
    marks = {"trec": [FULL_MARK, 0], "samsum": [0] * 8, "lcc": [FULL_MARK]}
    assert LongBench().aggregate(marks) == (Fraction(25) + Fraction(100)) / 2
    assert LongBench().aggregate({}) == 0


def test_the_figures_are_the_official_groups_as_far_as_they_are_whole(own):
    samples = LongBench().samples(_suite(own, *SUBSETS))
    right = {"lcc", "repobench-p", "trec"}
    rows = [(sample, "X" if sample.subset in right else "") for sample in samples]
    assert LongBench().figures(rows) == {
        "longbench_single-document-qa": 0, "longbench_multi-document-qa": 0, "longbench_summarization": 0,
        "longbench_few-shot-learning": 25, "longbench_synthetic-tasks": 0, "longbench_code-completion": 100,
        "longbench_en": Fraction(300, 16), "longbench_zh": Fraction(200, 7),
    }  # fmt: skip
    code = [row for row in rows if row[0].subset in ("lcc", "repobench-p", "vcsum")]
    assert LongBench().figures(code) == {"longbench_code-completion": 100}
