"""The ready recipes, planned on the exact configurations: sizes, memory on a phone, and what takes the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.costs.forecast import Forecast, forecast
from edgelm.compress.heal import Heal
from edgelm.compress.recipe import Row, plan
from edgelm.compress.search.limits import PHONES
from edgelm.compress.stream.imported import imported
from edgelm.plugins import parse
from edgelm.recipe import read_recipe, steps_of

FOLDER = Path(__file__).parents[2] / "recipes" / "compress"
CONFIGS = {
    "llama-3-8b": "llama-3/config.Llama-3.1-8B-Instruct.json", "qwen2-7b": "qwen2/config.Qwen2-7B-Instruct.json",
    "qwen-7b": "qwen-7b/config.json", "phi-2": "phi-2/config.json",
}  # fmt: skip


class Made(NamedTuple):
    """What a recipe makes: dimensions, exact parameters, bytes of keys and values, and whether the script takes it."""

    layers: int
    width: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int
    parameters: int
    cache: float  # GB at 2,048 tokens
    script: bool = False


EXPECTED = {
    "llama-3-8b": Made(28, 3072, 9216, 32, 8, 65_536, 3_661_802_496, 0.23),
    "llama-3-8b-all-layers": Made(32, 3072, 9216, 32, 8, 65_536, 4_127_394_816, 0.27),
    "llama-3-8b-full-stream": Made(24, 4096, 8192, 32, 8, 65_536, 3_959_623_680, 0.20),
    "qwen2-7b": Made(24, 3072, 11_264, 24, 4, 98_304, 3_624_127_488, 0.10),
    "qwen2-7b-all-layers": Made(28, 3584, 8192, 28, 4, 76_032, 3_833_665_024, 0.12),
    "qwen2-7b-full-stream": Made(24, 3584, 9472, 28, 4, 76_032, 3_694_157_312, 0.10),
    "qwen-7b": Made(28, 3072, 9216, 24, 8, 75_968, 3_549_879_296, 0.23),
    "phi-2": Made(24, 2560, 10_240, 32, 8, 51_200, 1_914_291_200, 0.13),
    "phi-2-all-heads": Made(24, 2560, 10_240, 32, 32, 51_200, 2_150_312_960, 0.50, script=True),
    "phi-2-evenly": Made(28, 2240, 8960, 28, 28, 51_200, 1_916_035_200, 0.51, script=True),
}  # fmt: skip


def base_of(name: str) -> str:
    return max((base for base in CONFIGS if name.startswith(base)), key=len)


def steps_in(name: str, *changes: str) -> list[Step]:
    return [parse("compress", spec) for spec in steps_of([str(FOLDER / f"{name}.txt"), *changes], "compress")]


@pytest.fixture(params=EXPECTED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def base(name: str, shared: Path, tmp_path: Path) -> Checkpoint:
    """A folder that holds the exact configuration of the recipe's base, and nothing else."""
    config = shared / "data" / "tokenizers" / CONFIGS[base_of(name)]
    if not config.is_file():
        pytest.skip(f"there is no {config}")
    shutil.copyfile(config, tmp_path / "config.json")
    return imported(Checkpoint(tmp_path))


@pytest.fixture
def planned(name: str, base: Checkpoint) -> tuple[Row, Forecast]:
    """What the recipe makes of its base, from the configuration alone, and what that needs."""
    rows = plan(base, steps_in(name))
    return rows[-1], forecast(base, rows, 16_384, "float16")


def test_every_recipe_is_expected() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(EXPECTED)


def test_sizes_are_exact(name: str, planned: tuple[Row, Forecast]) -> None:
    shape, made = planned[0].shape, EXPECTED[name]
    found = (shape.layers, shape.width, shape.ffn, shape.heads, shape.kv_heads, shape.vocab, shape.parameters)
    assert found == made[:7]
    assert shape.kv_bytes(2048, 2) / 1e9 == pytest.approx(made.cache, abs=0.006)


def test_a_phone_holds_it(planned: tuple[Row, Forecast]) -> None:
    row, needs = planned
    assert needs.phone <= PHONES["12GB"]
    assert needs.phone == 2 * row.parameters + row.shape.kv_bytes(2048, 2) + 4 * row.shape.vocab + 400_000_000


def test_it_runs_elsewhere(name: str, planned: tuple[Row, Forecast]) -> None:
    exports = planned[1].exports
    assert (exports.runtime, exports.mlc) == ("", "")
    assert (exports.script == "") is EXPECTED[name].script


def test_the_comment_says_what_it_makes(name: str, planned: tuple[Row, Forecast]) -> None:
    text, (row, needs) = (FOLDER / f"{name}.txt").read_text(), planned
    assert f"{row.parameters:,} parameters" in text
    assert f"{2 * row.parameters / 1e9:.1f} GB of weights" in text
    assert int(text.partition("it learns: about ")[2].split()[0]) == pytest.approx(needs.memory / 1e9, rel=0.05)
    assert f"recipes/compress/{name}.txt" in text


def test_enough_text_is_asked_for_to_refit_by(name: str, base: Checkpoint, planned: tuple[Row, Forecast]) -> None:
    """Twice as many tokens as channels, where the feed-forward is narrowed."""
    _, option, rest = (FOLDER / f"{name}.txt").read_text().partition("--calib-tokens ")
    tokens = int(rest.split()[0]) if option else 16_384
    if planned[0].shape.ffn != base.shape.ffn:
        assert tokens >= 2 * base.shape.ffn


def test_healing_ends_it_and_can_be_changed(name: str, base: Checkpoint) -> None:
    whole, block, without = (
        plan(base, steps_in(name, *changes)) for changes in ([], ["heal:method=block"], ["heal:tokens=0"])
    )
    assert steps_in(name)[-1] == Heal(tokens=50_000_000)
    assert (whole[-1].step, block[-1].step) == ("heal:tokens=50000000", "heal:tokens=50000000,method=block")
    assert block[:-1] == whole[:-1] == without
    assert [rows[-1].config for rows in (block, whole)] == 2 * [without[-1].config]
    needs = [forecast(base, rows, 16_384, "float16").memory for rows in (whole, block)]
    assert needs[0] > 2 * needs[1]


def test_steps_are_in_the_good_order(name: str) -> None:
    order = ["vocab", "depth", "width", "kv", "heal"]
    names = [spec.partition(":")[0] for spec in read_recipe(FOLDER / f"{name}.txt")]
    assert names == sorted(names, key=order.index)


@pytest.mark.parametrize("name", ["phi-2"])
def test_the_command_takes_it(base: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    from edgelm.cli.compress import compress

    compress(base.path, [str(FOLDER / "phi-2.txt")], plan=True, json=True)
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["parameters"] for step in steps][-1] == EXPECTED["phi-2"].parameters
