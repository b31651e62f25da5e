"""A box made by docker, whose service is root's: the last rung."""

from __future__ import annotations

import os

from edgelm.server.worker.boxes import containers
from edgelm.server.worker.boxes.base import Places

_PACKAGES = "docker.io"


class Docker:
    """Containers that belong to docker's service."""

    kind = "docker"

    def version(self) -> str:
        """The version of its service, with the image at hand.

        Raises:
            Unsupported: it is not installed, or its service does not answer.
        """
        found = containers.answer("docker", "version", "--format", "{{.Server.Version}}", mend=_PACKAGES)
        containers.make_image("docker", _PACKAGES)
        return f"docker {found}"

    def words(self, command: tuple[str, ...], places: Places) -> tuple[str, ...]:
        """The command that runs another within, as whoever the written folder belongs to."""
        user = f"{places.user}:{places.user}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
        return containers.words("docker", user, ("--log-driver", "none"), command, places)
