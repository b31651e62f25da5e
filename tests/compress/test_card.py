"""What the card says of the text that healing read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.calibrate import draw
from edgelm.compress.depth import Depth
from edgelm.compress.fallback import built_in
from edgelm.compress.heal import Heal
from edgelm.compress.run import compress
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource, upstream_sets

SMALL: Any = {"tokens": 400, "sequence": 48}
REPLACE = Depth(1, replace=True, learn_tokens=200)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def base(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama", vocab_size=384))


@pytest.mark.parametrize("steps", [
    [Heal(500, "full")], [Heal(500, "lora", rank=4)], [Heal(500, "block")], [REPLACE],
    [Vocab(keep=320), REPLACE, Heal(500, "full"), Heal(100, "block")],
], ids=["full", "lora", "block", "replace", "all"])  # fmt: skip
def test_what_healing_read_is_data_too(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path, steps: list[Step]
) -> None:
    """Once, however many steps read it, beside what was calibrated on."""
    calibration = draw(base, texts, **SMALL)
    card = compress(base, steps, tmp_path / "out", texts=texts, **SMALL).card
    said = card.model_dump()
    healing = said["healing"]
    assert healing["teacher"] == base.digest
    assert healing["tokens"] == sum(source["tokens"] for source in healing["sources"])
    assert healing["tokens"] in (range(200, 248) if steps == [REPLACE] else range(500, 548))
    assert [(source.name, source.tokens) for source in card.data] == [
        ("squares", calibration.record["tokens"] + healing["tokens"])
    ]


def test_text_that_only_healing_read_counts_for_the_rules(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    """All of the calibration's is Alpaca, whose documents end there; healing goes on with others."""
    digest = next(digest for digest, (name, _) in upstream_sets().items() if name == "alpaca")
    alpaca = replace(texts[0], name="alpaca", sha256=digest, known=True, documents=texts[0].documents[:30])
    other = TextSource("own.txt", built_in().documents, "0" * 64, "MIT")
    used = {"alpaca"}
    for seed in range(40):  # until one has it that what is not allowed was held out, or comes later
        calibration = draw(base, [alpaca, other], tokens=24, sequence=24, seed=seed)
        if {source.name for source in calibration.sources} == used:
            break
    assert calibration.allowed
    small = {"texts": [alpaca, other], "tokens": 24, "sequence": 24, "seed": seed}
    plain = compress(base, [Width(96)], tmp_path / "plain", **small).card.model_dump()
    healed = compress(base, [Heal(2000, "block")], tmp_path / "healed", **small).card.model_dump()
    assert (plain["data_allowed"], plain["healing"]) == (True, None)
    assert not healed["data_allowed"]
    assert [(source["name"], source["licence"]) for source in healed["data"]] == [("alpaca", ""), ("own.txt", "MIT")]


def test_without_further_text_it_is_that_of_the_calibration(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    made = compress(base, [Heal(300, "block")], tmp_path / "out", texts=texts, tokens=10**5, sequence=48).card
    said = made.model_dump()
    assert said["healing"]["tokens"] == said["calibration"]["tokens"] == made.data[0].tokens
    assert said["healing"]["sources"] == [made.data[0].model_dump()]


def test_a_resumed_run_says_the_same(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed behind the step that has read the most, which is not taken again."""
    recipe: list[Step] = [Heal(500, "block"), Heal(100, "block")]
    whole = compress(base, recipe, tmp_path / "whole", texts=texts, **SMALL).card.model_dump()
    real = Heal.apply

    def dying(step: Heal, *given: Any) -> dict[str, Any]:
        if step.tokens == 100:
            raise Killed
        return real(step, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Heal, "apply", dying)
        with pytest.raises(Killed):
            compress(base, recipe, tmp_path / "out", texts=texts, **SMALL)
    resumed = compress(base, recipe, tmp_path / "out", texts=texts, **SMALL).card.model_dump()
    assert [resumed[key] for key in ("data", "data_allowed", "healing", "quality")] == [
        whole[key] for key in ("data", "data_allowed", "healing", "quality")
    ]
