"""What a person sees, and with which exit code the command ends."""

import json
from fractions import Fraction

import pytest

from edgelm import cli
from edgelm.cli import console, ls
from edgelm.errors import BadFile


def _failing(error):
    def available(kind):
        raise error

    return available


@pytest.mark.parametrize(("error", "code", "said"), [
    (BadFile("x [/red] is bad", why="cut", mend="copy"), 2, "error: x [/red] is bad\nwhy: cut\nmend: copy"),
    (ZeroDivisionError("ours"), 3, "fault of edgelm"),
    (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "pip install -e '.[all]'"),
    (ModuleNotFoundError("No module named 'edgelm.x'", name="edgelm.x"), 3, "fault of edgelm"),
    (KeyboardInterrupt(), 130, "nothing half-made is left"),
])  # fmt: skip
def test_every_end_has_its_exit_code_and_says_so_on_stderr(edgelm, monkeypatch, error, code, said):
    monkeypatch.setattr(ls, "available", _failing(error))
    found, out, err = edgelm("ls")
    assert (found, out) == (code, "") and said in err


@pytest.mark.parametrize("arguments", [["evalute"], ["ls", "--colour"], ["ls", "tasks", "more"], ["show"]])
def test_a_wrong_command_line_is_exit_code_2(edgelm, arguments):
    code, out, err = edgelm(*arguments)
    assert code == 2 and out == "" and "Usage" in err


def test_help_lists_every_verb_in_the_order_of_the_work(edgelm):
    code, out, _ = edgelm("--help")
    places = [out.index(f"\n  {verb} ") for verb in cli.ORDER if verb in cli.available("cli")]
    assert code == 0 and places == sorted(places) and len(places) >= 5


@pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"], ["holdout", "--help"]])
def test_help_tells_whole_sentences(edgelm, arguments):
    code, out, _ = edgelm(*arguments)
    assert code == 0 and "..." not in out.partition("Commands:")[2]


def test_help_shows_the_summaries_of_the_files(edgelm):
    shown = " ".join(edgelm("--help")[1].split())
    assert all(verb.summary.rstrip(".") in shown for verb in cli.available("cli").values())


def test_the_version(edgelm):
    assert edgelm("--version")[:2] == (0, f"edgelm {cli.__version__}\n")


def test_tables_print_brackets_as_they_are(capfd):
    console.emit_table(("a", ">b"), [("tuple[int, ...]", "[/red]"), ("守株待兔", 5)])
    out, err = capfd.readouterr()
    assert "tuple[int, ...]" in out and "[/red]" in out and "守株待兔" in out and err == ""


def test_json_is_for_machines(capfd):
    console.emit_json({"score": Fraction(117, 2), "text": "守"})
    out = capfd.readouterr().out
    assert json.loads(out) == {"score": "117/2", "text": "守"} and "守" in out


def test_progress_is_silent_where_there_is_no_terminal(capfd):
    with console.progress() as bar:
        bar("gsm8k", 1, 2)
        bar("gsm8k", 2, 2)
    assert capfd.readouterr().out == ""


def test_numbers_for_people():
    assert console.count(2_779_683_840) == "2,779,683,840"
    assert console.percent(Fraction(117, 2)) == "58.50"
