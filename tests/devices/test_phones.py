from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.compress.costs import phone
from edgelm.compress.search.limits import PHONES
from edgelm.devices import phones
from edgelm.devices.phones import Pair, Profile
from edgelm.errors import BadFile, BadOption, UnknownName

PAIR = Pair(
    model="m", checkpoint="a" * 64, device="ssh:pi", decode=5.0, prefill=50.0, decode_factor=0.5, prefill_factor=2.0,
    memory_factor=1.1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(phones.OWN, str(tmp_path / "profiles"))
    return tmp_path / "profiles"


def test_what_is_built_in_is_whole_and_says_where_it_comes_from() -> None:
    known = phones.profiles()
    assert len(known) >= 5
    for name, profile in known.items():
        phones.require_name(name)
        assert profile.usable < profile.memory
        assert profile.nominal_bandwidth and profile.bandwidth < 0.8 * profile.nominal_bandwidth
        assert profile.basis == "estimate" and len(profile.source) > 60
        assert (profile.decode_factor, profile.prefill_factor, profile.memory_factor) == (1, 1, 1)


def test_flagships_are_as_published_and_as_compression_plans_for_them() -> None:
    known = phones.profiles()
    for name, profile in known.items():
        if name.startswith("flagship"):
            assert 40e9 <= profile.bandwidth <= 50e9
            assert 60e9 <= (profile.nominal_bandwidth or 0) <= 77e9
    assert known["flagship-2023-12gb"].usable == PHONES["12GB"]
    assert known["flagship-2023-16gb"].usable == 9_000_000_000
    assert phone.CONTEXT >= 2000


def test_the_users_profiles_come_first(own: Path) -> None:
    profile = phones.profiles()["raspberry-pi-5-8gb"]
    where = phones.save("raspberry-pi-5-8gb", profile.corrected(PAIR))
    assert where == own / "raspberry-pi-5-8gb.json"
    assert phones.profiles()["raspberry-pi-5-8gb"].pairs == (PAIR,)
    assert phones.chosen(["raspberry-pi-5-8gb"]).keys() == {"raspberry-pi-5-8gb"}
    assert phones.chosen([]).keys() == phones.profiles().keys()


def test_pairs_are_averaged_and_one_of_the_same_model_and_device_is_replaced() -> None:
    profile = phones.profiles()["raspberry-pi-5-8gb"].corrected(PAIR)
    other = PAIR.model_copy(update={"checkpoint": "b" * 64, "decode_factor": 2.0})
    both = profile.corrected(other)
    assert both.decode_factor == pytest.approx(1.0)
    assert both.prefill_factor == pytest.approx(2.0)
    again = both.corrected(PAIR.model_copy(update={"decode_factor": 8.0}))
    assert len(again.pairs) == 2
    assert again.decode_factor == pytest.approx(4.0)


def test_where_the_users_profiles_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(phones.OWN)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert phones.own_folder() == tmp_path / "edgelm/profiles"


@pytest.mark.parametrize(("changed", "field"), [
    ({"bandwidth": 0}, "bandwidth"), ({"bandwidth": 1e30}, "bandwidth"), ({"matrix_rate": "fast"}, "matrix_rate"),
    ({"usable": -1}, "usable"), ({"pairs": [{"model": "m"}]}, "pairs.0"), ({"title": ""}, "title"),
])  # fmt: skip
def test_a_damaged_profile_names_file_and_field(changed: dict[str, Any], field: str, own: Path) -> None:
    good = phones.profiles()["raspberry-pi-5-8gb"].model_dump(mode="json")
    own.mkdir()
    (own / "mine.json").write_text(json.dumps(good | changed))
    with pytest.raises(BadFile, match=rf"mine\.json: field {field}"):
        phones.profiles()


def test_unknown_and_impossible_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="no profile called 'raspbery-pi-5-8gb'") as caught:
        phones.chosen(["raspbery-pi-5-8gb"])
    assert "raspberry-pi-5-8gb" in caught.value.mend
    profile = phones.profiles()["raspberry-pi-5-8gb"]
    for name in ("", "../out", "A", "a/b", "x" * 65):
        with pytest.raises(BadOption, match="is no name for a profile"):
            phones.save(name, profile)


def test_infinities_are_no_rates() -> None:
    good = phones.profiles()["raspberry-pi-5-8gb"].model_dump()
    with pytest.raises(ValueError, match="bandwidth"):
        Profile.model_validate(good | {"bandwidth": float("inf")})
