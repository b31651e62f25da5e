"""What scripts say comes from the pages that they are on, where a catalogue can translate it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgelm.server.pages import assets
from edgelm.server.tables import Phase

STATIC = Path(assets.__file__).parent / "static"
ON_ALL, OF_UPLOADS = ("app.js",), ("upload.js", "zip.js")
_SAYS = re.compile(r"""\b(?:say|words)\("([a-z-]+)"(?:, \{ (.*?) \}\))?""")
_TEXT = re.compile(r"""(["'`])((?:(?!\1).)*[a-z] [a-z](?:(?!\1).)*)\1""")


def said(names: tuple[str, ...]) -> dict[str, set[str]]:
    """What scripts say, by key, with the names of what is put in."""
    found = _SAYS.findall("".join((STATIC / name).read_text() for name in names))
    return {key: {each.partition(":")[0].strip() for each in about.split(", ") if each} for key, about in found}


def given(text: str, tag: str) -> dict[str, set[str]]:
    """What an element of a page has for scripts to say."""
    words = json.loads(html.unescape(re.search(rf"<{tag}[^>]* data-words='([^']*)'", text)[1]))
    return {key: set(re.findall(r"\{(\w+)\}", words[key])) for key in words}


@pytest.mark.parametrize("path", ["/submit", "/smoke-run"])
def test_pages_have_the_words_of_their_scripts(site: Any, clock: Any, path: str) -> None:
    with site.server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=clock(), closes=clock() + 10**12))
    text = site.team("ada").get(path).text
    assert given(text, "html") == said(ON_ALL) and said(ON_ALL)
    assert given(text, "form") == said(OF_UPLOADS) and said(OF_UPLOADS)


@pytest.mark.parametrize("name", [*ON_ALL, *OF_UPLOADS])
def test_scripts_have_no_words_of_their_own(name: str) -> None:
    code = re.sub(r"//.*|/\*.*?\*/|`sha256 .*`|\"use strict\";", "", (STATIC / name).read_text())
    assert [text for _, text in _TEXT.findall(code)] == []
