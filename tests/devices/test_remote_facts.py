"""What a device tells of itself, and what it does not is left out."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from edgelm.devices.remote_facts import conditions, facts, machine
from edgelm.devices.transport import Link


@pytest.mark.parametrize("shell", ["sh", "mksh", "busybox"])
def test_this_machine_tells_what_it_is(shell: str, link: Link, tmp_path: Path) -> None:
    if not (where := shutil.which(shell)):
        pytest.skip(f"no {shell}: apt-get install mksh busybox")
    if shell != "sh":
        (tmp_path / "sh").write_text(f'#!/bin/sh\nexec {where} {"sh" if shell == "busybox" else ""} "$@"\n')
        (tmp_path / "sh").chmod(0o755)
        link = dataclasses.replace(link, prefix=("env", f"PATH={tmp_path}:{os.environ['PATH']}", *link.prefix))
    found, now = facts(link)
    assert found["architecture"] == os.uname().machine and found["cores"] >= 1
    assert found["memory_bytes"] > 2**20 and found["kernel"] == os.uname().release
    assert now["memory_available_bytes"] <= found["memory_bytes"] and now["load_average_1min"] >= 0
    assert "android" not in found and "screen" not in now


def test_a_phone_is_named_as_one_knows_it() -> None:
    told = {"maker": ["Google"], "product": ["Pixel 8"], "android": ["14"], "platform": ["zuma"], "cores": ["9"],
            "MemTotal": ["MemTotal:       11847224 kB"]}  # fmt: skip
    assert machine(told) == {"model": "Google Pixel 8", "soc": "zuma", "cores": 9, "memory_bytes": 11847224 * 1024,
                             "android": "14"}  # fmt: skip
    assert machine(told | {"product": ["google Pixel 8"], "soc": ["Tensor G3"]})["model"] == "google Pixel 8"
    assert machine({"model": ["Pi 5"], "cpu": ["model name\t: ARM"]}) == {"model": "Pi 5", "cpu": "ARM"}
    assert machine({}) == {}


def test_the_hottest_zone_counts_and_nonsense_does_not() -> None:
    told = {"zone cpu": ["41200"], "zone gpu": ["38"], "zone not wired": ["-273000"], "zone broken": ["200000"],
            "zone words": ["none"], "zone off": ["0"]}  # fmt: skip
    assert conditions(told) == {"temperature_celsius": 41.2}


def test_all_governors_battery_and_screen_are_told() -> None:
    told = {"governor": ["walt", "performance", "walt"], "cores": ["8"], "load": ["3.25 2.1 1.0 2/900 77"],
            "level": ["87"], "plugged": ["USB"], "battery": ["305"], "screen": ["Awake"]}  # fmt: skip
    assert conditions(told) == {
        "governor": "performance+walt", "cores_allowed": 8, "load_average_1min": 3.25, "battery_percent": 87,
        "charging": "USB", "battery_celsius": 30.5, "screen": "awake",
    }  # fmt: skip
    assert conditions({"capacity": ["55"], "status": ["Discharging"]}) == {
        "battery_percent": 55, "charging": "Discharging",
    }  # fmt: skip


@pytest.mark.parametrize("row", ["MemTotal: many kB", "MemTotal:", ""])
def test_memory_that_is_no_number_is_left_out(row: str) -> None:
    assert machine({"MemTotal": [row]}) == {}
