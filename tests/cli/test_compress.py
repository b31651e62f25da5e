"""`edgelm compress`: what is printed of a result, and what of it stands on card and page."""

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from edgelm.checkpoint import Checkpoint
from edgelm.cli.compress import compress

app = typer.Typer()
app.command()(compress)
STEPS = ("depth:drop=1", "width:ffn=96")
SMALL = ("--offline", "--calib-tokens", "600", "--seq", "48")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(f"The square of {n} is {n * n}; its cube is {n**3}. Next!" for n in range(60)))
    return path


def run(*arguments):
    """What is printed on stdout and on stderr."""
    result = CliRunner().invoke(app, [*map(str, arguments), *SMALL], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_each_step_has_its_quality_and_speed(make_checkpoint, text, tmp_path):
    base = make_checkpoint("llama")
    printed, noted = run(base, *STEPS, "--calib", text, "-o", tmp_path / "out")
    steps = Checkpoint(tmp_path / "out").card.model_dump()["steps"]
    table = printed[printed.index("quality on held-out text") :]
    for step in steps:
        row = re.search(rf"^{step['step']} .*$", table, re.MULTILINE).group().split()
        assert row[1:3] == [f"{step['quality']['perplexity']:.4g}", f"{step['quality']['kl']:.4g}"]
        assert row[4] == f"{step['speed']['decode']['faster']:.2f}×"
    assert float(row[3].rstrip("×")) > 1  # what is read for a token
    assert re.search(r"a token is written in [\d.e-]+ ms", noted)


def test_the_base_is_judged_in_its_own_tokens_first(make_checkpoint, text, tmp_path):
    base = make_checkpoint("llama", vocab_size=384)
    printed, _ = run(base, "vocab:keep=320", "depth:drop=1", "--calib", text, "-o", tmp_path / "out")
    quality = Checkpoint(tmp_path / "out").card.model_dump()["quality"]
    rows = re.findall(r"^(base.*?) {2,}([\d.]+)", printed[printed.index("quality on held-out text") :], re.MULTILINE)
    assert rows == [
        ("base", f"{quality['perplexity_original']:.4g}"),
        ("base, over the tokens that are left", f"{quality['perplexity_base']:.4g}"),
    ]
    assert rows[0][1] != rows[1][1]
    printed, _ = run(base, "depth:drop=1", "vocab:keep=320", "--calib", text, "-o", tmp_path / "other")
    table = printed[printed.index("quality on held-out text") :].splitlines()
    places = {line.split("  ")[0]: number for number, line in enumerate(table)}
    assert places["base"] < places["depth:drop=1"] < places["base, over the tokens that are left"]


def test_all_of_it_is_json_too_without_the_steps_of_earlier_runs(make_checkpoint, text, tmp_path):
    run(make_checkpoint("llama"), "width:ffn=112", "--calib", text, "-o", tmp_path / "first")
    printed, _ = run(tmp_path / "first", *STEPS, "--calib", text, "-o", tmp_path / "second", "--json")
    said, card = json.loads(printed), Checkpoint(tmp_path / "second").card.model_dump()
    assert [step["step"] for step in said["steps"]] == ["base", *STEPS]
    assert said["steps"][1:] == [
        {key: step[key] for key in ("step", "parameters", "bytes", "read", "quality", "speed", "seconds")}
        for step in card["steps"][1:]
    ]
    assert said["quality"] == card["quality"] == said["steps"][-1]["quality"]


def test_what_a_search_found_is_on_card_and_page(make_checkpoint, text, tmp_path):
    base = make_checkpoint("llama", num_hidden_layers=6)
    most = round(0.8 * Checkpoint(base).parameters)
    found = tmp_path / "found"
    printed, _ = run(base, "--target-params", most, "--calib", text, "-o", found, "--json")
    search = Checkpoint(found).card.model_dump()["search"]
    assert search == json.loads(printed)["search"]
    assert "What the search found" in (found / "report.html").read_text()
    run(found, "depth:drop=1", "--calib", text, "-o", tmp_path / "further")
    assert "search" not in Checkpoint(tmp_path / "further").card.model_dump()  # it was of the run before


def test_a_plan_says_what_changes_nothing(edgelm, make_checkpoint):
    base = make_checkpoint("llama")
    width = json.loads((base / "config.json").read_text())["intermediate_size"]
    code, _, err = edgelm("compress", base, "depth:drop=1", f"width:ffn={width}", "--plan")
    assert code == 0 and f"width:ffn={width} changes nothing" in err and "depth:drop=1 changes" not in err


def test_a_plan_misses_a_data_folder_too(edgelm, make_checkpoint, tmp_path):
    code, _, err = edgelm("compress", make_checkpoint("llama"), "depth:drop=1", "--plan",
                          "--data", tmp_path / "nope")  # fmt: skip
    assert code == 2 and "there is no data folder" in err
