"""Hand a package in to a competition's server; an upload that broke off goes on where it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, emit_json, emit_table, note, progress
from edgelm.errors import EXIT_FINDINGS, BadOption, MissingInput
from edgelm.server.client import Client

TOKEN = "EDGELM_TOKEN"


def submit(
    package: Annotated[Path, typer.Argument(help="Package: the folder or archive that `edgelm pack` wrote.")],
    to: Annotated[str, typer.Option(help="Address of the server.")],
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with your token, which is else read from {TOKEN}.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and say what becomes of it.")] = False,
    json: Json = False,
) -> None:
    """Upload a package and hand it in. Only what the server lacks is sent; exit code 1 if the checker refuses it."""
    if not to.startswith(("http://", "https://")):
        raise BadOption(f"--to {to}", why="that is no address of a server", mend="give --to https://…")
    with Client(to, _token(token_file)) as client:
        with progress() as bar:
            done = client.submit(package, bar)
        id, one = done.submission["id"], done.submission
        note(f"submission {id}: {one['state']}; {done.sent:,} bytes sent, {done.spared:,} were there already")
        if done.findings and not json:
            rows = [(each["severity"], each["code"], each["path"], each["what"], each["mend"])
                    for each in done.findings]  # fmt: skip
            emit_table(("", "code", "where", "what", "mend"), rows)
        if watch:
            for one in client.watch(id):
                note(": ".join(filter(None, (one["state"], one["stage"], one["sentence"]))))
    if json:
        emit_json({**one, "findings": done.findings})
    if one["state"] in ("refused", "failed"):
        raise typer.Exit(EXIT_FINDINGS)


def _token(file: Path | None) -> str:
    """The user's token: never an option's value, which other users of the machine would see.

    Raises:
        MissingInput: there is none.
    """
    if file is not None:
        try:
            found = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise MissingInput(f"{file} cannot be read", why=error.strerror or "", mend="check the path") from None
    else:
        found = os.environ.get(TOKEN, "").strip()
    if not found.isascii() or not found.isprintable() or not found:
        raise MissingInput(
            "there is no token", mend=f"make one on your page; put it into {TOKEN}, or give --token-file"
        )
    return found
