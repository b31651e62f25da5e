"""Small packages that come as one archive, from browsers that run no scripts."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Response

from edgelm.errors import InputError
from edgelm.server import archived
from edgelm.server.api import uploads
from edgelm.server.pages.frame.visit import Visit
from edgelm.server.refusals import Refused
from edgelm.server.uploads import mark_shown


def brought(at: Visit, again: Callable[[Visit], Response]) -> Response:
    """Take the archive that a form brings and send on to what can be done with it.

    Args:
        at: the visit.
        again: answers with the page that the form is on, where it was refused.
    """
    try:
        team = uploads.own_team(at.viewer)
        file = at.files.get("archive")
        if file is None or not file.size:
            raise Refused("no file was chosen", mend="choose the archive that edgelm pack wrote")
        with archived.unpacked(at.server.storage, file.file) as folder:
            begun = uploads.begin(at.call, (folder / archived.MANIFEST).read_bytes())
            came = archived.send(at.server.storage, team, folder, [each.sha256 for each in begun.missing])
        with at.server.database.write() as session:
            mark_shown(session, team, came)
    except InputError as error:
        return again(at.refused(error))
    return at.go(f"/submit/{begun.id}")
