"""Files of a package that lie elsewhere: listed by size and digest in `links.json`, and not in the package itself."""

from __future__ import annotations

from collections.abc import Mapping

from edgelm.errors import BadOption, UnknownName
from edgelm.files import tree_files
from edgelm.links import LINKS
from edgelm.pack.place import Places, Progress
from edgelm.submission import MANIFEST


def link_records(links: Mapping[str, str], places: Places, progress: Progress | None) -> list[dict[str, object]]:
    """What `links.json` says of the files that were left out: path, address, size, sha256; by path.

    Raises:
        BadOption: a file is one that packing itself writes, and must be in the package.
        UnknownName: no file that was given has such a name.
    """
    written = {*tree_files(places.folder), MANIFEST, LINKS}
    for name in links:
        if name in written:
            raise BadOption(f"{name} cannot lie elsewhere", why="it is written when packing", mend="leave out its link")
        if name not in places.left_out:
            raise UnknownName("file of the package", name, written | set(places.left_out))
    records = places.left_out_entries(progress)
    return [{**record, "url": links[str(record["path"])]} for record in records]
