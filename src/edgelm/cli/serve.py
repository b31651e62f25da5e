"""Run the organiser's server: accounts, teams, packages, boards, from one folder."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from edgelm.cli.console import note
from edgelm.errors import BadOption, EdgelmError
from edgelm.server import logs
from edgelm.server.alone import alone
from edgelm.server.app import create_app
from edgelm.server.mail import sender
from edgelm.server.settings import Settings, read_settings
from edgelm.server.start import first_admin_link, start


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of the competition; made if there is none.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    proxies: Annotated[str, typer.Option(help="Addresses of proxies whose word on clients' addresses counts.")] = "",
) -> None:
    """Run the organiser's server: accounts, teams, packages, boards, from one folder.

    Settings come from environment variables EDGELM_SERVER_… and, where these say nothing, from server.toml in the
    folder. Without any, the database is SQLite in the folder. The first time, a link for the first administrator is
    printed; EDGELM_SERVER_FIRST_ADMIN may give its secret.
    """
    settings = read_settings(folder)
    with alone(settings.folder):
        _serve(settings, host, port, proxies)


def _serve(settings: Settings, host: str, port: int, proxies: str) -> None:
    mail_from = sender(settings)
    listening = _listen(host, port)
    if "public_url" not in settings.model_fields_set:
        settings = settings.model_copy(update={"public_url": _address(host, listening)})
    server = start(settings, say=note)
    link = first_admin_link(server)
    if link:
        note(f"there is no administrator yet; whoever opens this link becomes one: {link}")
    note(f"mail is sent from {mail_from}" if mail_from else "no mail is sent: the setting smtp_host is empty")
    note(f"rules in force: {server.rules.name} ({server.rules.digest[:12]}…)")
    note(f"{settings.title}: {settings.public_url}")
    logs.configure(settings.log_format)
    config = uvicorn.Config(
        create_app(server), log_config=None, access_log=False, server_header=False, proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies, timeout_graceful_shutdown=10,
        timeout_keep_alive=75,  # longer than proxies hold theirs: who closes first loses no request
    )  # fmt: skip
    running = uvicorn.Server(config)
    with contextlib.suppress(SystemExit, KeyboardInterrupt):  # it repeats the signal by which it was asked to end
        running.run(sockets=[listening])
    if not running.started:
        raise EdgelmError("the server did not start", why="the lines above say why")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        BadOption: the address is none of this machine's, or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why, mend = error.strerror or str(error), "choose another --host or --port"
        raise BadOption(f"nothing can listen on {host} port {port}", why=why, mend=mend) from None
    # Connections inherit it. Without it, each answer's body waits 40 ms for the acknowledgement of its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _address(host: str, listening: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"
