"""`edgelm holdout`: checked before, published by its digest, confirmed after."""

import json

import pytest
from typer.testing import CliRunner

from edgelm.cli.holdout import holdout as app
from edgelm.errors import BadFile, BadOption, MissingInput
from edgelm.plugins import parse
from edgelm.rules.base import VERSIONS

SUM = "A farmer has seventeen sheep and buys nine more of them on a rainy market day in March"
SECRET = ("zebra", "xylophone")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """Two packs: questions that are public, repeated or revealing, and choices."""
    path = tmp_path / "secret"
    path.mkdir()
    free = [{"q": "Name the animal.", "answer": "zebra"}, {"q": "Name the animal.", "answer": "zebra"},
            {"q": "Is a xylophone struck?", "answer": "xylophone"},
            {"q": f"{SUM}. How many?", "answer": 26}]  # fmt: skip
    choices = [{"q": f"Really {n}?", "choices": ["yes", "no"], "answer": "AAB"[n]} for n in range(3)]
    for name, kind, rows in (("facts", "free", free), ("polls", "choice", choices)):
        prompt = "{q}\n{choices}" if kind == "choice" else "{q}"
        (path / f"{name}.json").write_text(json.dumps({"kind": kind, "prompt": prompt}))
        (path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


def _run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)


def test_check_counts_and_shows_a_question_but_no_reference(folder):
    shown = _run("check", folder, "--no-public")
    assert "Name the animal." in shown.output and "facts" in shown.stdout and "A: 2, B: 1" in shown.stdout
    assert not any(secret in shown.output for secret in SECRET)
    assert "expected: ['zebra']" in _run("check", folder, "--no-public", "--references").output


def test_check_says_that_the_protocols_are_not_the_final_ones_before_there_is_a_salt(folder):
    before = _run("check", folder, "--no-public")
    published = _run("digest", folder).stdout.strip()
    after = _run("check", folder, "--no-public")
    assert "no salt yet" in before.stderr and f"holdout/facts-{published[:8]}" not in before.stdout
    assert "no salt yet" not in after.stderr and f"holdout/facts-{published[:8]}" in after.stdout


def test_check_finds_what_is_repeated_revealed_or_public(folder, own):
    row = {"question": f"Long ago: {SUM.upper()}, how many are there?", "answer": "#### 26"}
    data = own({"gsm8k/test.jsonl": json.dumps(row).encode(), "exemplars.json": b"{}"})
    result = _run("check", folder, "--data", data.root, "--offline", "--json")
    found = json.loads(result.stdout)
    assert {key: found["facts"][key] for key in ("rows", "repeated", "revealing")} == {
        "rows": 4, "repeated": 1, "revealing": 1,
    }  # fmt: skip
    assert found["facts"]["public"] == {"gsm8k": 1} and found["polls"]["public"] == {"gsm8k": 0}
    assert found["polls"]["references"] == {"A": 2, "B": 1} and found["facts"]["references"] == {}
    assert "bbh was not looked at" in result.stderr
    assert "reference" not in found["facts"] and "zebra" not in result.output


def test_check_refuses_what_evaluate_would_refuse(folder):
    (folder / "facts.jsonl").write_text("{")
    with pytest.raises(BadFile, match=r"line 1 of .*facts\.jsonl"):
        _run("check", folder)


def test_a_published_digest_is_confirmed_and_any_change_is_not(folder, tmp_path):
    first = _run("digest", folder)
    published = first.stdout.strip()
    assert len(published) == 64 and "new salt" in first.stderr
    second = _run("digest", folder)
    assert second.stdout == first.stdout and "new salt" not in second.stderr
    assert _run("verify", folder, "--digest", published).return_value is None
    (tmp_path / "kept").write_bytes((folder / "salt").read_bytes())
    (folder / "salt").unlink()
    assert _run("verify", folder, "--digest", published, "--salt", tmp_path / "kept").return_value is None
    without = _run("verify", folder, "--digest", published)
    assert without.return_value == 1 and "without a salt" in without.stderr
    (folder / "facts.jsonl").write_text('{"q": "?", "answer": "other"}')
    assert _run("verify", folder, "--digest", published, "--salt", tmp_path / "kept").return_value == 1


def test_the_lines_that_name_the_hold_out_in_rules_stand_beside_the_digest(folder):
    told = _run("digest", folder)
    pins = [f"holdout/{name}-{told.stdout[:8]}" for name in ("facts", "polls")]
    lines = [line.strip() for line in told.stderr.splitlines()]
    names = {}
    exec("\n".join(line for line in lines if " = " in line), {"VERSIONS": VERSIONS}, names)
    assert names == {"holdouts": ("facts", "polls"), "versions": (*VERSIONS, *pins)}
    (spec,) = (line.removeprefix("--rules ") for line in lines if line.startswith("--rules "))
    rules = parse("rules", spec)
    assert rules.holdouts == names["holdouts"] and rules.versions == names["versions"]
    assert rules.protocol("facts") == pins[0] and pins[0] in _run("check", folder, "--no-public").stdout
    mini = _run("digest", folder, "--rules", "miniature").stderr
    assert f"miniature:versions={'+'.join(pins)},holdouts=facts+polls" in mini


def test_a_folder_without_tasks_has_a_digest_all_the_same(folder):
    for path in folder.glob("*.json"):
        path.rename(path.with_suffix(".txt"))
    told = _run("digest", folder)
    assert len(told.stdout.strip()) == 64 and "nothing can be asked yet" in told.stderr


def test_the_salt_is_told_to_nobody(folder):
    output = _run("digest", folder).output
    assert (folder / "salt").read_text().strip() not in output


def test_a_digest_that_is_none_is_refused(folder, tmp_path):
    with pytest.raises(BadOption, match="no sha256"):
        _run("verify", folder, "--digest", "abc")
    with pytest.raises(MissingInput, match="no hold-out folder"):
        _run("digest", tmp_path / "none")
