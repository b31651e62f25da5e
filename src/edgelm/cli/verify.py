"""Run a submission's models against its claims: answers made again, hidden prompts, repeated prompts, perplexity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Data, Json, OfflineFlag, Out, RuleSet, emit_json, emit_table, note
from edgelm.cli.named import by_name
from edgelm.data.folder import DataFolder
from edgelm.errors import EXIT_FINDINGS, EXIT_GOOD
from edgelm.plugins import parse
from edgelm.report import Workload
from edgelm.rules.stored import read_rules
from edgelm.submission import Submission
from edgelm.verify.model import Surroundings
from edgelm.verify.run import PROMPTS, VERIFIED, Settings, Verified
from edgelm.verify.run import verify as run
from edgelm.verify.seed import Seed


def verify(
    submission: Annotated[Path, typer.Argument(help="Submission: a folder, .zip, .tar or .tar.zst.")],
    out: Out,
    seed: Annotated[
        str, typer.Option(envvar="EDGELM_SEED", help="The competition's secret, in hexadecimal.", show_envvar=True)
    ],
    rules: RuleSet = "neurips-2024",
    data: Data = None,
    offline: OfflineFlag = False,
    engine: Annotated[
        str | None, typer.Option(help="hf or local, with options; by default as the answers were made.")
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="Report of a slot's uncompressed base, as SLOT=FOLDER; repeatable.")
    ] = None,
    prompts: Annotated[int, typer.Option(help="Stored answers of each model that are made again.", min=1)] = PROMPTS,
    prompt_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    generated_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    json: Json = False,
) -> None:
    """Run a submission's models against its claims: answers made again, hidden prompts, repeated prompts, perplexity.

    Exit code 0: every test is valid, 1: some are doubtful, invalid or not tested, 2: it could not be run.
    """
    ruled = read_rules(rules)
    workload = Workload(
        prompt_tokens=ruled.prompt_tokens if prompt_tokens is None else prompt_tokens,
        generated_tokens=ruled.generated_tokens if generated_tokens is None else generated_tokens,
        batch=ruled.batch, repeats=ruled.repeats if repeats is None else repeats,
    )  # fmt: skip
    references = by_name("--reference", reference or [], "SLOT=FOLDER")
    settings = Settings(Seed.parse(seed), ruled, workload, parse("engines", engine) if engine else None,
                        {slot: Path(folder) for slot, folder in references.items()}, prompts)  # fmt: skip
    with Submission(submission) as opened:
        found = run(opened, DataFolder(data, offline=offline), out, settings, Surroundings(say=note))
    if json:
        emit_json(found.as_json())
    else:
        show_results(found)
        note(f"{out / VERIFIED} has the evidence and the manifest")
    raise typer.Exit(EXIT_GOOD if found.verdict == "valid" else EXIT_FINDINGS)


def show_results(found: Verified) -> None:
    """The table: a row a test."""
    rows = [(slot, each.code, each.tests, each.verdict, each.what)
            for slot, own in found.results.items() for each in own]  # fmt: skip
    title = f"submission {found.rescoring.submission[:12]}: {found.verdict}"
    emit_table(("slot", "code", "test", "verdict", ""), rows, title=title)
