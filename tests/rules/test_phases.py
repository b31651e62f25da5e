from datetime import UTC, datetime, timedelta, timezone

import pytest

from edgelm.errors import BadOption, UnknownName
from edgelm.rules.phases import instant, phase_named, phase_table, shown


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "counts"),
    [(utc(2024, 10, 26, 11, 59, 59, 999_000), True), (utc(2024, 10, 26, 12), False), (utc(2024, 9, 30, 12), True),
     (utc(2024, 9, 30, 11, 59, 59), False)],
)  # fmt: skip
def test_a_day_ends_when_it_is_over_everywhere(received, counts):  # G-18
    [phase] = phase_table({"scored": ("2024-09-30 AoE", "2024-10-25 AoE")})
    assert phase.counts(received) is counts
    assert phase.counts(received.astimezone(timezone(timedelta(hours=9)))) is counts


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2024-10-26T12:00:00Z", utc(2024, 10, 26, 12)), ("2024-10-26T14:00:00+02:00", utc(2024, 10, 26, 12)),
     ("2024-10-25 AoE", utc(2024, 10, 25, 12)), ("2024-10-26 12:00 UTC", utc(2024, 10, 26, 12)),
     ("2024-10-26 00:00 AoE", utc(2024, 10, 26, 12))],
)  # fmt: skip
def test_instants_are_written_with_a_zone(text, moment):
    assert instant(text) == moment


@pytest.mark.parametrize(
    "text",
    ["2024-10-26T12:00:00", "2024-10-25", "2024-13-01 AoE", "9999-12-31 AoE", "2024-10-26 24:30 UTC",
     "2024-10-26 12:00 CET", "soon", ""],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(BadOption, match="is no instant"):
        instant(text, end=True)


def test_both_clocks_are_shown():
    assert shown(utc(2024, 10, 26, 12)) == "2024-10-26 12:00 UTC (2024-10-26 00:00 AoE)"


def test_phases_stand_in_order_and_are_found_by_name():
    table = phase_table({"b": ("2024-02-01 AoE", "2024-02-02 AoE"), "a": ("2024-01-01 AoE", "2024-01-01 AoE")})
    assert [phase.name for phase in table] == ["a", "b"]
    assert phase_named(table, "a").closes - phase_named(table, "a").opens == timedelta(days=1)
    with pytest.raises(UnknownName, match="phase"):
        phase_named(table, "c")
    with pytest.raises(BadOption, match="closes before"):
        phase_table({"a": ("2024-02-01T00:00:00Z", "2024-01-01T00:00:00Z")})
