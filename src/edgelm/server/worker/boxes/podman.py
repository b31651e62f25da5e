"""A box made by rootless podman."""

from __future__ import annotations

import os

from edgelm.errors import Unsupported
from edgelm.server.worker.boxes import containers
from edgelm.server.worker.boxes.base import Places

_PACKAGES = "podman uidmap crun"


class Podman:
    """Containers that belong to the worker's own user."""

    kind = "podman"

    def version(self) -> str:
        """Its version, with the image at hand.

        Raises:
            Unsupported: it is not installed, does not work, or would run as root.
        """
        found = containers.answer("podman", "--version", mend=_PACKAGES)
        if os.geteuid() == 0:
            raise Unsupported("it is used without root alone", mend="run the worker as a user of its own")
        containers.make_image("podman", _PACKAGES)
        return found

    def words(self, command: tuple[str, ...], places: Places) -> tuple[str, ...]:
        """The command that runs another within, as the worker's own user, whose the written folder is."""
        user = f"{os.geteuid()}:{os.getegid()}"
        extra = ("--userns", "keep-id", "--passwd=false", "--no-hosts", "--log-driver", "none")
        return containers.words("podman", user, extra, command, places)
