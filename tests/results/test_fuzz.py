"""Whatever a file holds, reading it ends in figures or in a finding: random bytes, tables broken in many ways."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelm.check.base import finding
from edgelm.results.base import TASKS, UNITS, Claims, Expected
from edgelm.results.canonical import proposal
from edgelm.results.held import expected
from edgelm.results.read import read
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.submission import HEADER

RULES = Neurips2024()
HELD = [expected(RULES, track.slots, sizes=dict.fromkeys(track.slots, 5 << 30)) for track in RULES.tracks] + [
    Expected()
]
PIECES = [
    "GSM8K", "Model", "TruthfulQA", "Memory", "Throughput", "dataset,version,metric,mode,m", "phi-2", "llama", ",", ";",
    "\t", "|", "\n", "\r\n", "\r", '"', "'", "=1+1", "1e9", "1e99", "-", "−1", "0", "0.5", "0,5", "1.000,5", "40.24",
    "8 GB", "71 inf/s 0.01 s", "NaN", "inf", "%", " ", "\0", "�", "é", "|-|-|", "sep=;\n", "<html>", "９", "²", "१",
    "(", ")", "[%]", ",".join(HEADER), "\ufeff",
]  # fmt: skip
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sound(claims: Claims) -> None:
    """What holds of every reading."""
    assert claims.figures or claims.details or claims.notes
    for note in claims.notes:
        assert note.what and note.what.isprintable()
        made = finding(note.code, claims.name, note.what, mend=note.mend)  # each code is known
        assert made.why and made.mend
    for figure in claims.figures:
        assert figure.column in UNITS and figure.cell and figure.half >= 0
        assert figure.value is None or figure.value >= 0
        assert figure.column not in TASKS or figure.value is None or figure.value <= 100
        figure.as_json()
    for line in proposal(claims).splitlines()[1:]:
        for cell in line.split(",")[1:]:
            assert cell == "" or Fraction(cell) >= 0


@QUICK
@given(data=st.binary(max_size=400), held=st.sampled_from(HELD))
def test_random_bytes(data, held):
    sound(read(data, "results.csv", held))


@QUICK
@given(parts=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40), held=st.sampled_from(HELD),
       encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-8-sig"]))  # fmt: skip
def test_texts_made_of_what_tables_are_made_of(parts, held, encoding):
    sound(read("".join(parts).encode(encoding, "replace"), "Results.csv", held))


@pytest.mark.parametrize("which", [
    "template", "earlier-kit", "one-row", "from-scratch", "summary", "lower-case", "with-units", "readme",
])  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_files_of_teams_with_bytes_changed_lost_and_doubled(files, which, seed):
    name, _, text = files[which]
    chance = random.Random(seed)
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data) + 1)
        piece = chance.choice(PIECES).encode()
        match chance.randrange(4):
            case 0:
                data[at : at + chance.randint(1, 9)] = b""
            case 1:
                data[at:at] = piece
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                data[at:at] = data[at : at + chance.randint(1, 40)]
    for held in HELD:
        sound(read(bytes(data), name, held))


PERCENTS = st.integers(100, 10_000).map(lambda number: f"{number / 100:.2f}")
AMOUNTS = st.integers(1, 999_999_99).map(lambda number: f"{number / 100:.2f}")
ROWS = st.lists(st.tuples(*(st.just("") | PERCENTS for _ in TASKS), st.just("") | AMOUNTS, st.just("") | AMOUNTS),
                min_size=3, max_size=3)  # fmt: skip


def canonical(rows) -> str:
    slots = RULES.tracks[0].slots
    return "".join(
        ",".join(line) + "\n" for line in [HEADER, *((slot, *row) for slot, row in zip(slots, rows, strict=True))]
    )


@QUICK
@given(rows=ROWS)
def test_the_canonical_form_is_what_is_proposed_for_itself(rows):
    text = canonical(rows)
    assert proposal(read(text.encode(), "results.csv", HELD[0])) == text


@QUICK
@given(rows=ROWS, semicolons=st.booleans(), order=st.permutations(range(1, len(HEADER))))
def test_separators_and_the_order_of_columns_change_no_figure(rows, semicolons, order):
    lines = [line.split(",") for line in canonical(rows).splitlines()]
    mixed = [[line[0], *(line[place] for place in order)] for line in lines]
    mixed[0] = ["Memory-Usage (MiB)" if name == "Memory-Usage" else name for name in mixed[0]]
    mixed[0] = ["Throughput (tokens/s)" if name == "Throughput" else name for name in mixed[0]]
    text = "".join(("\t" if not semicolons else ";").join(line) + "\n" for line in mixed).replace(".", ",")
    assert proposal(read(text.encode(), "results.csv", HELD[0])) == canonical(rows)


@pytest.mark.parametrize("which", ["one-row", "from-scratch", "summary", "lower-case", "with-units", "readme"])
def test_a_proposal_read_again_proposes_itself(seen, says, files, which):
    text = proposal(seen(which))
    assert proposal(says(text, track=files[which][1])) == text
