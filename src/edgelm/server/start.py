"""What a server does before it answers: folder, tables, the rules in force, a way in for the first administrator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from edgelm.errors import BadOption
from edgelm.files import make_parent
from edgelm.plugins import parse
from edgelm.rules.base import Rules
from edgelm.server.accounts import has_admin
from edgelm.server.clock import Clock, utc_now
from edgelm.server.competition import bring_rules, in_force
from edgelm.server.database import Database
from edgelm.server.keys import new_key
from edgelm.server.settings import Settings
from edgelm.server.state import Server


def start(settings: Settings, clock: Clock = utc_now, say: Callable[[str], object] = lambda text: None) -> Server:
    """A server whose tables are up to date and whose rules are published.

    While there is no administrator, it has a secret for making one, of its own if the settings bring none.

    Args:
        settings: of the operator.
        clock: of the server.
        say: told when rules took the place of others.

    Raises:
        BadOption: the folder cannot be made, the database does not answer, or there is no key to sign with.
        UnknownName: no rules of that name.
        Conflict: the settings ask for other rules than those in force, and these stay; see `bring_rules`.
    """
    if settings.signing_key and not settings.signing_key.is_file():
        raise BadOption(f"the setting signing_key names {settings.signing_key}", why=f"{Path.cwd()} is where it starts "
                        "from, and no file is there", mend="ssh-keygen -t ed25519 makes one")  # fmt: skip
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
    try:
        _bring_rules(server, say)
    except BaseException:
        database.close()
        raise
    return server


def _bring_rules(server: Server, say: Callable[[str], object]) -> None:
    settings = server.settings
    with server.database.write() as session:
        if "rules" not in settings.model_fields_set and in_force(session):
            return
        rules: Rules = parse("rules", settings.rules)
        before = bring_rules(session, rules, settings.rules_reason, server.clock())
    if before:
        now = f"{rules.name} ({rules.digest[:12]}…) instead of {before[:12]}…"
        say(f"the rules were changed, which all teams are told: {now}")


def first_admin_link(server: Server) -> str:
    """The link by which the first administrator is made; empty once there is one."""
    with server.database.read() as session:
        if has_admin(session):
            return ""
    secret = server.settings.first_admin.get_secret_value()
    return f"{server.settings.public_url}/first-admin?secret={quote(secret)}"
