"""Measure a checkpoint on a device: prefill and decode speed, time to the first token, peak memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, Out, emit_json, emit_table, note, progress
from edgelm.measure import measure as run
from edgelm.plugins import parse
from edgelm.report import Report, Workload, median
from edgelm.rules import Rules
from edgelm.score.text import size


def measure(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Out,
    device: Annotated[str, typer.Option(help="Device spec: see `edgelm ls devices`.")] = "local",
    rules: Annotated[str, typer.Option(help="Rule set whose workload is run.")] = "neurips-2024",
    prompt_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    generated_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    json: Json = False,
) -> None:
    """Measure a checkpoint on a device: prefill and decode speed, time to the first token, peak memory."""
    asked: Rules = parse("rules", rules)
    workload = Workload(
        prompt_tokens=asked.prompt_tokens if prompt_tokens is None else prompt_tokens,
        generated_tokens=asked.generated_tokens if generated_tokens is None else generated_tokens,
        batch=asked.batch,
        repeats=asked.repeats if repeats is None else repeats,
    )
    with progress() as bar:
        report = run(Checkpoint(model), parse("devices", device), workload, out, bar)
    if json:
        emit_json(report.model_dump(mode="json"))
    else:
        show_speed(report)


def show_speed(report: Report) -> None:
    """The figures of a measurement: a name and a value with its unit a row."""
    speed = report.speed
    assert speed is not None
    first = median(Fraction(time, 10**6) for time in speed.first_token_ns)
    found: dict[str, Any] = speed.model_extra or {}
    shares = found.get("roofline", {})
    rows = [
        ("throughput", f"{float(speed.throughput):,.1f} tokens/s (prompt + generated)"),
        ("prefill", f"{speed.prefill:,.1f} tokens/s"),
        ("decode", f"{speed.decode:,.1f} tokens/s"),
        ("decode, share of the memory's copy rate", _share(shares.get("decode_share_of_copy_rate"))),
        ("prefill, share of the matrix rate", _share(shares.get("prefill_share_of_matrix_rate"))),
        ("first token after", f"{float(first):,.1f} ms"),
        ("spread of the repeats", f"{speed.spread:.1%}" + (" (noisy)" if found.get("noisy") else "")),
        *((f"memory, {meter}", size(peak)) for meter, peak in report.memory.items()),
        *((f"memory predicted, {part}", size(part_bytes)) for part, part_bytes in report.predicted.items()),
        ("parameters", f"{report.parameters:,}"),
    ]
    work = speed.workload
    title = f"{work.prompt_tokens} prompt + {work.generated_tokens} generated tokens, {work.repeats} repeats"
    for line in found.get("notes", []):
        note(line)
    emit_table(("", ""), [row for row in rows if row[1]], title=f"{title}, on {speed.device}")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
