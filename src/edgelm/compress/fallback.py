"""Which text to calibrate on, and the short one that comes with the package for want of anything better."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from edgelm.data.folder import DataFolder
from edgelm.data.texts import BUILT_IN, OPEN, TextSource, from_file, from_folder, plain
from edgelm.files import sha256_bytes

BUILT_IN_WARNING = (
    "calibrated on the short built-in text, which is in no rule set's allowed data, so that such a model cannot be "
    "handed in: give --data or --calib"
)


def find_texts(paths: Sequence[Path], data: DataFolder) -> list[TextSource]:
    """The texts of the given files; of the data folder if none is given; the built-in one if that has none.

    Raises:
        MissingInput, BadFile: see `from_file` and `from_folder`.
    """
    return [from_file(path) for path in paths] or from_folder(data) or [built_in()]


def built_in() -> TextSource:
    """The short text that comes with the package."""
    content = (files("edgelm.compress") / "calibration.txt").read_bytes()
    return TextSource(BUILT_IN, plain(content.decode()), sha256_bytes(content), OPEN)
