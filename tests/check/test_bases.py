"""Whether the base that a card names is one that its slot accepts."""

from __future__ import annotations

from typing import Any

import pytest

from edgelm.check.look import Model, Package
from edgelm.check.model import base
from edgelm.plugins import parse
from edgelm.submission import Submission

OTHER = "0a1b" * 16


def severities(package: Any, bases: str) -> list[str]:
    rules = parse("rules", f"miniature:bases={bases}")
    found = base(Model(Package(Submission(package.path), rules, None), "base", "models/base"))
    return [one.severity for one in found]


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ("", []),
        ("base/someone/TINY-lm", []),
        ("base/someone/other", ["R"]),
        (f"base/someone/tiny-lm@{OTHER}", ["E"]),
        (f"base/someone/other@{OTHER}+base/someone/third", ["R"]),
        (f"base/someone/other@{OTHER}+base/someone/tiny-lm", []),
    ],
)
def test_a_name_is_a_matter_for_a_person_and_a_digest_decides(package: Any, bases: str, expected: list[str]) -> None:
    package.edit_card(base="tiny-lm", parents=["7" * 64, "8" * 64])
    assert severities(package, bases) == expected


def test_a_base_is_known_by_its_digest_whatever_its_folder_is_called(package: Any) -> None:
    package.edit_card(base="download", parents=["7" * 64, OTHER])
    assert severities(package, f"base/someone/other@{OTHER}") == []
