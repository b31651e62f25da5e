"""The recipes that come with the package, and which of them a track's models may start from.

`recipes/` here is the folder of the same name beside the sources, so that there is one copy of each.
"""

from __future__ import annotations

import re
from importlib.resources import files

from edgelm.rules import Track
from edgelm.rules.base import Rules

FIRST = "125M"  # of the training recipes: hours on one GPU
ANY = """# {slot}: one layer less. `edgelm ls compress` lists the steps, `edgelm show STEP` the options of one.
#
#     edgelm compress BASE {path} --data DATA -o out/{slot}

depth:drop=1
"""


def recipes_of(track: Track, rules: Rules) -> tuple[dict[str, str], dict[str, str]]:
    """Recipes for a team's repository: the one that each slot starts with, and others that suit; texts by file name."""
    kind = "compress" if track.derivation == "compressed" else "train"
    known = {item.name: item.read_text(encoding="utf-8") for item in (files("edgelm.init") / "recipes" / kind).iterdir()
             if item.name.endswith(".txt")}  # fmt: skip
    first = {slot: _first(slot, track, rules) for slot in track.slots}
    starts, others = {}, {}
    for slot, name in first.items():
        path = f"source/recipes/{slot}.txt"
        text = known.get(name, ANY.format(slot=slot, path=path))
        starts[f"{slot}.txt"] = text.replace(f"recipes/{kind}/{name}", path)
    for name, text in sorted(known.items()):
        if name not in first.values() and (kind == "train" or any(_suits(name, slot) for slot in track.slots)):
            others[name] = text.replace(f"recipes/{kind}/", "recipes/")
    return starts, others


def _first(slot: str, track: Track, rules: Rules) -> str:
    """The recipe that a slot's model starts with; there may be none of that name."""
    if track.derivation == "compressed":
        return f"{slot}.txt"
    return "miniature.txt" if is_miniature(rules) else f"{FIRST}.txt"


def _suits(name: str, slot: str) -> bool:
    """Whether a recipe is one for the slot: for a model of its family and size, of whatever generation."""
    return re.sub(r"^([a-z]+)[\d.]*-", r"\1-", name).startswith(slot)


def is_miniature(rules: Rules) -> bool:
    """Whether data and bases are made on the spot, because the rules ask for the miniature suite."""
    return rules.suite.startswith("miniature")
