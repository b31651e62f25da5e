"""Packing: what is joined, linked and refused, and that the same input gives the same bytes."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from edgelm.bridges.opencompass import CONFIGURATION, MODEL, opencompass_files
from edgelm.check.run import check
from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.errors import BadFile, BadOption, InputError, MissingInput, NoSpace, UnknownName
from edgelm.files import sha256_file, tree_files, write_json
from edgelm.links import read_links
from edgelm.pack import Entry, pack
from edgelm.report import Answer, Report, Speed, TaskScore, Workload, answers_log
from edgelm.rules import Rules
from edgelm.rules.miniature import Miniature
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.submission import HEADER, Submission

RULES = Miniature()


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    folder = make_checkpoint("qwen2", dtype="float16")
    checkpoint = Checkpoint(folder)
    checkpoint.write_card(Card(base="tiny/base", derivation="compressed", recipe=["depth:drop=1", "width:ffn=96"],
                               data=[Source(name="c4")]))  # fmt: skip
    return checkpoint


@pytest.fixture
def evaluated(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A report of one task, 2 of 3 right."""
    folder = tmp_path / "evaluated"
    with answers_log(folder, "gsm8k") as log:
        for number, mark in enumerate((0, 10**6, 10**6)):
            answer = Answer(key="k", sample=str(number), text="4", mark=mark, tokens=1, prompt_tokens=9, finish="stop")
            log.append([answer.model_dump(mode="json")])
    score = TaskScore(protocol="miniature-1/gsm8k-0", score=Fraction(200, 3), samples=3, of=3, prompting="chat",
                      engine={})  # fmt: skip
    report_of(checkpoint, tasks={"gsm8k": score}).save(folder)
    return folder


@pytest.fixture
def measured(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A report of speed and memory, without tasks."""
    speed = Speed(workload=Workload(prompt_tokens=192, generated_tokens=64), device="local", repeats_ns=[7 * 10**8],
                  first_token_ns=[1], prefill=1.0, decode=1.0, spread=0.0)  # fmt: skip
    report_of(checkpoint, speed=speed, memory={"host-peak": 345 << 20, "other": 1}).save(tmp_path / "measured")
    return tmp_path / "measured"


@pytest.fixture
def bundle(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(bytes(1 << 17))
    write_json(folder / "bundle.json", {"checkpoint": checkpoint.digest, "files": {"model.gguf": {}}})
    return folder


def report_of(checkpoint: Checkpoint, **parts: Any) -> Report:
    return Report(checkpoint=checkpoint.digest, name="tiny", parameters=checkpoint.parameters, bytes=checkpoint.bytes,
                  dtypes=checkpoint.dtypes, **parts)  # fmt: skip


def packed(out: Path, *entry: Any, rules: Rules = RULES, **options: Any) -> Submission:
    return pack({"base": Entry(*entry)}, team="red", track="compression", rules=rules, out=out, **options)


def test_all_parts_are_joined(
    checkpoint: Checkpoint, evaluated: Path, measured: Path, bundle: Path, tmp_path: Path
) -> None:
    submission = packed(tmp_path / "out", checkpoint.path, (evaluated, measured), bundle, title="Small")
    report = submission.report("base")
    assert report == Report.load(evaluated) | Report.load(measured)
    assert (submission.report_folder("base") / "answers/gsm8k.jsonl").read_bytes() == (
        evaluated / "answers/gsm8k.jsonl"
    ).read_bytes()
    assert submission.checkpoint("base").digest == checkpoint.digest
    assert tree_files(submission.model_folder("base") / "bundle") == ["bundle.json", "model.gguf"]
    manifest = submission.manifest
    assert (manifest.team, manifest.title, manifest.rules) == ("red", "Small", RULES.digest)
    assert {entry.path: (entry.size, entry.sha256) for entry in manifest.files} == {
        name: ((submission.path / name).stat().st_size, sha256_file(submission.path / name))
        for name in tree_files(submission.path)
        if name != "edgelm.json"
    }


def test_results_are_canonical_and_untested_is_empty(
    checkpoint: Checkpoint, evaluated: Path, measured: Path, tmp_path: Path
) -> None:
    packed(tmp_path / "out", checkpoint.path, (evaluated, measured))
    text = (tmp_path / "out/results.csv").read_bytes().decode()
    # 200/3 % of gsm8k; 256 tokens in 0.7 s; 345 MiB
    assert text == ",".join(HEADER) + "\nbase,,,66.67,,,,,365.71,345.00\n"


def test_a_partial_score_or_one_of_another_protocol_is_no_claim_and_truthfulqa_is_in_percent(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    half = TaskScore(protocol="miniature-1/bbh-0", score=Fraction(50), samples=4, of=4, prompting="chat", engine={})
    tasks = {
        "gsm8k": half.model_copy(update={"of": 5}), "bbh": half,
        "chid": half.model_copy(update={"protocol": "other-1/chid-0"}),
        "truthfulqa": half.model_copy(update={"figures": {"bleu_acc": Fraction(2803, 10000)}}),
    }  # fmt: skip
    report_of(checkpoint, tasks=tasks).save(tmp_path / "partial")
    for task in tasks:
        with answers_log(tmp_path / "partial", task) as log:
            log.append([])
    packed(tmp_path / "out", checkpoint.path, (tmp_path / "partial",))
    assert (tmp_path / "out/results.csv").read_text().splitlines()[1] == "base,,50.00,,,,,50.00,,"


def test_the_card_is_completed_and_lies_beside_the_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    submission = packed(tmp_path / "out", checkpoint.path)
    card = submission.card("base")
    found = (card.slot, card.prompting, card.base, card.model_extra)
    extra = {"parameters": checkpoint.parameters, "dtype": "F16", "context_length": 256}
    assert found == ("base", "chat", "tiny/base", extra)
    assert not (submission.model_folder("base") / "checkpoint/card.json").exists()
    assert submission.checkpoint("base").card == card


def test_no_data_is_said_outright(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    packed(tmp_path / "out", make_checkpoint("llama"))
    assert json.loads((tmp_path / "out/models/base/card.json").read_text())["data"] == []


def test_packing_twice_gives_the_same_bytes(checkpoint: Checkpoint, evaluated: Path, tmp_path: Path) -> None:
    first, second = (packed(tmp_path / name, checkpoint.path, (evaluated,)) for name in ("a", "b"))
    assert (first.path / "edgelm.json").read_bytes() == (second.path / "edgelm.json").read_bytes()
    for name in ("a.zip", "b.zip"):
        packed(tmp_path / name, checkpoint.path, (evaluated,))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_zip_holds_the_same_package(checkpoint: Checkpoint, evaluated: Path, tmp_path: Path) -> None:
    folder = packed(tmp_path / "out", checkpoint.path, (evaluated,))
    with packed(tmp_path / "out.zip", checkpoint.path, (evaluated,)) as zipped:
        assert zipped.digest == folder.digest
        assert tree_files(zipped.path) == tree_files(folder.path)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_weights_are_linked_and_answers_are_not(
    checkpoint: Checkpoint, evaluated: Path, bundle: Path, tmp_path: Path
) -> None:
    submission = packed(tmp_path / "out", checkpoint.path, (evaluated,), bundle)
    weights = submission.checkpoint("base").weight_files[0]
    assert weights.samefile(checkpoint.weight_files[0])
    assert (submission.model_folder("base") / "bundle/model.gguf").samefile(bundle / "model.gguf")
    answers = "answers/gsm8k.jsonl"
    assert not (submission.report_folder("base") / answers).samefile(evaluated / answers)


def test_weights_are_copied_where_linking_fails(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    submission = packed(tmp_path / "out", checkpoint.path)
    copy = submission.checkpoint("base").weight_files[0]
    assert not copy.samefile(checkpoint.weight_files[0])
    assert copy.read_bytes() == checkpoint.weight_files[0].read_bytes()


def test_a_checkpoint_of_links_becomes_plain_files(checkpoint: Checkpoint, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"  # as the hub's cache keeps one
    snapshot.mkdir()
    for name in tree_files(checkpoint.path):
        (snapshot / name).symlink_to(checkpoint.path / name)
    submission = packed(tmp_path / "out", snapshot)
    assert not any(path.is_symlink() for path in submission.path.rglob("*"))
    assert submission.checkpoint("base").digest == checkpoint.digest


def test_the_source_is_copied_or_written_from_the_recipe(checkpoint: Checkpoint, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ".git").mkdir(parents=True)
    (source / ".git/config").write_text("x")
    with pytest.raises(MissingInput, match=r"README\.md"):
        packed(tmp_path / "none", checkpoint.path, source=source)
    (source / "README.md").write_text("make\n")
    submission = packed(tmp_path / "given", checkpoint.path, source=source)
    assert tree_files(submission.path / "source") == ["README.md"]
    packed(tmp_path / "written", checkpoint.path)
    text = (tmp_path / "written/source/README.md").read_text()
    assert "```\nedgelm compress tiny/base depth:drop=1 width:ffn=96 -o out/base\n```" in text


@pytest.mark.parametrize("name", ["aux.py", "end.", "in\u200bvisible"])
def test_a_name_that_the_checker_refuses_is_refused_here(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for each in ("README.md", name):
        (source / each).write_text("make\n")
    with pytest.raises(BadFile, match="cannot be in a package"):
        packed(tmp_path / "out", checkpoint.path, source=source)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["out", "deep/out.zip", "."])
def test_a_package_is_not_copied_into_itself(checkpoint: Checkpoint, tmp_path: Path, out: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/README.md").write_text("make\n")
    with pytest.raises(BadOption, match="lies in the source folder"):
        packed(tmp_path / "source" / out, checkpoint.path, source=tmp_path / "source")
    assert tree_files(tmp_path) == ["source/README.md"]


def test_a_packed_zip_is_not_unpacked_again(checkpoint: Checkpoint, tmp_path: Path) -> None:
    submission = packed(tmp_path / "out.zip", checkpoint.path)
    assert (submission.manifest.team, submission.slots) == ("red", ["base"])
    assert submission._unpacked is None


def test_the_commands_of_a_model_trained_here_begin_with_its_training(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_checkpoint("llama")
    recipe = ["tokenizer", "pretrain:steps=9", "depth:drop=1"]
    Checkpoint(folder).write_card(Card(base="mini", derivation="from-scratch", recipe=recipe))
    packed(tmp_path / "out", folder)
    train = "edgelm train tokenizer pretrain:steps=9 --data DATA -o out/base-0"
    compress = "edgelm compress out/base-0 depth:drop=1 -o out/base"
    assert f"```\n{train}\n{compress}\n```" in (tmp_path / "out/source/README.md").read_text()


def compressed_by(*texts: str, **options: Any) -> dict[str, Any]:
    """A run of compress as its card keeps it."""
    run = {"texts": [{"name": name, "sha256": "0" * 64} for name in texts], "tokens": 16384, "sequence": 1024,
           "seed": 0, "dtype": "float16"}  # fmt: skip
    return run | options


def test_the_commands_have_the_options_that_shaped_the_model(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_checkpoint("llama")
    runs = [compressed_by("c4", "alpaca", steps=["depth:drop=1"], tokens=99, seed=7),
            compressed_by("my text.txt", "c4", steps=["width:ffn=64"], sequence=64, dtype="keep"),
            compressed_by("edgelm-calibration", steps=["width:ffn=32"])]  # fmt: skip
    Checkpoint(folder).write_card(Card.model_validate(
        {"base": "tiny/base", "recipe": ["depth:drop=1", "width:ffn=64", "width:ffn=32"], "options": runs,
         "data": [{"name": "c4", "sha256": "a" * 64}] * 2},
    ))  # fmt: skip
    packed(tmp_path / "out", folder)
    text = (tmp_path / "out/source/README.md").read_text()
    commands = [
        "edgelm compress tiny/base depth:drop=1 --data DATA --calib-tokens 99 --seq 1024 --seed 7 --dtype float16"
        " -o out/base-1",
        "edgelm compress out/base-1 width:ffn=64 --calib 'my text.txt' --calib c4 --calib-tokens 16384 --seq 64"
        " --seed 0 --dtype keep -o out/base-2",
        "edgelm compress out/base-2 width:ffn=32 --calib-tokens 16384 --seq 1024 --seed 0 --dtype float16 -o out/base",
    ]
    assert "```\n" + "\n".join(commands) + "\n```" in text
    assert text.count("- c4, sha256 " + "a" * 64) == 1


def test_options_of_the_wrong_kind_are_named(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_checkpoint("llama")
    Checkpoint(folder).write_card(Card.model_validate({"options": [compressed_by(steps="depth")]}))
    with pytest.raises(BadFile, match=r"the card of base: field options\.0\.steps"):
        packed(tmp_path / "out", folder)


def test_a_proof_is_taken_along(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no folder"):
        packed(tmp_path / "out", checkpoint.path, (), None, tmp_path / "proof")
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof/error.txt").write_text("no phone\n")
    submission = packed(tmp_path / "out", checkpoint.path, (), None, tmp_path / "proof")
    assert (submission.model_folder("base") / "proof/error.txt").read_text() == "no phone\n"


def test_slots_are_those_of_the_track(checkpoint: Checkpoint, tmp_path: Path) -> None:
    options: dict[str, Any] = {"team": "red", "track": "compression", "rules": Neurips2024()}
    entries, omitted = {"phi-2": Entry(checkpoint.path)}, {"llama-3-8b": "too large", "qwen-7b": "too large"}
    with pytest.raises(MissingInput, match="llama-3-8b"):
        pack(entries, out=tmp_path / "a", **options)
    with pytest.raises(UnknownName, match="base"):
        pack({"base": Entry(checkpoint.path)}, out=tmp_path / "a", **options)
    with pytest.raises(BadOption, match="phi-2"):
        pack(entries, out=tmp_path / "a", omitted=omitted | {"phi-2": "no"}, **options)
    submission = pack(entries, out=tmp_path / "a", omitted=omitted, **options)
    assert (submission.slots, submission.omitted) == (["phi-2"], omitted)


def another(folder: Path, name: str) -> Path:
    """The same folder, made from another checkpoint."""
    copy = Path(shutil.copytree(folder, folder.with_name(f"other-{folder.name}")))
    content = json.loads((copy / name).read_text()) | {"checkpoint": "0" * 64}
    write_json(copy / name, content)
    return copy


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_what_does_not_belong_is_refused_and_nothing_is_left(
    checkpoint: Checkpoint, evaluated: Path, measured: Path, bundle: Path, tmp_path: Path, out: str
) -> None:
    foreign, foreign_bundle = another(measured, "report.json"), another(bundle, "bundle.json")
    before = set(tmp_path.iterdir())
    with pytest.raises(BadOption, match="another checkpoint"):
        packed(tmp_path / out, checkpoint.path, (evaluated, foreign))
    with pytest.raises(MissingInput, match="no finished report"):
        packed(tmp_path / out, checkpoint.path, (tmp_path,))
    with pytest.raises(InputError, match=r"bundle\.json"):
        packed(tmp_path / out, checkpoint.path, (), evaluated)
    with pytest.raises(BadOption, match="another checkpoint"):
        packed(tmp_path / out, checkpoint.path, (), foreign_bundle)
    (evaluated / "answers/gsm8k.jsonl").unlink()
    with pytest.raises(MissingInput, match="answers of gsm8k"):
        packed(tmp_path / out, checkpoint.path, (evaluated,))
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_a_full_disk_on_the_way_leaves_nothing(
    checkpoint: Checkpoint, evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("shutil.copyfile", fill)
    before = set(tmp_path.iterdir())
    with pytest.raises(NoSpace):
        packed(tmp_path / out, checkpoint.path, (evaluated,))
    assert set(tmp_path.iterdir()) == before


def test_an_existing_output_is_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_text("mine")
    with pytest.raises(BadOption, match="exists"):
        packed(tmp_path / "out.zip", checkpoint.path)
    assert (tmp_path / "out.zip").read_text() == "mine"


def read_by_this_process() -> int:
    """Bytes that it has asked the system for so far, cached or not."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.fixture
def large(checkpoint: Checkpoint, tmp_path: Path, write_zeros: Callable[..., None]) -> Path:
    """A checkpoint with 256 MiB of weights, which take no room on the disk."""
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "large"))
    write_zeros(folder / "model.safetensors", {"model.embed_tokens.weight": (1 << 13, 1 << 14)}, "F16")
    return folder


def test_large_weights_are_read_once_and_take_no_room(large: Path, tmp_path: Path) -> None:
    weights, told = large / "model.safetensors", []
    size, before = weights.stat().st_size, read_by_this_process()
    submission = packed(tmp_path / "out", large, wrapper=opencompass_files, progress=told.append)
    assert size > 1 << 28
    assert size < read_by_this_process() - before < 1.05 * size
    assert size < sum(told) < 1.05 * size
    assert (submission.path / "models/base/checkpoint/model.safetensors").stat().st_ino == weights.stat().st_ino


def test_what_had_to_be_copied_is_said_with_the_reason(
    checkpoint: Checkpoint, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    packed(tmp_path / "linked", checkpoint.path, (), bundle, note=said.append)
    assert said == []

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    packed(tmp_path / "copied", checkpoint.path, (), bundle, note=said.append)
    large = checkpoint.weight_files[0].stat().st_size + (1 << 17)
    assert said == [f"{large:,} bytes were copied, not linked: Invalid cross-device link"]


GGUF, WEIGHTS = "models/base/bundle/model.gguf", "models/base/checkpoint/model.safetensors"
URL = "https://huggingface.co/red/small/resolve/main/"


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_files_that_lie_elsewhere_are_listed_and_left_out(
    checkpoint: Checkpoint, bundle: Path, tmp_path: Path, out: str
) -> None:
    links = {WEIGHTS: f"{URL}w", GGUF: f"{URL}g"}
    with packed(tmp_path / out, checkpoint.path, (), bundle, links=links) as submission:
        assert not {WEIGHTS, GGUF} & set(tree_files(submission.path))
        listed = {entry.path: (entry.size, entry.sha256) for entry in submission.manifest.files}
        records = read_links(submission.path)
    origins = {WEIGHTS: checkpoint.weight_files[0], GGUF: bundle / "model.gguf"}
    assert {record.path: (record.url, record.size, record.sha256) for record in records} == {
        name: (links[name], origin.stat().st_size, sha256_file(origin)) for name, origin in origins.items()
    }
    assert {name: listed[name] for name in links} == {record.path: (record.size, record.sha256) for record in records}
    assert "links.json" in listed


def test_the_checker_does_not_miss_what_lies_elsewhere(checkpoint: Checkpoint, bundle: Path, tmp_path: Path) -> None:
    packed(tmp_path / "whole", checkpoint.path, (), bundle)
    packed(tmp_path / "linked", checkpoint.path, (), bundle, links={WEIGHTS: f"{URL}w", GGUF: f"{URL}g"})
    whole, linked = ({found.code for found in check(tmp_path / name, RULES)} for name in ("whole", "linked"))
    assert linked - whole == {"LNK-04"}


@pytest.mark.parametrize(("name", "error", "said"), [
    ("models/base/bundle/model.ggu", UnknownName, "did you mean"), ("results.csv", BadOption, "written when packing"),
    ("models/base/card.json", BadOption, "written when packing"), ("edgelm.json", BadOption, "written when packing"),
])  # fmt: skip
def test_a_link_of_no_file_is_refused(
    checkpoint: Checkpoint, bundle: Path, tmp_path: Path, name: str, error: type[InputError], said: str
) -> None:
    with pytest.raises(error) as refused:
        packed(tmp_path / "out", checkpoint.path, (), bundle, links={name: f"{URL}x"})
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_the_wrapper_finds_its_checkpoint_and_knows_its_files(checkpoint: Checkpoint, tmp_path: Path) -> None:
    submission = packed(tmp_path / "out", checkpoint.path, wrapper=opencompass_files)
    folder = submission.path / "source/opencompass/base"
    path = next(line for line in (folder / CONFIGURATION).read_text().splitlines() if "path=" in line)
    named = (folder / json.loads(path.partition("=")[2].rstrip(","))).resolve()
    assert named == (submission.path / "models/base/checkpoint").resolve()
    model = (folder / MODEL).read_text()
    assert checkpoint.digest in model
    assert sha256_file(checkpoint.weight_files[0]) in model
    assert "HuggingFacewithChatTemplate" in model


def test_a_teams_own_wrapper_stays(checkpoint: Checkpoint, tmp_path: Path) -> None:
    own = tmp_path / "source/opencompass/base"
    own.mkdir(parents=True)
    (own / MODEL).write_text("mine\n")
    (tmp_path / "source/README.md").write_text("make\n")
    packed(tmp_path / "out", checkpoint.path, source=tmp_path / "source", wrapper=opencompass_files)
    assert (tmp_path / "out/source/opencompass/base" / MODEL).read_text() == "mine\n"
    assert (tmp_path / "out/source/opencompass/base" / CONFIGURATION).is_file()


def test_a_source_that_leads_back_into_itself_ends(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "source/lib").mkdir(parents=True)
    (tmp_path / "source/README.md").write_text("make\n")
    (tmp_path / "source/lib/again").symlink_to(tmp_path / "source")
    (tmp_path / "source/lost").symlink_to(tmp_path / "nowhere")
    submission = packed(tmp_path / "out", checkpoint.path, source=tmp_path / "source")
    assert tree_files(submission.path / "source") == ["README.md"]
