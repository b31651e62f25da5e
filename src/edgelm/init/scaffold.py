"""The files of a team's repository, filled in for its track and rules; written all or none."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from string import Template

from edgelm import __version__
from edgelm.errors import BadOption
from edgelm.files import write_bytes
from edgelm.folders import new_folder
from edgelm.init.lock import lock
from edgelm.init.recipes import is_miniature, recipes_of
from edgelm.rules import Rules, Track
from edgelm.rules.base import HOLDOUT

SCRIPT = "run"
IGNORED = "# made by ./run, or large\nout/\nbases/\ndata/\n__pycache__/\n.venv/\n"


class _Template(Template):
    """`§name` stands for a value: a sign that neither shell nor Markdown gives a meaning."""

    delimiter = "§"


def scaffold(folder: Path, *, track: str, rules: Rules, spec: str, team: str, contact: str = "") -> list[str]:
    """Write a team's repository into a new folder; the names of its files.

    Args:
        folder: it must be empty, or not there yet.
        track: of the rules.
        rules: that the team hands in for.
        spec: the same as the command line names them.
        team: its name.
        contact: a mail address.

    Raises:
        UnknownName: the rules have no such track.
        BadOption: the folder holds something, or cannot be written.
    """
    asked = rules.track(track)
    if folder.is_dir() and any(folder.iterdir()):
        raise BadOption(f"{folder} is not empty", mend="name a folder that is not there yet: edgelm init … FOLDER")
    made = _files(asked, rules, {"team": team, "contact": contact, "track": track, "rules": spec})
    with new_folder(folder) as new:
        for name, text in made.items():
            write_bytes(new / name, text.encode(), 0o755 if name == SCRIPT else 0o644)
    return sorted(made)


def _files(track: Track, rules: Rules, given: dict[str, str]) -> dict[str, str]:
    """Every file by its name."""
    compressed, miniature = track.derivation == "compressed", is_miniature(rules)
    values = {name: shlex.quote(value) for name, value in given.items()} | {
        "slots": shlex.join(track.slots),
        "tasks": " ".join(f"-t {task}" for task in rules.tasks if task != HOLDOUT),
        "target": "gguf" if miniature else "android",
        "version": __version__,
        "name": given["team"],
        "of_track": f"track `{given['track']}` of the rules `{rules.name}`",
        "slot": track.slots[0],
        "begin": _text("begin-miniature.sh" if miniature else "begin.sh"),
    }
    make = "make-compressed" if compressed else "make-from-scratch"
    values["make"] = _filled(f"{make}-miniature.sh" if compressed and miniature else f"{make}.sh", values)
    values["bases"] = _filled(f"bases{'-miniature' if miniature else ''}.md", values) if compressed else ""
    verb = "edgelm compress bases/{0} source/recipes/{0}.txt" if compressed else "edgelm train source/recipes/{0}.txt"
    values["commands"] = "\n".join(f"{verb.format(slot)} --data DATA -o out/{slot}" for slot in track.slots)
    starts, others = recipes_of(track, rules)
    return {
        "README.md": _filled("README.md", values), SCRIPT: _filled("run", values), ".gitignore": IGNORED,
        "source/README.md": _filled("source.md", values), "source/requirements.txt": lock(),
        **{f"source/recipes/{name}": text for name, text in starts.items()},
        **{f"recipes/{name}": text for name, text in others.items()},
    }  # fmt: skip


def _filled(name: str, values: dict[str, str]) -> str:
    return _Template(_text(name)).substitute(values)


def _text(name: str) -> str:
    return (files("edgelm.init") / "templates" / f"{name}.template").read_text(encoding="utf-8")
