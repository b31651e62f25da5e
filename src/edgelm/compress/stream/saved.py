"""What a run leaves for the next one, should it be killed: finished steps, and the layers of the one in progress."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgelm.compress.stream.model import Model
from edgelm.compress.stream.pieces import Piece
from edgelm.errors import BadFile, BadOption, InputError, MissingInput, NoSpace
from edgelm.files import disk_errors, make_parent, read_bytes, read_json, write_bytes, write_json
from edgelm.headers import Tensor

DONE, IDENTITY = "done.json", "identity.json"


@contextlib.contextmanager
def work_folder(out: Path, identity: Mapping[str, Any], finished: str = f"*/{DONE}") -> Iterator[Path]:
    """A hidden folder beside `out` for what is finished on the way.

    It is removed when the block ends well, when a file is damaged or lacking, and with any other `InputError` before
    something is finished; a run that is killed, or that the disk has no room for, leaves it. If one of the same
    identity has, the block goes on from what is there; what one of another identity has left is removed.

    Args:
        out: what is made.
        identity: all that what is in the folder depends on.
        finished: a pattern of files, of which one at least is there once something is finished.

    Raises:
        BadOption: another process is at work on `out`.
    """
    folder = out.parent / f".{out.name}.work"
    make_parent(out)
    with disk_errors(out):
        folder.mkdir(exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        _claim(lock, out)
        said = folder / IDENTITY
        if not said.is_file() or read_json(said) != identity:
            _empty(folder)
            write_json(said, identity)
        try:
            yield folder
        except InputError as error:
            begun = isinstance(error, NoSpace) or any(folder.glob(finished))
            if isinstance(error, BadFile | MissingInput) or not begun:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _claim(lock: int, out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the system when this process ends, however it ends
    except BlockingIOError:
        raise BadOption(f"another run is making {out}", mend="wait for it, or choose another -o") from None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def save(model: Model, folder: Path, record: Mapping[str, Any]) -> None:
    """Say that the step of this folder is finished: what the model is now, and the step's record for the card."""
    rows: dict[int, str] = {}
    pieces = {}
    for name, piece in model.pieces.items():
        if piece.rows is not None and id(piece.rows) not in rows:
            rows[id(piece.rows)] = f"rows-{len(rows)}.npy"
            write_bytes(folder / rows[id(piece.rows)], _npy(piece.rows))
        pieces[name] = [{**asdict(piece.stored), "file": str(piece.stored.file)}, rows.get(id(piece.rows))]
    for name, content in model.files.items():
        write_bytes(folder / "files" / name, content)
    write_json(folder / DONE, {
        "config": model.config, "pieces": pieces, "files": sorted(model.files), "kept": model.kept,
        "bases": [str(path) for path in model.bases], "idmap": model.idmap, "record": dict(record),
    })  # fmt: skip


def note(folder: Path, record: Mapping[str, Any]) -> None:
    """Change the record of the step that is finished in this folder."""
    write_json(folder / DONE, {**read_json(folder / DONE), "record": dict(record)})


def restore(model: Model, folder: Path) -> dict[str, Any] | None:
    """Make the model what the step of this folder left, and return the step's record; None if it is not finished."""
    if not (folder / DONE).is_file():
        return None
    said = read_json(folder / DONE)
    pieces = {}
    for name, (stored, rows) in said["pieces"].items():
        place = Tensor(**{**stored, "file": Path(stored["file"]), "shape": tuple(stored["shape"])})
        pieces[name] = Piece(place, _rows(folder / rows) if rows else None)
    model.pieces, model.config, model.idmap, model.kept = pieces, said["config"], said["idmap"], said["kept"]
    model.bases = [Path(path) for path in said["bases"]]
    model.files = {name: read_bytes(folder / "files" / name) for name in said["files"]}
    record: dict[str, Any] = said["record"]
    return record


def _npy(rows: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def _rows(path: Path) -> np.ndarray:
    try:
        rows: np.ndarray = np.load(io.BytesIO(read_bytes(path)))
    except (ValueError, EOFError):
        raise BadFile(f"{path} is damaged", mend="run it again: it starts anew") from None
    return rows
