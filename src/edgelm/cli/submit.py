"""Hand a package in to a competition's server; an upload that broke off goes on where it ended."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.cli.console import Json, emit_json, emit_table, note, percent, progress
from edgelm.errors import EXIT_FINDINGS, BadOption, MissingInput
from edgelm.server.client import MATERIAL, SCORED, SMOKE, Client

TOKEN = "EDGELM_TOKEN"


def submit(
    package: Annotated[Path, typer.Argument(help="Package: the folder or archive that `edgelm pack` wrote.")],
    to: Annotated[str, typer.Option(help="Address of the server.")],
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with your token, which is else read from {TOKEN}.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send your token unencrypted, on a network that you trust.")
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Have it tried on tiny public data: it takes no slot, and nothing counts.")
    ] = False,
    material: Annotated[
        bool, typer.Option("--material", help="Hand it in as the code and data of a team invited to stage 2.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and say what becomes of it.")] = False,
    json: Json = False,
) -> None:
    """Upload a package and hand it in. Only what the server lacks is sent; exit code 1 if the checker refuses it."""
    if not to.startswith(("http://", "https://")):
        raise BadOption(f"--to {to}", why="that is no address of a server", mend="give --to https://…")
    if smoke and material:
        raise BadOption("--smoke and --material", why="a package is handed in for one of them", mend="leave one out")
    takes = SMOKE if smoke else MATERIAL if material else SCORED
    with Client(to, _token(token_file), insecure=insecure, say=note) as client:
        with progress() as bar:
            done = client.submit(package, bar, takes)
        id, one = done.submission["id"], done.submission
        note(f"submission {id}: {one['state']}; {done.sent:,} bytes sent, {done.spared:,} were there already")
        if done.findings and not json:
            rows = [(each["severity"], each["code"], each["path"], each["what"], each["mend"])
                    for each in done.findings]  # fmt: skip
            emit_table(("", "code", "where", "what", "mend"), rows)
        if watch:
            one = _watched(client, id) or one
            if one["state"] == "scored" and not (smoke or material or json):
                _show(client.result(id))
        note(f"its page: {to.rstrip('/')}/submission/{id}")
    if json:
        emit_json({**one, "findings": done.findings})
    if one["state"] in ("refused", "failed"):
        raise typer.Exit(EXIT_FINDINGS)


def _watched(client: Client, id: str) -> dict[str, Any]:
    """Say what becomes of a submission until it has ended, and how it is then."""
    one: dict[str, Any] = {}
    said, done = "", set[str]()
    with progress() as bar:
        for one in client.watch(id):
            now = ": ".join(filter(None, (one["state"], one["stage"], one["sentence"])))
            if now != said:
                note(now)
            said = now
            for part in one["parts"]:
                bar(part["part"], part["done"], part["of"] or 1)
                if part["done"] >= part["of"] > 0 and part["part"] not in done:
                    note(f"{part['part']}: {part['of']:,} done")
                    done.add(part["part"])
    return one


def _show(result: dict[str, Any] | None) -> None:
    """Print what a submission reached, as far as the server shows it to its team."""
    if result is None:
        note("its result is not shown yet")
        return
    for reason in result["reasons"] or ():
        note(f"out of competition: {reason}")
    standing = result["standing"]
    rows = [(task, *(_two(each[field]) for field in ("score", "points")), each["place"] or "–")
            for task, each in (standing["tasks"] if standing else {}).items()]  # fmt: skip
    if rows:
        rank = f"rank {standing['rank']}" if standing["rank"] else "another submission stands for the team"
        title = f"{_two(standing['value'])} points, {rank}; board {result['state']}, revision {result['revision']}"
        emit_table(("task", ">score", ">points", ">place"), rows, title)


def _two(value: str | None) -> str:
    return "–" if value is None else percent(Fraction(value))


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
