import json
from dataclasses import asdict

import pytest

from edgelm.errors import BadFile
from edgelm.files import canonical_json
from edgelm.plugins import parse
from edgelm.rules.stored import parse_rules

SPECS = ["neurips-2024", "miniature", "miniature:selection=guaranteed,rank_ties=won+memory,least_score=1"]


@pytest.mark.parametrize("spec", SPECS)
def test_rules_survive_their_canonical_form(spec):
    rules = parse("rules", spec)
    again = parse_rules(rules.to_bytes(), "rules.json")
    assert (again.digest, asdict(again)) == (rules.digest, asdict(rules))


def changed(**fields):
    return canonical_json({**asdict(parse("rules", "miniature")), **fields})


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"3", b'{"places":NaN}', changed(places=-1), changed(repeats=0), changed(places=2**63),
     changed(places=1.5), changed(places="ten"), changed(selection="none"), changed(further=1),
     changed(tracks=[{"name": "x"}]), json.dumps(asdict(parse("rules", "miniature"))).encode(),
     b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_what_is_no_rule_set_is_refused(data):
    with pytest.raises(BadFile, match="rules"):
        parse_rules(data, "rules.json")
