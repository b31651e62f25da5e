"""Archives: ours, the same bytes for the same files; a stranger's, unpacked within limits to plain files or refused."""

from edgelm.archives.unpack import read_entry, unpack
from edgelm.archives.zips import zip_tree

__all__ = ["read_entry", "unpack", "zip_tree"]
