"""Visits to the console: whoever has not the role finds no such page, and visitors find the login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends

from edgelm.server.access import LADDER, UserRole
from edgelm.server.pages.frame.visit import Visit, Visiting
from edgelm.server.refusals import NotThere


def _only(role: UserRole) -> Callable[[Visit], Visit]:
    def let_through(at: Visiting) -> Visit:
        user = at.viewer.known
        if LADDER.index(user.role) < LADDER.index(role):
            raise NotThere("there is no such page")
        at.viewer.require(role)  # who has it, and no one-time passwords yet, is told so
        return at

    return let_through


Reviewing = Annotated[Visit, Depends(_only("reviewer"))]
Organising = Annotated[Visit, Depends(_only("organiser"))]
Administering = Annotated[Visit, Depends(_only("admin"))]
