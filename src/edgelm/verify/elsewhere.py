"""Weights that a package only links: they have to be fetched before a model can run, which is said before all work."""

from __future__ import annotations

import shlex

from edgelm.errors import MissingInput
from edgelm.links import read_links
from edgelm.submission import Submission


def require_weights(submission: Submission) -> None:
    """Refuse a package whose checkpoints have files behind links that were not fetched into it.

    Raises:
        MissingInput: with the commands that fetch them.
        BadFile: `links.json` is no list of links.
    """
    parts = [f"{place}/checkpoint/" for place in submission.manifest.models.values() if isinstance(place, str)]
    away = [link for link in read_links(submission.path)
            if link.path.startswith(tuple(parts)) and not (submission.path / link.path).is_file()]  # fmt: skip
    if away:
        folder = submission.origin if submission.origin.is_dir() else submission.origin.with_suffix("")
        fetched = (shlex.join(["curl", "-L", "-o", str(folder / link.path), link.url]) for link in away)
        unpacked = "" if submission.origin.is_dir() else f"unpack it as {folder}, and verify that: "
        raise MissingInput(f"{away[0].path} is not in the package: links.json says that it lies elsewhere",
                           why=f"models are run from their own files, and {len(away)} of them are only linked",
                           mend=f"{unpacked}{'; '.join(fetched)}")  # fmt: skip
