"""`edgelm show`: what something is, from headers and JSON alone."""

import json
import re
import subprocess
import sys
import tarfile

import pytest
import typer
from typer.testing import CliRunner

from edgelm.checkpoint import Card, Checkpoint
from edgelm.cli.show import _readable, show
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import JsonLog, tree_files, write_json
from edgelm.pack import Entry, pack
from edgelm.report import Report, TaskScore, answers_log
from edgelm.rules.miniature import Miniature
from edgelm.score.publish import publish
from edgelm.verify.rescore import RESCORED
from edgelm.verify.rescored import Rescored, Rescoring
from edgelm.verify.result import Result
from edgelm.verify.run import VERIFIED, Verified

app = typer.Typer()
app.command()(show)


def _facts(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(make_checkpoint):
    return make_checkpoint("phi", num_hidden_layers=1)


@pytest.mark.parametrize(("file", "parameters"), [
    ("phi-2/config.json", "2,779,683,840"), ("llama-3/config.Llama-3.1-8B-Instruct.json", "8,030,261,248"),
    ("qwen2/config.Qwen2-7B-Instruct.json", "7,615,616,512"),
])  # fmt: skip
def test_exact_counts_of_the_published_shapes(shared, file, parameters):
    result = CliRunner().invoke(app, [str(shared / "data/tokenizers" / file)], catch_exceptions=False)
    assert parameters in result.stdout


def test_a_checkpoint_says_whether_its_weights_fit(folder, tmp_path):
    facts = _facts(folder)
    assert facts["family"] == "phi" and facts["fits its config"] == "yes"
    assert facts["parameters"] == facts["stored parameters"] and facts["prompting"] == "chat"
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_bytes()) | {"num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert _facts(tmp_path)["fits its config"].startswith("no: model.layers.1.")


def test_a_checkpoint_without_weights_says_so(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    facts = _facts(tmp_path)
    assert "not here" in facts["weights"] and "stored parameters" not in facts


def test_the_digest_and_the_card_are_shown(make_checkpoint):
    checkpoint = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    checkpoint.write_card(Card(base="phi-2", recipe=["depth:drop=4", "[/red]"], derivation="compressed"))
    facts = _facts(checkpoint.path, "--digest")
    assert facts["digest"] == checkpoint.digest and facts["recipe"] == "depth:drop=4 [/red]"
    assert "[/red]" in CliRunner().invoke(app, [str(checkpoint.path)], catch_exceptions=False).stdout


def test_a_report(tmp_path):
    score = TaskScore(protocol="p/1", score="117/2", samples=2, of=4, prompting="chat", engine={})
    report = Report(checkpoint="c", name="m", parameters=5, bytes=10, dtypes={}, tasks={"t": score}, memory={"rss": 7})
    report.save(tmp_path)
    facts = _facts(tmp_path)
    assert facts["scores"]["t"]["score"] == "117/2" and facts["memory, rss"] == 7
    assert _readable("scores", facts["scores"]) == "t: 58.50 % of 2 of 4 rows (p/1)"


@pytest.mark.parametrize(("value", "shown"), [
    (0.02, "0.02"), (1e-05, "1e-05"), (0.0, "0"), (12.345678, "12.35"), (1234.56, "1,234.6"), (500000.0, "500,000.0"),
])  # fmt: skip
def test_small_numbers_keep_their_digits(value, shown):
    assert _readable("initializer_range", value) == shown
    assert _readable("config", {"initializer_range": value}) == f"initializer_range: {shown}"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def _change(path):
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))


@pytest.mark.parametrize(("harm", "said"), [
    (lambda path: None, "checksums hold"), (_cut, "t.jsonl has 2 whole answers, the report counts 3"),
    (_change, "line 2 of {path} is damaged"), (lambda path: path.unlink(), "there is no file {path}"),
    (lambda path: path.write_bytes(path.read_bytes() + JsonLog.line({"n": 4})), "t.jsonl has 4 whole"),
])  # fmt: skip
def test_a_report_names_the_file_of_answers_that_differs(tmp_path, harm, said):
    scores = {name: TaskScore(protocol="p/1", score="1", samples=3, of=4, prompting="chat", engine={}) for name in "st"}
    Report(checkpoint="c", name="m", parameters=5, bytes=10, dtypes={}, tasks=scores).save(tmp_path)
    for name in scores:
        with answers_log(tmp_path, name) as log:
            log.append([{"n": n} for n in range(3)])
    harm(answers_log(tmp_path, "t").path)
    told = _facts(tmp_path)["answers"]
    assert said.format(path=tmp_path / "answers/t.jsonl") in "".join(told) and "s.jsonl" not in "".join(told)


def test_a_report_in_the_making_says_how_to_go_on(tmp_path):
    with JsonLog(tmp_path / "log" / "chid.jsonl") as log:
        log.append([{"n": 1}, {"n": 2}])
    facts = _facts(tmp_path)
    assert facts["answers kept"] == {"chid": 2} and "again" in facts["report"]


def test_a_suite_and_a_bundle(tmp_path, own):
    assert _facts(own({"gsm8k/test.jsonl": b"{}"}).root)["files"] == ["gsm8k/test.jsonl"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").write_text('{"target": "gguf"}')
    assert _facts(tmp_path / "b")["target"] == "gguf"


def test_a_plugin_shows_its_options():
    facts = _facts("hf")
    assert facts["engines"] == "hf" and {each["name"]: each["default"] for each in facts["options"]}["batch"] == "8"
    shown = CliRunner().invoke(app, ["depth"], catch_exceptions=False).stdout
    assert "depth:drop=…" in shown and re.search(r"drop +whole number +how many layers go", shown)
    assert re.search(r"score +bi, angle or kl +bi +which ones", shown) and "Attributes" not in shown
    shown = CliRunner().invoke(app, ["kv"], catch_exceptions=False).stdout
    assert re.search(r"heads +whole number +required +how many key/value heads stay", shown)


def test_a_name_of_two_kinds_leads_to_both():
    assert _facts("local")["see also"] == ["devices/local"]
    assert "threads" in {each["name"] for each in _facts("devices/local")["options"]}


@pytest.mark.parametrize(("what", "error"), [
    ("gsm9k", UnknownName), ("nope", MissingInput), ("no/such", MissingInput), ("none.zip", MissingInput),
    ("empty", MissingInput), ("config.json", BadFile),
])  # fmt: skip
def test_what_is_not_there_or_damaged_is_named(tmp_path, monkeypatch, what, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(error):
        _facts(what)


def test_no_torch_is_loaded(folder):
    code = (
        "import sys; sys.argv = ['edgelm', 'show', sys.argv[1]]; from edgelm.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True)


def test_a_miss_that_is_like_no_name_says_what_can_be_shown():
    with pytest.raises(MissingInput) as missed:
        _facts("nope")
    assert "submission" in missed.value.mend and "edgelm ls" in missed.value.mend


@pytest.fixture
def package(make_checkpoint, tmp_path):
    model = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    pack({"base": Entry(model.path)}, team="red", track="compression", rules=Miniature(), out=tmp_path / "red")
    return tmp_path / "red"


def test_each_track_of_a_board(package, tmp_path):
    made = publish(Miniature(), [package], tmp_path / "board", page=False)
    facts = _facts(tmp_path / "board")
    assert facts["compression, teams"] == {"red": "rank 1, 0.00 points"}
    again = made[0].model_copy(update={"track": "from-scratch"})
    write_json(tmp_path / "board/from-scratch/standings.json", again.model_dump(mode="json"))
    assert {"compression, teams", "from-scratch, teams"} <= set(_facts(tmp_path / "board"))
    assert _facts(tmp_path / "board/from-scratch")["track"] == "from-scratch"
    (tmp_path / "board/compression/standings.json").write_text("{}")
    with pytest.raises(BadFile):
        _facts(tmp_path / "board")


def test_what_verify_and_rescore_wrote(tmp_path):
    row = Rescored("base", "gsm8k", "different", notes=("x",))
    found = Rescoring("ab", (row,))
    write_json(tmp_path / RESCORED, found.as_json())
    assert _facts(tmp_path)["rows"] == ["base gsm8k: different, claimed –, recomputed –"]
    verified = Verified({"base": [Result("M-03", "one prompt repeated", "valid", "3 % faster")]}, found)
    write_json(tmp_path / VERIFIED, verified.as_json())
    facts = _facts(tmp_path)
    assert facts["verdict"] == "valid" and facts["base"] == {"M-03 one prompt repeated": "valid: 3 % faster"}
    for name in (VERIFIED, RESCORED):
        write_json(tmp_path / name, {"results": [], "rows": [{}]})
        with pytest.raises(BadFile):
            _facts(tmp_path)
        (tmp_path / name).unlink()


def test_a_submission_in_any_archive(package, tmp_path):
    with tarfile.open(tmp_path / "red.tar", "w") as archive:
        for name in tree_files(package):
            archive.add(package / name, name)
    assert _facts(tmp_path / "red.tar")["team"] == "red"


def test_long_options_are_wrapped():
    lines = CliRunner().invoke(app, ["neurips-2024"], catch_exceptions=False).stdout.splitlines()
    assert max(len(line.rstrip()) for line in lines) < 140
