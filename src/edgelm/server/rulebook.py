"""Rules as they are published: as JSON, and as the spec by which workers, and whoever packs, name the same rules."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from edgelm.errors import InputError
from edgelm.files import canonical_json
from edgelm.plugins import available, find, parse, spec_of
from edgelm.rules.base import Rules
from edgelm.rules.stored import parse_rules
from edgelm.server.refusals import Refused


@lru_cache(maxsize=16)
def rules_of(body: str) -> Rules:
    """The rules that were published as that JSON.

    Raises:
        BadFile: they are of another version of this program.
    """
    return parse_rules(body.encode(), "the published rules")


def read_rules(value: object) -> Rules:
    """Rules that are to be published, from their JSON in any form.

    Raises:
        Refused: it is no rule set, or one that no spec names, so that nobody could pack or evaluate by it.
    """
    try:
        rules = rules_of(canonical_json(value).decode())
    except (InputError, ValueError) as error:
        why = getattr(error, "why", "") or str(error)
        raise Refused("this is no rule set", why=why, mend="begin with that of /rules") from None
    named_by(rules)
    return rules


@lru_cache(maxsize=16)
def named_by(rules: Rules) -> str:
    """The spec of rules, such as `neurips-2024:places=5`.

    Raises:
        Refused: they differ from every preset in what a spec cannot say.
    """
    values = {field.name: getattr(rules, field.name) for field in dataclasses.fields(Rules)}
    for name in sorted(available("rules"), key=lambda preset: preset != rules.name):
        spec = spec_of(find("rules", name).load()(**values))
        try:
            if parse("rules", spec).digest == rules.digest:
                return spec
        except InputError:  # a value that a spec cannot hold
            continue
    raise Refused(f"no spec names the rules {rules.name}", why="workers and `edgelm pack` get rules by their spec",
                  mend="change what a preset's options can say: edgelm show rules")  # fmt: skip
