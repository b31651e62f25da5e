"""Rescoring a submission: what is claimed beside what the answers give, and every way of supplying wrong answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from edgelm.archives.zips import zip_tree
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption
from edgelm.files import read_json, sha256_file, tree_files
from edgelm.report import FULL_MARK, Report
from edgelm.rules.miniature import Miniature
from edgelm.submission import Submission
from edgelm.verify.rescore import RESCORED, recompute, rescore
from edgelm.verify.rescored import Rescored, Rescoring

Rows = list[dict[str, Any]]


@pytest.fixture
def rescored(suite: DataFolder) -> Callable[[Any], Rescoring]:
    """What is found in a package, folder or archive."""

    def call(package: Any) -> Rescoring:
        with Submission(getattr(package, "path", package)) as submission:
            return recompute(submission, Miniature(), suite)

    return call


def only(found: Rescoring, task: str) -> Rescored:
    """The row of a task; all others are equal."""
    assert {row.status for row in found.rows if row.task != task} == {"equal"}
    return next(row for row in found.rows if row.task == task)


def digests(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in tree_files(folder)}


def test_honest_answers_give_the_claimed_scores_and_the_same_report(
    honest: Path, suite: DataFolder, tmp_path: Path
) -> None:
    before = digests(honest)
    with Submission(honest) as submission:
        found = rescore(submission, Miniature(), suite, tmp_path / "out")
    assert found.status == "equal"
    assert [(row.task, row.difference, row.differing, row.notes) for row in found.rows] == [
        (task, 0, (), ()) for task in ("commonsenseqa", "gsm8k", "chid")
    ]
    assert all(row.figure is not None for row in found.rows), "the results file is held against them, too"
    claimed, made = Report.load(honest / "models/base/report"), Report.load(tmp_path / "out/base")
    assert made.tasks == claimed.tasks and made.checkpoint == claimed.checkpoint
    for name in tree_files(honest / "models/base/report/answers"):
        assert sha256_file(tmp_path / "out/base/answers" / name) == before[f"models/base/report/answers/{name}"]
    assert read_json(tmp_path / "out" / RESCORED) == found.as_json()
    assert digests(honest) == before, "the submission is only read"


def test_an_archive_is_read_as_it_is(
    honest: Path, suite: DataFolder, rescored: Callable[[Any], Rescoring], tmp_path: Path
) -> None:
    zip_tree(honest, tmp_path / "package.zip")
    submission = Submission(tmp_path / "package.zip")
    found = recompute(submission, Miniature(), suite)
    assert found == rescored(honest)
    assert submission._unpacked is None


def test_a_better_score_than_the_marks_give(falsified: Any, rescored: Callable[[Any], Rescoring]) -> None:
    falsified.score("gsm8k", score=Fraction(90))
    row = only(rescored(falsified), "gsm8k")
    assert row.status == "different" and row.differing == ()
    assert row.notes == ("report.json claims another score",)
    assert row.score is not None and row.difference == row.score.score - 90


def test_a_results_file_that_claims_more(falsified: Any, rescored: Callable[[Any], Rescoring]) -> None:
    path = falsified.path / "results.csv"
    header, row = path.read_text().splitlines()
    cells = row.split(",")
    cells[header.split(",").index("GSM8K")] = "97.5"
    path.write_text(f"{header}\n{','.join(cells)}\n")
    found = only(rescored(falsified), "gsm8k")
    assert found.status == "different" and found.notes == ("the results file claims another score",)
    assert found.figure is not None and found.figure.canonical == Fraction(195, 2)


def test_marks_that_the_answers_do_not_earn(falsified: Any, rescored: Callable[[Any], Rescoring]) -> None:
    def all_right(rows: Rows) -> Rows:
        return [row | {"mark": FULL_MARK} for row in rows]

    falsified.answers("gsm8k", all_right)
    falsified.score("gsm8k", score=Fraction(100))
    row = only(rescored(falsified), "gsm8k")
    assert row.status == "different" and row.difference is not None and row.difference < 0
    wrong = {each.sample for each in row.answers if each.mark != FULL_MARK}
    assert wrong and set(row.differing) == wrong


@pytest.mark.parametrize(("change", "said", "usable"), [
    (lambda rows: rows[3:], "37 answers can be marked, 40 are claimed", 37),
    (lambda rows: [*rows, rows[0]], "1 answered more than once: gsm8k-0", 40),
    (lambda rows: [*rows, rows[0] | {"sample": "gsm8k-99"}], "1 to no question of the task: gsm8k-99", 40),
    (lambda rows: [rows[0] | {"key": "0" * 64}, *rows[1:]], "1 to no question of the task: gsm8k-0", 39),
    (lambda rows: [rows[0] | {"sample": "\x1b[31m" + "x" * 9999}, *rows[1:]], "1 to no question of the task: ", 39),
    (lambda rows: [rows[0] | {"text": "4" * 10**6}, *rows[1:]], "longer than their cap allows", 39),
    (lambda rows: [rows[0] | {"tokens": 10**400}, *rows[1:]], "impossible counts: gsm8k-0", 39),
    (lambda rows: [rows[0] | {"mark": 10**400}, *rows[1:]], "impossible counts: gsm8k-0", 39),
])  # fmt: skip
def test_answers_that_are_missing_repeated_foreign_or_impossible(
    falsified: Any, rescored: Callable[[Any], Rescoring], change: Any, said: str, usable: int
) -> None:
    falsified.answers("gsm8k", change)
    row = only(rescored(falsified), "gsm8k")
    assert row.status == "different" and any(said in text for text in row.notes), row.notes
    assert row.score is not None and row.score.samples == usable
    assert all(text.isprintable() and len(text) < 200 for text in row.notes)


@pytest.mark.parametrize(("break_it", "said"), [
    (lambda path: path.unlink(), "there is no file"),
    (lambda path: path.write_bytes(b"00000000 {}\n" + path.read_bytes()), "damaged"),
    (lambda path: path.write_bytes(b"[" * 10**6), "none of the answers"),
    (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "a link out of the package"),
])  # fmt: skip
def test_files_of_answers_that_are_no_such_files(
    falsified: Any, rescored: Callable[[Any], Rescoring], break_it: Any, said: str
) -> None:
    break_it(falsified.folder / "answers/gsm8k.jsonl")
    found = rescored(falsified)
    row = only(found, "gsm8k")
    assert (row.status, found.status) == ("unusable", "unusable") and said in row.notes[0], row.notes


def test_answers_of_wrong_kinds_and_no_numbers(falsified: Any, rescored: Callable[[Any], Rescoring]) -> None:
    falsified.answers("gsm8k", lambda rows: [rows[0] | {"text": ["4"]}, *rows[1:]])
    row = only(rescored(falsified), "gsm8k")
    assert row.status == "unusable" and "field text is wrong" in row.notes[0]


@pytest.mark.parametrize("text", ["{", '{"score": NaN}', "[" * 10**5, '{"tasks": 1}'])
def test_a_report_that_is_none(falsified: Any, rescored: Callable[[Any], Rescoring], text: str) -> None:
    (falsified.folder / "report.json").write_text(text)
    (row,) = rescored(falsified).rows
    assert (row.slot, row.task, row.status) == ("base", "", "unusable") and row.notes


def test_rows_of_another_suite(honest: Path, tmp_path: Path) -> None:
    from edgelm.data.miniature import write

    write(tmp_path / "other", rows=40, train_rows=8, seed=7)
    with Submission(honest) as submission:
        found = recompute(submission, Miniature(), DataFolder(tmp_path / "other"))
    assert {row.status for row in found.rows} <= {"unusable", "different"}
    assert any("as it is asked here" in text or "claimed by" in text for row in found.rows for text in row.notes)


def test_a_task_that_is_not_known_here_counts_only_if_the_rules_rank_it(
    falsified: Any, suite: DataFolder, rescored: Callable[[Any], Rescoring]
) -> None:
    report = Report.load(falsified.folder)
    report.model_copy(update={"tasks": report.tasks | {"secret": report.tasks["gsm8k"]}}).save(falsified.folder)
    found = rescored(falsified)
    assert only(found, "secret").status == "left" and found.status == "equal"
    with Submission(falsified.path) as submission:
        ranked = recompute(submission, Miniature(tasks=("secret",)), suite)
    assert ranked.status == "unusable"


def test_a_report_whose_task_leads_out_of_its_folder_is_not_read(
    falsified: Any, rescored: Callable[[Any], Rescoring]
) -> None:
    report = Report.load(falsified.folder)
    report.model_copy(update={"tasks": report.tasks | {"../secret": report.tasks["gsm8k"]}}).save(falsified.folder)
    assert {row.status for row in rescored(falsified).rows} == {"unusable"}


def test_programs_run_in_the_sandbox_or_not_at_all(
    falsified: Any, rescored: Callable[[Any], Rescoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgelm.errors import Unsupported
    from edgelm.tasks.sandbox import programs

    def none(limits: object) -> Any:
        raise Unsupported("there is no sandbox here", mend="install bubblewrap")

    monkeypatch.setattr(programs, "bubblewrap", none)
    report = Report.load(falsified.folder)
    report.model_copy(update={"tasks": report.tasks | {"humaneval": report.tasks["gsm8k"]}}).save(falsified.folder)
    shutil.copy(falsified.folder / "answers/gsm8k.jsonl", falsified.folder / "answers/humaneval.jsonl")
    row = only(rescored(falsified), "humaneval")
    assert row.status == "unusable" and row.notes == ("there is no sandbox here",)


def test_nothing_is_written_into_the_submission(honest: Path, suite: DataFolder) -> None:
    before = digests(honest)
    with Submission(honest) as submission, pytest.raises(BadOption, match="lies in the submission"):
        rescore(submission, Miniature(), suite, honest / "out")
    assert digests(honest) == before
