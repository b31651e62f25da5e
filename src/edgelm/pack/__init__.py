"""`edgelm pack`: join checkpoints, reports, bundles and source into one submission that names every file by digest."""

from edgelm.pack.model import Entry
from edgelm.pack.run import pack

__all__ = ["Entry", "pack"]
