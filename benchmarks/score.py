"""How long it takes to rank a competition, standings and their bytes, under all three selection rules.

    python benchmarks/score.py [--teams 200] [--submissions 3]

Scores are random fractions with the denominators of real data sets, so that comparing them costs what it costs there.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from edgelm.rules.base import Rules, Track
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.entries import Entry, SlotModel
from edgelm.score.standings import standings

ROWS = {"commonsenseqa": 1221, "bbh": 6511, "gsm8k": 1319, "longbench": 4750, "humaneval": 164, "truthfulqa": 817,
        "chid": 2002, "holdout": 1000}  # fmt: skip
START = datetime(2024, 10, 1, tzinfo=UTC)


def field(rules: Rules, track: Track, teams: int, submissions: int, drawn: random.Random) -> Iterator[Entry]:
    """A full field: every submission has a score on every task."""
    for number in range(teams * submissions):
        models = {
            slot: SlotModel(
                name=slot,
                scores={task: Fraction(100 * drawn.randint(0, rows), rows) for task, rows in ROWS.items()},
                throughput=Fraction(2000 * 10**9, drawn.randint(10**9, 10**11)),
                peak_memory=drawn.randint(1, rules.memory_limit - 1),
            )
            for slot in track.slots
        }
        received = START + timedelta(seconds=drawn.randint(0, 10**6))
        yield Entry(submission=f"{number:064x}", team=f"team {number % teams}", received=received, models=models)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teams", type=int, default=200)
    parser.add_argument("--submissions", type=int, default=3)
    asked = parser.parse_args()
    rules, drawn = Neurips2024(), random.Random(0)
    fields = [(track, list(field(rules, track, asked.teams, asked.submissions, drawn))) for track in rules.tracks]
    start = time.perf_counter()
    for track, entries in fields:
        began = time.perf_counter()
        size = len(standings(rules, track, entries).to_bytes())
        print(f"{track.name}: {len(entries)} submissions, {time.perf_counter() - began:.2f} s, {size:,} bytes")
    print(f"both tracks: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
