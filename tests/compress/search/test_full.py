from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Card, Checkpoint, write_config
from edgelm.compress.base import Step
from edgelm.compress.heal import Heal
from edgelm.compress.run import compress
from edgelm.compress.search.found import Found
from edgelm.compress.search.full import full
from edgelm.compress.search.limits import Limit
from edgelm.compress.search.quick import quick
from edgelm.compress.stream.saved import work_folder
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption, MissingInput, Unsupported
from edgelm.plugins import spec_of

SMALL: Any = {"tokens": 600, "sequence": 48}
MakeCheckpoint = Callable[..., Path]


@pytest.fixture
def base(make_checkpoint: MakeCheckpoint) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama", num_hidden_layers=8))


@pytest.fixture
def found(base: Checkpoint, texts: list[TextSource]) -> Found:
    """Recipes of what is quickly done alone, so that the best one is not made twice."""
    made = quick(base, [], Limit(parameters=round(0.7 * base.parameters)), texts, **SMALL)
    assert made.line.endswith(" repair")
    return replace(made, space=replace(made.space, thorough=False))


class Maker:
    """Writes folders that claim the next of some costs; an error instead of one is raised."""

    def __init__(self, *kls: float | BaseException) -> None:
        self.kls, self.made = list(kls), list[str]()

    def __call__(self, steps: Sequence[Step], out: Path) -> Checkpoint:
        self.made.append(" ".join(map(spec_of, steps)))
        kl = self.kls.pop(0)
        if isinstance(kl, BaseException):
            raise kl
        with work_folder(out, {}):  # as a compression does
            out.mkdir()
        write_config(out / "config.json", {})
        made = Checkpoint(out)
        made.write_card(Card.model_validate({"recipe": self.made[-1].split(), "quality": {"kl": kl}}))
        return made


def test_the_quick_one_finds_a_recipe_that_fits(base: Checkpoint, found: Found) -> None:
    config = base.config
    for step in found.steps:
        config = step.plan(config)
    assert found.best.candidate.parameters <= 0.7 * base.parameters
    assert found.best.candidate.memory > 0
    assert found.best.error == min(choice.error for choice in found.ranked) > 0


def test_it_is_the_same_every_time(base: Checkpoint, found: Found, texts: list[TextSource]) -> None:
    again = quick(base, [], Limit(parameters=round(0.7 * base.parameters)), texts, **SMALL)
    assert (again.ranked, again.front) == (found.ranked, found.front)


def test_what_cannot_be_searched_is_refused(base: Checkpoint, texts: list[TextSource]) -> None:
    with pytest.raises(BadOption, match="fits"):
        quick(base, [], Limit(parameters=1000), texts, **SMALL)
    for path in base.weight_files:
        path.unlink()
    with pytest.raises(MissingInput, match="no weights"):
        quick(Checkpoint(base.path), [], Limit(parameters=1000), texts, **SMALL)


def test_the_one_that_costs_least_is_kept(found: Found, tmp_path: Path) -> None:
    make = Maker(0.5, 0.25, 0.75, Unsupported("overflows"))
    made = full(found, tmp_path / "out", make, {}, most=4)
    assert make.made == [found.recipe(choice) for choice in found.ranked[:4]]
    assert [choice.kl for choice in made.ranked] == [0.25, 0.5, 0.75]
    assert made.line == make.made[1] == " ".join(Checkpoint(tmp_path / "out").card.recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_are_on_the_disk_at_the_most(found: Found, tmp_path: Path) -> None:
    most = 0

    class Watching(Maker):
        def __call__(self, steps: Sequence[Step], out: Path) -> Checkpoint:
            nonlocal most
            made = super().__call__(steps, out)
            most = max(most, len([path for path in out.parent.iterdir() if path.is_dir()]))
            return made

    full(found, tmp_path / "out", Watching(0.5, 0.25, 0.75, 0.125, 0.25), {}, most=5)
    assert most == 2


def test_a_killed_search_goes_on(found: Found, tmp_path: Path) -> None:
    for make in (Maker(0.5, 0.25, KeyboardInterrupt()), Maker(KeyboardInterrupt())):
        with pytest.raises(KeyboardInterrupt):
            full(found, tmp_path / "out", make, {"base": "a"}, most=4)
    rest = Maker(0.75, 1.0)
    made = full(found, tmp_path / "out", rest, {"base": "a"}, most=4)
    assert rest.made == [found.recipe(choice) for choice in found.ranked[2:4]]
    assert [choice.kl for choice in made.ranked] == [0.25, 0.5, 0.75, 1.0]
    assert " ".join(Checkpoint(tmp_path / "out").card.recipe) == found.recipe(found.ranked[1])


def test_candidates_are_built_untrained_and_the_best_is_trained(
    base: Checkpoint, texts: list[TextSource], tmp_path: Path
) -> None:
    found = quick(base, [Heal(tokens=1000)], Limit(parameters=round(0.7 * base.parameters)), texts, **SMALL)
    make = Maker(0.5, 0.25, 0.125)
    made = full(found, tmp_path / "out", make, {}, most=2)
    quick_ones = [found.recipe(choice).removesuffix(" repair heal:tokens=1000") for choice in found.ranked[:2]]
    assert make.made == [*quick_ones, found.recipe(found.ranked[1])]
    assert made.line == found.recipe(found.ranked[1])
    assert " ".join(Checkpoint(tmp_path / "out").card.recipe) == made.line


def test_one_of_other_settings_begins_anew(found: Found, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        full(found, tmp_path / "out", Maker(0.5, KeyboardInterrupt()), {"base": "a"}, most=2)
    again = Maker(0.5, 0.25)
    full(found, tmp_path / "out", again, {"base": "b"}, most=2)
    assert len(again.made) == 2


def test_without_any_that_can_be_built(found: Found, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no candidate") as caught:
        full(found, tmp_path / "out", Maker(Unsupported("one"), Unsupported("two")), {}, most=2)
    assert caught.value.why == "two"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").write_text("")
    with pytest.raises(BadOption, match="exists"):
        full(found, tmp_path / "out", Maker(), {})


def test_what_is_left_is_what_the_recipe_makes(
    base: Checkpoint, found: Found, texts: list[TextSource], tmp_path: Path
) -> None:
    def make(steps: Sequence[Step], out: Path) -> Checkpoint:
        return compress(base, steps, out, texts=texts, **SMALL)

    (tmp_path / "out").mkdir()
    made = full(found, tmp_path / "out", make, {}, most=2)
    result = Checkpoint(tmp_path / "out")
    assert result.parameters == made.best.candidate.parameters
    assert result.card.recipe == made.line.split()
    assert result.compute_digest() == make(made.steps, tmp_path / "again").digest
