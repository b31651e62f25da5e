"""What all remote devices share: options that are checked, bundles that are run, checkpoints that are not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.devices import remote_device
from edgelm.devices.remote import look
from edgelm.devices.remote_device import Remote
from edgelm.devices.remote_facts import facts
from edgelm.devices.transport import Link
from edgelm.errors import BadOption, Unsupported
from edgelm.report import Workload

MakeBundle = Callable[..., Bundle]
WORKLOAD = Workload(prompt_tokens=8, generated_tokens=4, repeats=2)


@dataclass(frozen=True)
class Here(Remote):
    """This machine as a remote one."""

    link: Link

    @contextlib.contextmanager
    def connected(self) -> Iterator[Link]:
        yield self.link


def silent(what: str, done: int, of: int) -> None:
    pass


@pytest.mark.parametrize("options", [
    {"threads": -1}, {"memory_limit": -1}, {"keep": -1}, {"time_limit": 0},
])  # fmt: skip
def test_options_that_mean_nothing_are_refused(options: dict[str, int], link: Link) -> None:
    ((name, value),) = options.items()
    with pytest.raises(BadOption, match=f"{name}={value}"):
        Here(link, **options)  # type: ignore[arg-type]


def test_a_bundle_is_measured_where_the_link_leads(link: Link, real_bundle: MakeBundle) -> None:
    found = Here(link, threads=3, keep=0).measure(real_bundle(), WORKLOAD, silent)
    assert found.speed.device == "here" and found.speed.valid_repeats == 2
    assert found.memory == {"phone": 10 * 2**20, "phone-pss": 8 * 2**20}
    assert found.machine["cores"] and (found.speed.model_extra or {})["conditions"]["threads"] == 3
    assert not look(link).bundles


def test_conditions_are_those_behind_the_push(
    link: Link, real_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[int] = []

    def seen(link: Link) -> tuple[dict[str, Any], dict[str, Any]]:
        pushed.append(len(look(link).bundles))
        return facts(link)

    monkeypatch.setattr(remote_device, "facts", seen)
    found = Here(link).measure(real_bundle(), WORKLOAD, silent)
    assert pushed == [1] and (found.speed.model_extra or {})["conditions"]["cores_allowed"] == found.machine["cores"]


def test_repeats_are_not_lost_when_the_program_ends_behind_them(link: Link, real_bundle: MakeBundle) -> None:
    found = Here(link).measure(real_bundle(last=9), WORKLOAD, silent)
    assert found.speed.valid_repeats == 2 and found.memory["phone"]
    assert "roofline could not be measured" in (found.speed.model_extra or {})["notes"][-1]


def test_options_reach_the_runner(link: Link, bundle_of: MakeBundle) -> None:
    with Here(link, threads=5).started(bundle_of(), context=9) as runner:
        assert (runner.ready.threads, runner.ready.context) == (5, 9)
    with (
        pytest.raises(Unsupported, match="needs more memory"),
        Here(link, memory_limit=1000).started(bundle_of(), context=9),
    ):
        pass


def test_a_checkpoint_says_how_it_becomes_a_bundle(link: Link, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Unsupported, match="is a checkpoint, and a device runs bundles") as caught:
        Here(link).measure(Checkpoint(tmp_path), WORKLOAD, silent)
    assert f"edgelm deploy {tmp_path} android -o" in caught.value.mend
    assert not Path(link.folder).exists()


def test_a_workload_that_cannot_be_run_is_refused_before_anything_is_pushed(
    link: Link, real_bundle: MakeBundle
) -> None:
    for workload in (WORKLOAD.model_copy(update={"batch": 2}), WORKLOAD.model_copy(update={"prompt_tokens": 10**6})):
        with pytest.raises(Unsupported):
            Here(link).measure(real_bundle(), workload, silent)
    assert not Path(link.folder).exists()
