"""Turn a checkpoint into a smaller dense one in stock format: by a recipe, or by one that is searched for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from math import isclose
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Data, Json, OfflineFlag, count, emit_json, emit_table, note, progress, watched
from edgelm.compress.base import Progress, Step
from edgelm.compress.costs.forecast import Forecast, forecast
from edgelm.compress.costs.memory import search as memory_of_search
from edgelm.compress.costs.memory import within
from edgelm.compress.costs.phone import CONTEXT
from edgelm.compress.fallback import find_texts, size_of_texts
from edgelm.compress.page.page import add_search
from edgelm.compress.recipe import Row, agreed_dtype
from edgelm.compress.recipe import plan as make_plan
from edgelm.compress.search.found import Found
from edgelm.compress.search.limits import Limit, limit_of, positive, programs_of
from edgelm.compress.stream.imported import imported
from edgelm.compress.vocabulary.settle import settled
from edgelm.data.folder import DataFolder
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption
from edgelm.folders import require_fresh
from edgelm.plugins import parse, spec_of
from edgelm.recipe import steps_of
from edgelm.score.text import size

ORDER = ("vocab", "depth", "width", "kv", "repair", "heal", "cast")  # in which steps do least harm to each other


def compress(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder: the base.")],
    steps: Annotated[
        list[str] | None, typer.Argument(help="Recipe files, or steps in order: depth:drop=2 width:ffn=8192.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write.")] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Only print what would be cut; --fit and --target-params alone read weights."),
    ] = False,
    fit: Annotated[str | None, typer.Option(help="Find the recipe for a phone: 12GB, or bytes such as 7GB.")] = None,
    target_params: Annotated[str | None, typer.Option(help="Find the recipe for at most so many: 3.7B.")] = None,
    search: Annotated[
        Literal["quick", "full"], typer.Option(help="Go by estimates, or build the best eight and measure.")
    ] = "quick",
    calib: Annotated[
        list[Path] | None,
        typer.Option(help="Calibration text (.txt, .jsonl, .json, .parquet, also .gz), as often as wanted."),
    ] = None,
    data: Data = None,
    offline: OfflineFlag = False,
    calib_tokens: Annotated[str, typer.Option(help="Tokens to calibrate on, such as 32K.")] = "16384",
    seq: Annotated[int, typer.Option(help="Longest calibration sequence, in tokens.")] = 1024,
    dtype: Annotated[
        Literal["float16", "float32", "keep"] | None,
        typer.Option(help="Of the weights written; float16, unless a step cast says another."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of text.")] = 0,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What layers are run on; auto: a GPU if there is one.")
    ] = "auto",
    memory: Annotated[
        str | None, typer.Option("--memory", "--mem", help="Memory that the run may take at the most, such as 6GB.")
    ] = None,
    exports: Annotated[
        str, typer.Option(help="Programs that a searched recipe's result must suit: gguf, mlc, script, hf.")
    ] = "gguf+mlc",
    shard_size: Annotated[
        str, typer.Option(help="Bytes of a weight file at the most; a tensor beyond that has one of its own.")
    ] = "4GB",
    json: Json = False,
) -> None:
    """Turn a checkpoint into a smaller dense one that plain transformers, and llama.cpp after `deploy`, run as it is.

    Calibration text is what --calib names, else the training text of the data folder, else a short built-in text. A run
    that was killed goes on where it was when the same command is given again.
    """
    base = imported(Checkpoint(model))
    parsed = [parse("compress", spec) for spec in steps_of(steps or [], "compress")]
    folder = DataFolder(data, offline=offline)  # one that is not there is said of a plan too
    texts = cache(lambda: find_texts(calib or [], folder))
    agreed = agreed_dtype(base, parsed, dtype)
    tokens, limit = positive(calib_tokens, "--calib-tokens", "32K, for example"), _bytes(memory, "--memory")
    options: dict[str, Any] = {"sequence": seq, "dtype": agreed, "seed": seed, "device": device}
    if not plan and out is None:
        raise BadOption("compress needs a folder to write", mend="add -o FOLDER, or --plan to write nothing")
    if not (parsed or fit or target_params):
        raise BadOption("compress needs steps", mend="depth:drop=2, for example, a recipe, or --fit 12GB")
    if out is not None and not plan:
        require_fresh(out)  # before the text is read
    gpu = device == "cuda"  # what `auto` finds is not known before torch is loaded
    found: Found | None = None
    if fit or target_params:
        resident = sum(text.resident for text in texts())
        takes = partial(memory_of_search, base.config, text=resident, gpu=gpu)
        looked = options | {"tokens": within(limit, tokens, takes), "programs": programs_of(exports)}
        found = _searched(base, parsed, limit_of(fit, target_params), texts(), looked)
        parsed = found.steps
    if not plan:  # what cannot be done is said before the text is read
        make_plan(base, settled(base, parsed, texts, counting=False), agreed)
    parsed = settled(base, parsed, texts, counting=not plan)
    rows = make_plan(base, parsed, agreed)
    _warn_of_order(parsed)
    _warn_of_idle(parsed, rows)
    if plan:
        needed = partial(forecast, base, rows, dtype=agreed, text=size_of_texts(calib or [], folder), gpu=gpu)
        tokens = within(limit, tokens, lambda tokens: needed(tokens).memory)
        _show_plan(rows, needed(tokens), found, json)
        return
    assert out is not None
    options |= {"tokens": tokens, "memory": limit, "shard": _bytes(shard_size, "--shard-size")}
    if found and search == "full":
        found = _built(base, found, out, texts(), options)
        rows = make_plan(base, settled(base, found.steps, texts, counting=True), agreed)
    else:
        _run(base, parsed, out, texts(), options)
    if found:
        add_search(Checkpoint(out), found.facts())
    said = Checkpoint(out).card.model_dump()  # with all that it says of the compression
    for warning in said["warnings"]:
        note(f"warning: {warning}")
    _show_result(rows, said, found, json)
    note(f"report: {out / 'report.html'}")


def _bytes(text: str | None, option: str) -> int | None:
    return None if text is None else positive(text, option, "6GB, for example")


def _warn_of_order(steps: Sequence[Step]) -> None:
    names = [spec_of(step).partition(":")[0] for step in steps]
    places = [ORDER.index(name) for name in names if name in ORDER]
    if places != sorted(places):
        note(f"warning: {', '.join(names)} is an unusual order; less is lost in the order {', '.join(ORDER)}")


def _warn_of_idle(steps: Sequence[Step], rows: Sequence[Row]) -> None:
    done = Counter(row.step for row in rows[1:])
    for spec, given in Counter(map(spec_of, steps)).items():
        if given > done[spec]:
            note(f"warning: {spec} changes nothing: the model is like that already")


def _run(base: Checkpoint, steps: Sequence[Step], out: Path, texts: list[TextSource], options: dict[str, Any]) -> None:
    from edgelm.compress.run import compress as run  # loads torch

    with progress() as bar:
        run(base, steps, out, texts=texts, progress=bar if watched() else _named_once(), **options)


def _named_once() -> Progress:
    """Where nobody sees bars move: each thing that is done has a line when it begins."""
    named: set[str] = set()

    def told(what: str, done: int, total: int) -> None:
        if what not in named:
            named.add(what)
            note(what)

    return told


def _searched(
    base: Checkpoint, fixed: list[Step], limit: Limit, texts: list[TextSource], options: dict[str, Any]
) -> Found:
    from edgelm.compress.search.quick import quick  # loads torch

    with progress() as bar:
        return quick(base, settled(base, fixed, lambda: texts, counting=True), limit, texts, progress=bar, **options)


def _built(base: Checkpoint, found: Found, out: Path, texts: list[TextSource], options: dict[str, Any]) -> Found:
    from edgelm.compress.run import compress as run  # loads torch
    from edgelm.compress.search.full import full

    def make(steps: Sequence[Step], folder: Path) -> Checkpoint:
        return run(base, steps, folder, texts=texts, **options)

    with progress() as bar:
        text = [[text.name, text.sha256] for text in texts]
        return full(found, out, make, {"base": base.digest, "options": options, "text": text}, bar)


def _show_search(found: Found | None) -> None:
    if found:
        emit_table(*found.table())
        note(f"recipe: {found.line or 'nothing to cut: the base fits as it is'}")


def _show_plan(rows: list[Row], needs: Forecast, found: Found | None, json: bool) -> None:
    if json:
        emit_json({**_facts(rows, found), "forecast": asdict(needs)})
        return
    _show_search(found)
    _show_steps(rows)
    faster = needs.read_base / needs.read
    emit_table(("forecast", ""), [
        ("memory of this run", f"about {size(needs.memory)}"),
        ("disk of this run", f"about {size(needs.disk)}"),
        (f"memory on a phone, {CONTEXT:,} tokens", f"{size(needs.phone)} (base {size(needs.phone_base)})"),
        ("read for each token written", f"{size(needs.read)} (base {size(needs.read_base)}: {faster:.2f} times as fast "
                                        "where memory limits)"),
        *needs.exports.rows(),
    ])  # fmt: skip


def _show_result(rows: list[Row], said: dict[str, Any], found: Found | None, json: bool) -> None:
    made = said["steps"][len(said["steps"]) - len(rows) + 1 :]  # those before are of earlier runs
    if json:
        emit_json(_measured(_facts(rows, found), made) | {"quality": said["quality"]})
        return
    _show_search(found)
    _show_steps(rows)
    read = said["forecast"]["read_base"]
    base = said["quality"]["perplexity_original"]
    table = [("base", f"{base:.4g}", "", "", "")]
    for step in made:
        quality = step["quality"]
        if not isclose(quality["perplexity_base"], base, rel_tol=1e-6):
            base = quality["perplexity_base"]
            table.append(("base, over the tokens that are left", f"{base:.4g}", "", "", ""))
        table.append((step["step"], f"{quality['perplexity']:.4g}", f"{quality['kl']:.4g}",
                      f"{read / step['read']:.2f}×", f"{step['speed']['decode']['faster']:.2f}×"))  # fmt: skip
    columns = ("quality on held-out text", ">perplexity", ">KL from the base", ">expected speed", ">measured speed")
    emit_table(columns, table)
    if made:
        note(_speed(made[-1]["speed"]))


def _speed(speed: dict[str, Any]) -> str:
    """The measured speed in words."""
    pace = speed["decode"]
    return (
        f"a token is written in {pace['ms']:.3g} ms, {pace['tokens_per_second']:.3g} a second; by the base in "
        f"{pace['ms_base']:.3g} ms (measured on {speed['device']} in {speed['dtype']}, threads: {speed['threads']})"
    )


def _measured(facts: dict[str, Any], made: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of a plan with what the run has measured after each step."""
    base, *steps = facts["steps"]
    told = [{**step, **{key: record[key] for key in ("read", "quality", "speed", "seconds")}}
            for step, record in zip(steps, made, strict=True)]  # fmt: skip
    return {**facts, "steps": [base, *told]}


def _facts(rows: list[Row], found: Found | None) -> dict[str, Any]:
    steps = [{"step": row.step, "parameters": row.parameters, "bytes": row.bytes} for row in rows]
    return {"steps": steps, "search": found.facts()} if found else {"steps": steps}


def _show_steps(rows: list[Row]) -> None:
    first = rows[0]
    emit_table(
        ("step", ">layers", ">width", ">feed-forward", ">heads", ">vocabulary", ">parameters", ">weights", ">of base"),
        [
            (row.step, row.shape.layers, count(row.shape.width), count(row.shape.ffn),
             f"{row.shape.heads}/{row.shape.kv_heads}", count(row.shape.vocab), count(row.parameters), size(row.bytes),
             f"{row.parameters / first.parameters:.1%}")
            for row in rows
        ],
    )  # fmt: skip
