import shutil

import pytest

from edgelm.files import JsonLog, sha256_bytes, write_bytes
from edgelm.report import answers_log
from edgelm.rules.miniature import Miniature
from edgelm.score.collect import collect
from edgelm.score.marks import Marks

RULES = Miniature()
MARKS = {"gsm8k": [1, 0, 1], "chid": [0, 0, 1, 1]}


@pytest.fixture
def scored():
    """The only model of a package, and what was kept of its marks by their digests."""

    def of(package):
        kept = {}

        def keep(data):
            kept[sha256_bytes(data)] = data
            return sha256_bytes(data)

        [entry] = collect(RULES, [package], keep=keep)["compression"]
        return entry.models["base"], kept

    return of


def test_the_marks_of_every_scored_task_are_kept_and_named(submitted, scored):
    model, kept = scored(submitted("red", MARKS))
    assert set(model.marks) == set(MARKS) == set(model.scores)
    assert set(model.marks.values()) == set(kept)
    for task, digest in model.marks.items():
        marks = Marks.model_validate_json(kept[digest])
        assert (marks.task, marks.score, marks.protocol) == (task, model.scores[task], model.protocols[task])


def test_a_zip_gives_the_same(submitted, scored, tmp_path):
    package = submitted("red", MARKS)
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", package)
    assert scored(zipped)[1] == scored(package)[1]


def log(package, task="gsm8k"):
    return package / f"models/base/report/answers/{task}.jsonl"


def relist(package, task="gsm8k"):
    """List the answers as they now are, as somebody would who has changed them."""
    manifest = package / "edgelm.json"
    from json import dumps, loads

    content = loads(manifest.read_text())
    for file in content["files"]:
        if file["path"].endswith(f"{task}.jsonl"):
            file["sha256"] = sha256_bytes(log(package, task).read_bytes())
    manifest.write_text(dumps(content))


def test_answers_that_were_changed_after_packing_leave_the_score_missing(submitted, scored):
    package = submitted("red", MARKS)
    log(package).write_bytes(log(package).read_bytes() + b"\n")
    model, _ = scored(package)
    assert set(model.scores) == {"chid"}
    assert "gsm8k: the answers are not those that the manifest lists" in model.notes


def test_marks_that_do_not_give_the_score_leave_it_missing(submitted, scored):
    package = submitted("red", MARKS)
    shutil.copy(log(submitted("blue", {"gsm8k": [1, 1, 1]})), log(package))
    relist(package)
    model, kept = scored(package)
    assert "gsm8k: the marks give 100.0000, the report has 66.6667" in model.notes
    assert set(model.marks) == {"chid"} and len(kept) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "0 answers are supplied, the report has 3"), (b"00000000 {}\nnoise\n", "0 answers"),
     (b"\xff\xfe\0", "0 answers")],
)  # fmt: skip
def test_damaged_answers_leave_the_score_missing(submitted, scored, content, said):
    package = submitted("red", MARKS)
    log(package).write_bytes(content)
    relist(package)
    model, _ = scored(package)
    assert set(model.scores) == {"chid"}
    assert any(note.startswith(f"gsm8k: {said}") for note in model.notes)


def test_an_answer_may_come_once(submitted, scored):
    package = submitted("red", MARKS)
    lines = log(package).read_bytes().splitlines(keepends=True)
    log(package).write_bytes(lines[0] * 2 + lines[1])
    relist(package)
    assert any("answers are supplied" in note for note in scored(package)[0].notes)


def test_a_link_out_of_the_package_is_not_followed(submitted, scored, tmp_path):
    package = submitted("red", MARKS)
    log(package).rename(tmp_path / "outside")
    log(package).symlink_to(tmp_path / "outside")
    assert any("link out of the package" in note for note in scored(package)[0].notes)


def test_leaving_the_answers_out_leaves_the_score_missing(submitted, scored):
    package = submitted("red", MARKS)
    content = (package / "edgelm.json").read_text()
    (package / "edgelm.json").write_text(content.replace("/answers/", "/elsewhere/"))
    model, kept = scored(package)
    assert (model.scores, model.marks, kept) == ({}, {}, {})
    assert [note for note in model.notes if note.startswith("gsm8k")] == ["gsm8k: no answers are supplied"]


def test_an_answer_without_a_mark_leaves_the_score_missing(submitted, scored):
    package = submitted("red", MARKS)
    rows = [{**row, "mark": row["mark"] or None} for row in answers_log(log(package).parents[1], "gsm8k").read()]
    write_bytes(log(package), b"".join(map(JsonLog.line, rows)))
    relist(package)
    model, _ = scored(package)
    assert set(model.scores) == {"chid"}
    assert "gsm8k: the answers give no score: 1 of them have no mark" in model.notes
