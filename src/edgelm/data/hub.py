"""C4 as a stream from the Hugging Face hub: for a start without the files, not for speed."""

from __future__ import annotations

import copy
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import huggingface_hub.constants

from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.data.texts import TRAINING
from edgelm.errors import BadFile, MissingPackage, Offline

REPOSITORY = "allenai/c4"
REVISION = "1588ec454efa1a09f29cd18ddd04fe05fc8653a2"
FILES = {"c4": "en/c4-train.*.json.gz", "c4-zh": "multilingual/c4-zh.tfrecord-*.json.gz"}
TRIES = 8  # in a row without a document, some five minutes
LONGEST_WAIT = 60.0  # seconds
_EVERY = 128  # documents after which the place is taken anew
_DROPPED = (OSError, EOFError, zlib.error, httpx.HTTPError)  # what a connection ends with that breaks


@dataclass
class Place:
    """Where a stream is: the data set's own state (file and row), and documents taken since."""

    state: dict[str, Any] = field(default_factory=dict)  # empty at the beginning
    since: int = 0


class HubText:
    """A part of C4 at the pinned revision, in upstream's order.

    Attributes:
        name: c4 or c4-zh.
        data: says whether the network may be used.
        download: whether somebody has asked for it.
        place: where it is; given to another object, that goes on from there.
        file: what it is, for an index.
    """

    licence = TRAINING["c4"]
    known = True  # the revision names the bytes

    def __init__(self, name: str, data: DataFolder, *, download: bool, place: Place | None = None) -> None:
        self.name, self.place = name, place or Place()
        self._offline = data.offline or huggingface_hub.constants.is_offline_mode()
        self._download = download
        self.file = f"hub:{REPOSITORY}@{REVISION[:12]}/{FILES[name]}"

    def documents(self) -> Iterator[Document]:
        """All documents from `place` on; a connection that breaks is made again, later and later.

        Raises:
            Offline: the network may not be used, or upstream cannot be reached.
            BadFile: what comes is not C4.
            MissingPackage: `datasets` is not installed.
        """
        self._require_network()
        failed = 0
        while True:
            try:
                for text in self._texts():
                    failed = 0
                    yield Document(text)
                return
            except _DROPPED as error:
                failed += 1
                if failed == TRIES:
                    what = f"{REPOSITORY} cannot be reached"
                    raise Offline(what, why=str(error), mend=place_by_hand(self.name)) from error
                time.sleep(min(LONGEST_WAIT, 2.0**failed))

    def _require_network(self) -> None:
        what = f"there is not enough of {self.name} here"
        if self._offline:
            raise Offline(f"{what}, and the network is off", mend=place_by_hand(self.name))
        if not self._download:
            raise Offline(f"{what}, and nothing is fetched unasked",
                          mend=f"corpus:download=true; or {place_by_hand(self.name)}")  # fmt: skip

    def _texts(self) -> Iterator[str]:
        rows = load(FILES[self.name])
        if self.place.state:
            rows.load_state_dict(copy.deepcopy(self.place.state))
        again = self.place.since  # documents behind the state that are here already
        for number, row in enumerate(rows, start=1):
            if not isinstance(row.get("text"), str):
                raise BadFile(f"{self.file} has a row without text", mend=place_by_hand(self.name))
            if number <= again:
                continue
            self.place.since += 1
            if self.place.since == _EVERY:
                self.place = Place(copy.deepcopy(rows.state_dict()))
            yield row["text"]


def place_by_hand(name: str) -> str:
    """What a person without the network can do."""
    return f"get {FILES[name]} of {REPOSITORY} and place some of it below {_folder(name)} of the data folder (--data)"


def _folder(name: str) -> str:
    return "c4/multilingual/" if name == "c4-zh" else "c4/"


def load(files: str) -> Any:
    """The rows of some files of C4 as an iterable data set with a state.

    Raises:
        MissingPackage: `datasets` is not installed.
        OSError: upstream cannot be reached.
    """
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingPackage("datasets", "model") from None
    rows = datasets.load_dataset(
        REPOSITORY, data_files={"train": files}, split="train", revision=REVISION, streaming=True
    )
    return rows.select_columns(["text"])
