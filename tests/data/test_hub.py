"""C4 as a stream: resumed where it broke, and never begun unasked. Local files stand in for the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from edgelm.data import hub
from edgelm.data.folder import DataFolder
from edgelm.data.hub import HubText, Place
from edgelm.errors import BadFile, Offline

ROWS = 700


class Breaking:
    """An iterable data set whose connection breaks after some rows."""

    def __init__(self, rows: Any, after: int) -> None:
        self._rows, self._after = rows, after

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rows.load_state_dict(state)

    def state_dict(self) -> Any:
        return self._rows.state_dict()

    def __iter__(self) -> Iterator[Any]:
        for number, row in enumerate(self._rows):
            if number == self._after:
                raise ConnectionError("the server went away")
            yield row


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two files in which C4 lies, in the place of the hub; waiting costs nothing."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    paths = []
    for number in range(2):
        path = tmp_path / f"c4-train.{number:05d}.json"
        rows = range(number * ROWS // 2, (number + 1) * ROWS // 2)
        path.write_text("\n".join(json.dumps({"text": f"text {row}", "url": f"http://{row}"}) for row in rows))
        paths.append(str(path))
    return paths


def stand_in(monkeypatch: pytest.MonkeyPatch, files: list[str], breaks: list[int]) -> list[int]:
    """Serve the files; each connection breaks after so many rows, the last lasts. The list counts connections."""
    made: list[int] = []

    def load(wanted: str) -> Any:
        assert wanted == hub.FILES["c4"]
        rows = datasets.load_dataset("json", data_files={"train": files}, split="train", streaming=True)
        made.append(len(made))
        return Breaking(rows, breaks[len(made) - 1]) if len(made) <= len(breaks) else rows

    monkeypatch.setattr(hub, "load", load)
    return made


def texts(stream: HubText) -> list[str]:
    return [document.text for document in stream.documents()]


WHOLE = [f"text {row}" for row in range(ROWS)]


@pytest.mark.parametrize("breaks", [[], [0], [1], [128], [129, 5], [127, 1, 200, 3], [ROWS]])
def test_a_connection_that_breaks_loses_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, files: list[str], breaks: list[int]
) -> None:
    made = stand_in(monkeypatch, files, breaks)
    assert texts(HubText("c4", DataFolder(), download=True)) == WHOLE
    assert len(made) == 1 + len([rows for rows in breaks if rows < ROWS])


@pytest.mark.parametrize("taken", [0, 1, 127, 128, 300, 351, ROWS])
def test_a_recorded_place_is_where_another_goes_on(
    monkeypatch: pytest.MonkeyPatch, files: list[str], taken: int
) -> None:
    stand_in(monkeypatch, files, [])
    stream = HubText("c4", DataFolder(), download=True)
    documents = stream.documents()
    begun = [next(documents).text for _ in range(taken)]
    kept = json.loads(json.dumps({"state": stream.place.state, "since": stream.place.since}))
    later = HubText("c4", DataFolder(), download=True, place=Place(**kept))
    assert begun + texts(later) == WHOLE


def test_what_stays_broken_is_given_up(monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    made = stand_in(monkeypatch, files, [0] * 99)
    with pytest.raises(Offline, match=r"cannot be reached\nwhy: the server went away\nmend: .* below c4/"):
        texts(HubText("c4", DataFolder(), download=True))
    assert len(made) == hub.TRIES
    assert waits == sorted(waits) and waits[0] < waits[-1] <= hub.LONGEST_WAIT


def test_nothing_is_fetched_unasked_or_offline(monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    made = stand_in(monkeypatch, files, [])
    with pytest.raises(Offline, match=r"unasked\nmend: corpus:download=true; .*place .* below c4/"):
        texts(HubText("c4", DataFolder(), download=False))
    with pytest.raises(Offline, match=r"network is off\nmend: .*multilingual/c4-zh.* below c4/multilingual/"):
        texts(HubText("c4-zh", DataFolder(offline=True), download=True))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Offline, match="network is off"):
        texts(HubText("c4", DataFolder(), download=True))
    assert not made


def test_rows_without_text_are_no_c4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str]) -> None:
    (tmp_path / "c4-train.00001.json").write_text('{"text": null, "url": "http://a"}')
    stand_in(monkeypatch, files, [])
    with pytest.raises(BadFile, match=r"hub:allenai/c4@1588ec454efa/en/.* has a row without text"):
        texts(HubText("c4", DataFolder(), download=True))


def test_the_pinned_revision_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Rows:
        def select_columns(self, names: list[str]) -> Any:
            return names

    def load_dataset(name: str, **options: Any) -> Any:
        asked.update(options, name=name)
        return Rows()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert hub.load(hub.FILES["c4"]) == ["text"]
    assert asked == {
        "name": "allenai/c4", "revision": "1588ec454efa1a09f29cd18ddd04fe05fc8653a2", "split": "train",
        "streaming": True, "data_files": {"train": "en/c4-train.*.json.gz"},
    }  # fmt: skip
