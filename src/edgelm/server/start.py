"""What a server does before it answers: folder, tables, the rules in force, a way in for the first administrator."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from edgelm.errors import BadOption
from edgelm.files import make_parent
from edgelm.server.accounts import has_admin
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import Clock, utc_now
from edgelm.server.competition import publish_rules
from edgelm.server.database import Database
from edgelm.server.keys import new_key
from edgelm.server.settings import Settings
from edgelm.server.state import Server


def start(settings: Settings, clock: Clock = utc_now) -> Server:
    """A server whose tables are up to date and whose rules are published.

    While there is no administrator, it has a secret for making one, of its own if the settings bring none.

    Raises:
        BadOption: the folder cannot be made, or the database does not answer.
        UnknownName: no rules of that name.
    """
    make_parent(settings.folder / "edgelm.db")
    database = Database(settings.database_url)
    try:
        database.migrate()
        with database.read() as session:
            needed = not has_admin(session)
    except OperationalError as error:
        database.close()
        mend = "check EDGELM_SERVER_DATABASE, and that it runs"
        raise BadOption("the database does not answer", why=str(error.orig), mend=mend) from None
    if needed and not settings.first_admin.get_secret_value():
        settings = settings.model_copy(update={"first_admin": SecretStr(new_key())})
    server = Server(settings, database, clock)
    with database.write() as session:
        publish_rules(session, SYSTEM, server.rules, settings.rules_reason, clock())
    return server


def first_admin_link(server: Server) -> str:
    """The link by which the first administrator is made; empty once there is one."""
    with server.database.read() as session:
        if has_admin(session):
            return ""
    secret = server.settings.first_admin.get_secret_value()
    return f"{server.settings.public_url}/first-admin?secret={quote(secret)}"
