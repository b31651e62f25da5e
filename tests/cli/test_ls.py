"""`edgelm ls`: what there is."""

import json

import pytest
import typer
from typer.testing import CliRunner

from edgelm.cli.ls import ls
from edgelm.errors import UnknownName
from edgelm.plugins import KINDS, available

app = typer.Typer()
app.command()(ls)


def _listed(*arguments):
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_lists_its_plugins_with_their_help(kind):
    assert {(row["name"], row["summary"]) for row in _listed(kind)} == {
        (plugin.name, plugin.summary) for plugin in available(kind).values()
    }


def test_all_kinds_but_the_verbs_are_listed():
    assert {row["kind"] for row in _listed()} == {kind for kind in KINDS if kind != "cli" and available(kind)}


def test_an_unknown_kind_brings_the_nearest():
    with pytest.raises(UnknownName, match="no kind of plug-in called 'task'"):
        _listed("task")
