"""A whole verification: of a real model by real processes, and of cheats in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from edgelm.archives.zips import zip_tree
from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadOption, MissingInput, UnknownName
from edgelm.files import read_json, sha256_file, tree_files, write_json
from edgelm.report import Report, Workload, read_answers
from edgelm.rules.miniature import Miniature
from edgelm.submission import Submission
from edgelm.verify.model import Surroundings
from edgelm.verify.run import VERIFIED, Settings, Verified, verify
from edgelm.verify.seed import Seed

SECRET = "00112233445566778899aabbccddeeff"
SETTINGS = Settings(Seed.parse(SECRET), Miniature(), Workload(prompt_tokens=64, generated_tokens=32, repeats=3))
Look = Callable[..., Verified]


@pytest.fixture
def look(suite: Any, tmp_path: Path) -> Look:
    """What a verification finds in a package; its folder is `out`."""

    def call(package: Path, around: Any, settings: Settings = SETTINGS, out: str = "out") -> Verified:
        with Submission(package) as submission:
            return verify(submission, suite, tmp_path / out, settings, around)

    return call


@pytest.fixture
def parroting(honest: Path, cheats: Any) -> Callable[[str], Any]:
    """`parroting("Hasty")`: starts probes of that kind whose first word is always what the package has stored."""
    tasks = Report.load(honest / "models/base/report").tasks
    stored = {each.key: each for task in tasks for each in read_answers(honest / "models/base/report", task)}

    def make(kind: str) -> Any:
        from edgelm.engines.base import Reply

        class Knowing(cheats.Honest):
            def reply(self, request: Any) -> Any:
                known = stored[request.key]
                return Reply(request.key, known.text, known.tokens, 5, "stop")

        made = Knowing if kind == "Honest" else type(kind, (getattr(cheats, kind), Knowing), {})
        return cheats.started(made)

    return make


def verdicts(found: Verified) -> dict[str, str]:
    return {result.code: result.verdict for result in found.results["base"]}


def test_an_honest_model_by_real_processes(honest: Path, suite: Any, tiny: Checkpoint, tmp_path: Path) -> None:
    before = {name: sha256_file(honest / name) for name in tree_files(honest)}
    zip_tree(honest, tmp_path / "package.zip")
    told: list[str] = []
    with Submission(tmp_path / "package.zip") as submission:
        found = verify(submission, suite, tmp_path / "out", SETTINGS, Surroundings(say=told.append))
    by_clock = verdicts(found).pop("M-03")
    assert by_clock != "invalid", "a busy machine may be too restless to tell"
    assert {code: verdict for code, verdict in verdicts(found).items() if code != "M-03"} == {
        "RPT-04": "valid", "RPT-01": "valid", "M-10": "valid", "answers": "valid", "M-02": "valid", "M-04": "valid",
        "M-05": "valid",
    }  # fmt: skip
    agreed = {result.code: result.evidence for result in found.results["base"]}
    assert agreed["answers"]["stored"]["same"] == agreed["answers"]["stored"]["of"] == 32
    assert agreed["answers"]["same_engine"] is True and agreed["M-02"]["between_repeats"]["same"] == 32
    assert len(told) == 3
    manifest = read_json(tmp_path / "out" / VERIFIED)["manifest"]
    assert manifest["weights"] == {"base": tiny.digest} and manifest["devices"] == {"base": "cpu"}
    assert {name: sha256_file(honest / name) for name in tree_files(honest)} == before


def test_the_folder_has_the_findings_the_manifest_and_the_reports(
    honest: Path, look: Look, parroting: Any, tmp_path: Path, suite: Any
) -> None:
    found = look(honest, parroting("Honest"))
    assert found.verdict == "valid"
    written = read_json(tmp_path / "out" / VERIFIED)
    manifest = written.pop("manifest")
    assert written == json.loads(json.dumps(found.as_json()))
    assert manifest["seed_sha256"] == SETTINGS.seed.digest and manifest["rules"] == Miniature().digest
    assert manifest["submission"] == Submission(honest).digest
    assert manifest["data"] == {name: suite.sha256(name) for name in manifest["data"]} and manifest["data"]
    assert 0 < manifest["start_us"] <= manifest["end_us"]
    assert "torch" in manifest["packages"] and len(manifest["code"]) == 64
    assert manifest["files"] == {
        name: sha256_file(tmp_path / "out" / name) for name in tree_files(tmp_path / "out") if name != VERIFIED
    }
    assert "base/report.json" in manifest["files"]
    everything = b"".join((tmp_path / "out" / name).read_bytes() for name in tree_files(tmp_path / "out"))
    assert SECRET.encode() not in everything


@pytest.mark.parametrize(("kind", "code"), [
    ("Remembering", "M-03"), ("Hasty", "M-02"), ("Lighter", "M-05"), ("Short", "M-04"), ("Foreign", "M-04"),
])  # fmt: skip
def test_a_cheat_is_found_by_its_own_test(honest: Path, look: Look, parroting: Any, kind: str, code: str) -> None:
    found = look(honest, parroting(kind))
    assert [each for each, verdict in verdicts(found).items() if verdict != "valid"] == [code]
    assert found.verdict == "invalid"


def test_answers_of_another_model_do_not_come_out_again(honest: Path, look: Look, cheats: Any) -> None:
    assert verdicts(look(honest, cheats.started(cheats.Honest)))["answers"] == "invalid"


def test_a_model_that_never_repeats_itself_is_flagged_not_accused(honest: Path, look: Look, cheats: Any) -> None:
    found = verdicts(look(honest, cheats.started(cheats.restless())))
    assert found["M-10"] == "doubtful" and found["M-02"] == found["answers"] == "valid"


def test_claims_that_do_not_follow_are_doubtful(falsified: Any, look: Look, parroting: Any) -> None:
    falsified.score("gsm8k", score=Fraction(90))
    found = look(falsified.path, parroting("Honest"))
    assert [code for code, verdict in verdicts(found).items() if verdict != "valid"] == ["RPT-04"]
    (row,) = next(each for each in found.results["base"] if each.code == "RPT-04").evidence["rows"]
    assert (row["task"], row["claimed"]) == ("gsm8k", "90")


def test_weights_that_the_report_is_not_of(falsified: Any, look: Look, parroting: Any) -> None:
    config = falsified.path / "models/base/checkpoint/config.json"
    config.write_text(config.read_text() + "\n")
    found = look(falsified.path, parroting("Honest"))
    assert [code for code, verdict in verdicts(found).items() if verdict != "valid"] == ["RPT-01"]


def test_a_score_far_above_the_base_is_for_a_person(honest: Path, look: Look, parroting: Any, falsified: Any) -> None:
    itself = Settings(SETTINGS.seed, SETTINGS.rules, SETTINGS.workload, references={"base": falsified.folder})
    assert verdicts(look(honest, parroting("Honest"), itself))["M-07"] == "valid"
    with pytest.raises(UnknownName, match="phi-2"):
        look(honest, parroting("Honest"), Settings(SETTINGS.seed, SETTINGS.rules, SETTINGS.workload,
                                                   references={"phi-2": falsified.folder}), "again")  # fmt: skip


def test_nothing_is_written_where_nothing_can_be_verified(
    falsified: Any, look: Look, parroting: Any, tmp_path: Path, suite: Any
) -> None:
    with pytest.raises(BadOption, match="lies in the submission"), Submission(falsified.path) as submission:
        verify(submission, suite, falsified.path / "out", SETTINGS, parroting("Honest"))
    for task in Report.load(falsified.folder).tasks:
        falsified.answers(task, lambda rows: [])
    with pytest.raises(MissingInput, match="can be asked again"):
        look(falsified.path, parroting("Honest"))
    (falsified.folder / "report.json").write_text("{")
    with pytest.raises(MissingInput, match="no model with a report"):
        look(falsified.path, parroting("Honest"))
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_run_is_said_and_the_others_are_verified(
    honest: Path, tiny: Checkpoint, look: Look, parroting: Any, tmp_path: Path
) -> None:
    from edgelm.errors import Unsupported
    from edgelm.pack import Entry, pack
    from edgelm.rules.base import Track

    track = Track("pair", "compressed", ("base", "other"))
    rules = Miniature(tracks=(track,))
    entry = Entry(tiny.path, (honest / "models/base/report",))
    pack({"base": entry, "other": entry}, team="red", track="pair", rules=rules, out=tmp_path / "pair")
    around, loads = parroting("Honest"), []

    def start(job: Any) -> Any:
        loads.append(job)
        if len(loads) == 1:
            raise Unsupported("the model's process died over 'answer'", why="it may have run out of memory")
        return around.start(job)

    settings = Settings(SETTINGS.seed, rules, SETTINGS.workload)
    found = look(tmp_path / "pair", Surroundings(start, around.now), settings)
    assert [(each.code, each.verdict) for each in found.results["base"]] == [("RPT-04", "valid"), ("run", "doubtful")]
    assert verdicts(Verified({"base": found.results["other"]}, found.rescoring))["M-03"] == "valid"
    assert found.verdict == "doubtful" and len(loads) == 4


def test_only_stored_answers_are_drawn(falsified: Any, look: Look, parroting: Any) -> None:
    for task in Report.load(falsified.folder).tasks:
        falsified.answers(task, lambda rows: rows[5:7])
    again = next(each for each in look(falsified.path, parroting("Honest")).results["base"] if each.code == "answers")
    assert (again.verdict, again.evidence["stored"]["same"], again.evidence["stored"]["of"]) == ("valid", 6, 6)


@pytest.mark.parametrize("packed", [False, True])
def test_weights_that_are_only_linked_are_asked_for_before_all_work(
    falsified: Any, look: Look, parroting: Any, tmp_path: Path, packed: bool
) -> None:
    name = "models/base/checkpoint/model.safetensors"
    (falsified.path / name).unlink()
    url = "https://huggingface.co/red/small/resolve/main/model.safetensors"
    write_json(falsified.path / "links.json", [{"path": name, "url": url}])
    if packed:
        zip_tree(falsified.path, tmp_path / "red.zip")
    with pytest.raises(MissingInput, match="lies elsewhere") as refused:
        look(tmp_path / "red.zip" if packed else falsified.path, parroting("Honest"))
    folder = tmp_path / "red" if packed else falsified.path
    assert f"curl -L -o {folder / name} {url}" in refused.value.mend and not (tmp_path / "out").exists()
