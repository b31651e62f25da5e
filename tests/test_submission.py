"""Opening a submission: folder or zip, its manifest, and what each slot holds."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgelm.archives import unpack as unpacking
from edgelm.bundle import Listing
from edgelm.checkpoint import Card
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import sha256_bytes, tree_files, write_bytes, write_json
from edgelm.links import _Links
from edgelm.report import Report, Speed, TaskScore
from edgelm.submission import Manifest, Submission

MANIFEST: dict[str, Any] = {
    "format": 1, "team": "red", "track": "compression", "rules": "0" * 64, "title": "", "method": "", "contact": "",
    "models": {"phi-2": "models/phi-2", "qwen-7b": {"omitted": "too large"}}, "claims": "results.csv", "made_by": "",
    "files": [{"path": "models/phi-2/card.json", "size": 3, "sha256": "1" * 64}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "package/models/phi-2"
    write_json(model / "card.json", {"base": "microsoft/phi-2", "derivation": "compressed"})
    write_json(model / "checkpoint/config.json", {"model_type": "phi"})
    write_json(tmp_path / "package/edgelm.json", MANIFEST)
    return tmp_path / "package"


@pytest.fixture
def archive(folder: Path) -> Path:
    return zip_of(folder)


def zip_of(folder: Path, method: int = zipfile.ZIP_STORED) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", method) as file:
        for name in tree_files(folder):
            file.write(folder / name, name)
    return path


def test_slots_and_what_they_hold(folder: Path) -> None:
    submission = Submission(folder)
    assert submission.slots == ["phi-2"]
    assert submission.omitted == {"qwen-7b": "too large"}
    assert submission.checkpoint("phi-2").config == {"model_type": "phi"}
    assert submission.checkpoint("phi-2").card.base == "microsoft/phi-2"
    with pytest.raises(MissingInput, match="no finished report"):
        submission.report("phi-2")
    with pytest.raises(MissingInput, match="brings no model"):
        submission.checkpoint("qwen-7b")
    with pytest.raises(UnknownName, match="did you mean 'phi-2'"):
        submission.model_folder("phi-3")


def test_the_digest_is_that_of_the_manifest(folder: Path, archive: Path) -> None:
    with Submission(archive) as zipped:
        digests = {zipped.digest, Submission(folder).digest}
    assert digests == {sha256_bytes((folder / "edgelm.json").read_bytes())}


def test_a_zip_is_unpacked_beside_nothing_and_removed(archive: Path) -> None:
    with Submission(archive) as submission:
        assert submission.checkpoint("phi-2").path.is_dir()
        unpacked = submission.path
        assert archive.parent not in unpacked.parents
    assert not unpacked.exists()


def test_of_a_zip_records_are_read_without_unpacking_it(folder: Path) -> None:
    report = {"checkpoint": "0" * 64, "name": "phi", "parameters": 1, "bytes": 2, "dtypes": {"F16": 1}}
    write_json(folder / "models/phi-2/report/report.json", report)
    with Submission(zip_of(folder)) as submission:
        assert submission.slots == ["phi-2"]
        assert submission.digest == Submission(folder).digest
        assert submission.card("phi-2") == Submission(folder).card("phi-2")
        assert submission.report("phi-2") == Submission(folder).report("phi-2")
        assert submission._unpacked is None


def test_what_is_missing_in_a_zip_is_named_as_in_a_folder(folder: Path, archive: Path) -> None:
    for path in (folder, archive):
        with pytest.raises(MissingInput, match="models/phi-2/report holds no finished report"):
            Submission(path).report("phi-2")


def test_a_record_that_leads_elsewhere_or_never_ends_is_refused(folder: Path, tmp_path: Path) -> None:
    card = folder / "models/phi-2/card.json"
    card.rename(tmp_path / "card.json")
    card.symlink_to(tmp_path / "card.json")
    with pytest.raises(BadFile, match="link out of the package"):
        Submission(folder).card("phi-2")
    (folder / "edgelm.json").unlink()
    os.mkfifo(folder / "edgelm.json")
    with pytest.raises(BadFile, match="no plain file"):
        _ = Submission(folder).manifest


@pytest.mark.parametrize("zipped", [False, True])
def test_a_record_too_large_is_refused(folder: Path, zipped: bool) -> None:
    os.truncate(folder / "edgelm.json", 65 << 20)
    submission = Submission(zip_of(folder, zipfile.ZIP_DEFLATED) if zipped else folder)
    with pytest.raises(BadFile, match=r"too large|more than"):
        _ = submission.manifest


def test_unknown_keys_are_kept(folder: Path) -> None:
    write_json(folder / "edgelm.json", MANIFEST | {"colour": "red"})
    assert Submission(folder).manifest.model_extra == {"colour": "red"}


@pytest.mark.parametrize(("field", "change"), [
    ("team", {"team": 7}), ("format", {"format": 2}), ("files", {"files": {}}), ("claims", {"claims": "/etc/passwd"}),
    ("models", {"models": {"a": "models/a", "b": "models/a"}}),
    ("models", {"models": {f"m{n}": f"models/{n}" for n in range(17)}}),
    ("models.a", {"models": {"a": "source/a"}}), ("models.a", {"models": {"a": "models"}}),
    ("models.a", {"models": {"a": "models/./a"}}), ("models.a", {"models": {"a": "models//a"}}),
    ("models.a", {"models": {"a": "models/a/"}}), ("claims", {"claims": "./results.csv"}),
    ("models.phi-2", {"models": {"phi-2": "../phi-2"}}), ("models.phi-2", {"models": {"phi-2": {"reason": "x"}}}),
    ("files.0.size", {"files": [{"path": "a", "size": "3", "sha256": "1" * 64}]}),
    ("files.0.size", {"files": [{"path": "a", "size": -3, "sha256": "1" * 64}]}),
    ("files.0.sha256", {"files": [{"path": "a", "size": 3, "sha256": "1"}]}),
])  # fmt: skip
def test_a_field_of_the_wrong_kind_is_named(folder: Path, field: str, change: dict[str, Any]) -> None:
    write_json(folder / "edgelm.json", MANIFEST | change)
    with pytest.raises(BadFile, match=rf"edgelm\.json: field {field}"):
        _ = Submission(folder).manifest


_MANY = [0] * 300_000  # an error of each would take 130 MB
_NAMED = {str(number): -1 for number in range(300_000)}


@pytest.mark.parametrize(("model", "field", "value"), [
    (Manifest, "files", _MANY), (Manifest, "files", _MANY[:99_999]), (Manifest, "models", _NAMED),
    (_Links, "links", _MANY[:99_999]),
    *((Card, field, _MANY) for field in ("recipe", "steps", "data", "parents")),
    *((Report, field, _NAMED) for field in ("tasks", "memory", "dtypes", "predicted")),
    *((TaskScore, field, _NAMED) for field in ("subsets", "notes", "figures")),
    *((Speed, field, [-1] * 300_000) for field in ("repeats_ns", "first_token_ns")),
    *((Listing, field, _NAMED) for field in ("files", "tools")),
])  # fmt: skip
def test_no_record_collects_an_error_for_each_of_many_members(model: Any, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({field: value})
    assert len([each for each in caught.value.errors(include_input=False) if each["loc"][0] == field]) == 1


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_walked_once_for_its_records(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder / "models/phi-2/report"
    report = {"checkpoint": "0" * 64, "name": "phi", "parameters": 1, "bytes": 2, "dtypes": {"F16": 1}}
    write_json(place / "report.json", report)
    for task in ("bbh", "gsm8k", "chid"):
        write_bytes(place / f"answers/{task}.jsonl", task.encode())
    walks: list[Path] = []
    opened = unpacking.opened

    def counted(path: Path, *limits: int) -> Any:
        walks.append(path)
        return opened(path, *limits)

    monkeypatch.setattr(unpacking, "opened", counted)
    with Submission(shutil.make_archive(str(folder), kind, folder)) as submission:
        assert submission.report("phi-2").name == submission.report("phi-2").name == "phi"
        assert submission.card("phi-2").base == "microsoft/phi-2"
        assert [submission.answers_bytes("phi-2", task) for task in ("gsm8k", "chid")] == [b"gsm8k", b"chid"]
        for _ in range(3):
            with pytest.raises(MissingInput, match=r"package\.(tar|zip)/models/phi-2/report/answers/humaneval"):
                submission.answers_bytes("phi-2", "humaneval")
        assert len(walks) == 1
        taken = submission._records
    assert not taken.exists()


def test_a_missing_field_is_named(folder: Path) -> None:
    write_json(folder / "edgelm.json", {key: value for key, value in MANIFEST.items() if key != "track"})
    with pytest.raises(BadFile, match="field track"):
        _ = Submission(folder).manifest


def test_what_is_no_submission(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no submission"):
        Submission(tmp_path / "absent")
    with pytest.raises(MissingInput, match=r"edgelm\.json"):
        _ = Submission(tmp_path).manifest
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(BadFile, match="not a readable zip"):
        _ = Submission(tmp_path / "text.zip").path
