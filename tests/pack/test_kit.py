"""A starting kit's folder: what it lacks is said at once, what it holds is packed, and nothing of it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.checkpoint import Card, Checkpoint
from edgelm.errors import BadFile, MissingInput
from edgelm.pack.kit import MAX_TEXT, Kit, held, read_kit
from edgelm.pack.lacks import lacking
from edgelm.pack.model import Entry
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024

RULES = Neurips2024()
SLOTS = ("phi-2", "llama-3-8b", "qwen-7b")
# As a team of the first competition wrote it: no model column, six tasks.
TABLE = ("CommonsenseQA,BIG-Bench-Hard,GSM8K,HumanEval,CHID,TruthfulQA,Throughput,Memory-Usage\n"
         "26.51,21.377,12.6,11.59,28.123,0.173,23.097,8573.243\n")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kit = tmp_path / "kit"
    (kit / "Source-Code/.git").mkdir(parents=True)
    (kit / "Source-Code/.git/config").write_text("x")
    (kit / "Source-Code/train.py").write_text("raise SystemExit('it was run')\n")
    (kit / "Saved_Model.txt").write_text(
        "ours: <https://drive.example.org/saved?a=1>, twice https://drive.example.org/saved?a=1\n"
    )
    (kit / "Compile_Model.txt").write_text("https://drive.example.org/compiled\n")
    (kit / "Results.csv").write_text(TABLE)
    for name in ("Model_Opencompass.py", "Configuration_Opencompass.py"):
        (kit / name).write_text("raise SystemExit('it was run')\n")
    return kit


def read(folder: Path) -> Kit:
    return read_kit(folder, held({}, RULES, SLOTS))


def lacks(kit: Kit, entries: dict[str, Entry] | None = None, omitted: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    reasons = dict.fromkeys(omitted, "too large")
    found = lacking(kit, entries or {}, reasons, RULES.track("compression"), "neurips-2024", source=False)
    assert [lack.needed for lack in found] == sorted((lack.needed for lack in found), reverse=True)
    assert all(lack.mend for lack in found)
    return [(lack.what, lack.mend) for lack in found if lack.needed]


def test_a_kits_parts_are_read(folder: Path) -> None:
    kit = read(folder)
    assert (kit.saved, kit.compiled) == (
        ("https://drive.example.org/saved?a=1",),
        ("https://drive.example.org/compiled",),
    )
    assert set(kit.source) == {"train.py", "Model_Opencompass.py", "Configuration_Opencompass.py"}
    assert kit.claims and kit.claims.values["mean"]["GSM8K"].value == pytest.approx(12.6)
    assert (kit.absent, kit.respelled) == ([], [])


def test_other_spellings_and_a_readme_beside_the_source_are_found(folder: Path) -> None:
    (folder / "Results.csv").rename(folder / "results.CSV")
    (folder / "Compile_Model.txt").unlink()
    (folder / "README.md").write_text("train.py\n")
    kit = read(folder)
    assert kit.claims is not None
    assert (kit.absent, kit.respelled) == (["Compile_Model.txt"], ["results.CSV"])
    assert kit.source["README.md"] == folder / "README.md"


def test_everything_that_is_missing_is_said_at_once(folder: Path) -> None:
    said = lacks(read(folder))
    assert len(said) == 1 + 3 * len(SLOTS)
    for slot in SLOTS:
        (checkpoint, card, bundle) = [(what, mend) for what, mend in said if what.startswith(f"{slot}: ")]
        assert "https://drive.example.org/saved?a=1" in checkpoint[1] and f"{slot}=FOLDER" in checkpoint[1]
        assert card[1].endswith(f"> {slot}/card.json")
        assert "https://drive.example.org/compiled" in bundle[0] and f"edgelm deploy {slot} android" in bundle[1]
    assert "README.md" in said[0][0]


def test_what_is_given_is_no_longer_missing(folder: Path, make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    (folder / "Source-Code/README.md").write_text("train.py\n")
    model = make_checkpoint("llama", num_hidden_layers=1)
    entries, omitted = {"phi-2": Entry(model)}, ("llama-3-8b", "qwen-7b")
    (card, bundle) = lacks(read(folder), entries, omitted)
    text = card[1].split("'")[1]  # what the command writes is what is asked for
    Checkpoint(model).write_card(Card.model_validate_json(text))
    assert lacks(read(folder), entries, omitted) == [bundle]
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof/error.txt").write_text("no phone\n")
    assert lacks(read(folder), {"phi-2": Entry(model, proof=tmp_path / "proof")}, omitted) == []


@pytest.mark.parametrize(("name", "pins"), [
    ("requirements.txt", True), ("uv.lock", True), ("src/block.py", False), ("clock.txt", False),
])  # fmt: skip
def test_packages_are_pinned_by_what_the_checker_takes_for_it(folder: Path, name: str, pins: bool) -> None:
    (folder / "Source-Code/src").mkdir()
    (folder / "Source-Code" / name).write_text("x")
    found = lacking(read(folder), {}, {}, RULES.track("compression"), "neurips-2024", source=False)
    assert ("the source pins no packages" not in [lack.what for lack in found]) == pins


def test_what_cannot_be_read_is_among_it(folder: Path, tmp_path: Path) -> None:
    said = lacks(read(folder), {"phi-2": Entry(tmp_path / "nowhere", (tmp_path / "no-report",))}, SLOTS[1:])
    assert any("nowhere" in what for what, _ in said)
    assert any("no-report" in what for what, _ in said)


def break_link(kit: Path) -> None:
    (kit / "Source-Code/passwords").symlink_to("/etc/passwd")


def break_folder_link(kit: Path) -> None:
    (kit / "Source-Code/etc").symlink_to("/etc")


def break_table(kit: Path) -> None:
    (kit / "Results.csv").unlink()
    (kit / "Results.csv").symlink_to("/etc/passwd")


def break_pipe(kit: Path) -> None:
    os.mkfifo(kit / "Source-Code/pipe")


def break_text(kit: Path) -> None:
    (kit / "Saved_Model.txt").write_bytes(b"x" * (MAX_TEXT + 1))


@pytest.mark.parametrize("damage", [break_link, break_folder_link, break_table, break_pipe, break_text])
def test_what_leads_elsewhere_or_never_ends_is_refused(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder)
    with pytest.raises(BadFile):
        read(folder)


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_BYTES"])
def test_source_has_limits(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    for number in range(8):
        (folder / f"Source-Code/{number}.py").write_text("pass\n")
    monkeypatch.setattr(f"edgelm.pack.kit.{limit}", 8)
    with pytest.raises(BadFile, match="holds more than"):
        read(folder)


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(MissingInput, match="none of the starting kit's files"):
        read(tmp_path)


def test_figures_are_held_against_what_can_be_read(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = make_checkpoint("llama", num_hidden_layers=1)
    entries = {"base": Entry(model, (tmp_path / "no-report",)), "other": Entry(tmp_path / "nowhere")}
    against = held(entries, Miniature(), ("base",))
    assert against.sizes == {"base": Checkpoint(model).bytes}
    assert against.reported == {}
    assert json.dumps(against.slots) == '["base"]'
