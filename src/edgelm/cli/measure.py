"""Measure a checkpoint or a bundle on a device: prefill and decode speed, time to the first token, peak memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, Out, emit_json, emit_table, note, progress
from edgelm.devices import phones
from edgelm.devices.estimates import pair_speed
from edgelm.errors import BadOption, MissingInput
from edgelm.measure.figures import duration, error, rate
from edgelm.measure.page import PAGE, cautions, rows
from edgelm.measure.run import calibrate as correct
from edgelm.measure.run import measure as run
from edgelm.measure.run import require_same
from edgelm.plugins import parse
from edgelm.report import Report, Workload
from edgelm.rules import Rules
from edgelm.train.costs.figures import size

RULES = "neurips-2024"


def measure(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder, or a bundle that `edgelm deploy` made.")],
    out: Out,
    device: Annotated[str, typer.Option(help="Device spec: see `edgelm ls devices`.")] = "local",
    rules: Annotated[
        str | None, typer.Option(help="Rule set whose workload is run.", show_default=f"{RULES}; for app, what it ran")
    ] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    generated_tokens: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Instead of the rules' number.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="Phone to estimate for; may be given more than once. All, if left out.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Report of the same model measured on the phone that --profile names: corrects the profile."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a checkpoint or a bundle on a device: prefill and decode speed, time to the first token, peak memory."""
    chosen = parse("devices", device)
    ran: Workload | None = getattr(chosen, "workload", None)  # of a device where everything has run already
    asked: Rules | Workload = ran if ran and rules is None else parse("rules", rules or RULES)
    workload = Workload(
        prompt_tokens=asked.prompt_tokens if prompt_tokens is None else prompt_tokens,
        generated_tokens=asked.generated_tokens if generated_tokens is None else generated_tokens,
        batch=asked.batch,
        repeats=asked.repeats if repeats is None else repeats,
    )
    measured = _opened(model)
    there = None if calibrate is None else _to_calibrate(measured, calibrate, profile or [])
    known = phones.profiles()
    wanted = phones.chosen([name for name in profile or [] if there is None or name in known])
    with progress() as bar:
        report = run(measured, chosen, workload, out, bar, wanted)
    if there and profile:
        path = correct(profile[0], known.get(profile[0]), measured, there, report)
        note(f"{path}: estimates for {profile[0]} now follow what was measured on {there.speed.device}"
             if there.speed else "")  # fmt: skip
    if json:
        emit_json(report.model_dump(mode="json"))
    else:
        show_speed(report)
        show_estimates(report)
    if not (out / PAGE).is_file():
        note("no page was written: jinja2 is not installed (pip install -e '.[page]' in the checkout of edgelm)")


def _opened(folder: Path) -> Checkpoint | Bundle:
    """What lies in a folder.

    Raises:
        MissingInput: neither does.
    """
    if Bundle.is_one(folder):
        return Bundle(folder)
    if not (folder / "config.json").is_file():
        what = f"{folder} is neither checkpoint nor bundle" if folder.is_dir() else f"there is no folder {folder}"
        raise MissingInput(what, mend="give the folder of a checkpoint (with config.json), or a bundle that "
                           "edgelm deploy made (with bundle.json)")  # fmt: skip
    return Checkpoint(folder)


def _to_calibrate(model: Checkpoint | Bundle, folder: Path, names: list[str]) -> Report:
    """The report from the phone, before anything runs."""
    if len(names) != 1:
        raise BadOption("--calibrate needs one --profile, whose figures are corrected",
                        mend="--profile NAME, of one that is known or a new one")  # fmt: skip
    phones.require_name(names[0])
    there = Report.load(folder)
    require_same(model, there)
    pair_speed(there)
    return there


def show_speed(report: Report) -> None:
    """The figures of a measurement: a name and a value with its unit a row."""
    speed = report.speed
    assert speed is not None
    extra: dict[str, Any] = report.model_extra or {}
    for line in cautions(speed):
        note(line)
    prediction = extra.get("prediction") or {}
    shown = [(name.lower(), value.replace("\u202f", ","), of.replace("\u202f", ",")) for name, value, of in rows(speed)]
    shown += [
        (f"memory, {meter}", size(peak),
         f"predicted {size(prediction['predicted'])}, {error(prediction['error_percent'])}"
         if prediction.get("meter") == meter else "")
        for meter, peak in report.memory.items()
    ]  # fmt: skip
    shown += [(f"memory predicted, {part}", size(taken), "") for part, taken in report.predicted.items() if taken]
    shown += [("parameters", f"{report.parameters:,}", "")]
    work = speed.workload
    title = f"{work.prompt_tokens} prompt + {work.generated_tokens} generated tokens, {work.repeats} repeats"
    emit_table(("", "", ""), shown, title=f"{title}, on {speed.device}")


def show_estimates(report: Report) -> None:
    """What phones that are not at hand would reach."""
    estimates: dict[str, dict[str, Any]] = (report.model_extra or {}).get("estimates") or {}
    if not estimates:
        return
    columns = ("phone", ">decode", ">prefill", ">first token", ">whole", ">memory", "", "")
    shown = [
        (name, _plain(each["decode"]), _plain(each["prefill"]), duration(each["first_token_seconds"]),
         duration(each["seconds"]), size(each["memory"]),
         f"{'of' if each['fits'] else 'more than'} {size(each['usable'])}", each["basis"])
        for name, each in estimates.items()
    ]  # fmt: skip
    emit_table(columns, shown, title="Estimates, not measured (tokens/s)")


def _plain(value: float) -> str:
    """Tokens a second, as other tables have their thousands."""
    return rate(value).replace("\u202f", ",")
