"""A whole run, from a data folder to a checkpoint: what is done is not done again, and whatever ends it, it goes on."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgelm.checkpoint import Checkpoint
from edgelm.data.miniature import write
from edgelm.errors import BadFile, BadOption, InputError, MissingInput, NoSpace
from edgelm.files import tree_files
from edgelm.plugins import parse, spec_of
from edgelm.train.run import train

Recipe = Callable[..., list[Any]]


class Crash(Exception):
    """Ends a run from within."""


def crashing(stage: str, step: int) -> Callable[[str, Any], None]:
    """A listener that ends a run after an update of a stage."""

    def told(name: str, metrics: Any) -> None:
        if (name, metrics["step"]) == (stage, step):
            raise Crash

    return told


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree_files(folder)}


def test_the_same_seed_gives_the_same_bytes(trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    assert train(recipe(), suite, tmp_path / "again").digest == trained.digest


def test_the_checkpoint_loads_with_plain_transformers(trained: Checkpoint) -> None:
    model, loading = AutoModelForCausalLM.from_pretrained(trained.path, output_loading_info=True)
    assert not any(loading.values())
    assert model.dtype == torch.float16 and type(model).__module__.startswith("transformers.models.llama")
    assert model.num_parameters() == trained.parameters == trained.shape.parameters
    assert torch.isfinite(model(torch.tensor([[5, 6, 7]])).logits).all()
    tokenizer = AutoTokenizer.from_pretrained(trained.path)
    text = "zß水🍌 1234 \n\n\tend" + "".join(map(chr, range(256)))
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True
    )
    assert asked == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    ends = model.generation_config.eos_token_id
    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|eos|>"]


def test_a_run_that_is_finished_does_nothing(begun: Path, trained: Checkpoint, recipe: Recipe, suite: Path) -> None:
    before = bytes_of(begun)
    told: list[object] = []
    made = train(recipe(), suite, begun, lambda *seen: told.append(seen), note=told.append,
                 told=lambda *seen: told.append(seen))  # fmt: skip
    assert made.digest == trained.digest and bytes_of(begun) == before and not told


def test_a_run_may_be_done_step_by_step(trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "model", {}
    for until in ("tokenizer", "corpus", "pretrain"):
        assert train(recipe(), suite, out, until=until) is None
        assert not (out / "config.json").exists() and "done" in json.loads((out / f"work/{until}.json").read_bytes())
        after = bytes_of(out)
        assert before.items() <= after.items()
        before = after
    assert train(recipe(), suite, out).digest == trained.digest


def test_a_run_that_broke_off_goes_on_to_the_same_bytes(
    trained: Checkpoint, tuned: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path
) -> None:
    out, tuning = tmp_path / "model", recipe("sft:drills=0.2")
    for stage, step in (("pretrain", 2), ("pretrain", 5), ("pretrain", 6), ("sft", 1), ("sft", 8)):
        with pytest.raises(Crash):
            train(tuning, suite, out, told=crashing(stage, step))
        assert not (out / "config.json").exists()
    assert train(tuning, suite, out).digest == tuned.digest
    assert train(recipe(), suite, out).digest == trained.digest


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_changes_nothing(
    kills: int, tuned: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path, in_process: Any, tiny: Any
) -> None:
    """Wherever it is: in the tokenizer, the corpus, a stage, or the writing of the checkpoint."""
    draw, out = random.Random(kills), tmp_path / "model"
    asked = (tiny.recipe_until_killed, [spec_of(step) for step in recipe("sft:drills=0.2")], suite, out)
    while kills:
        code = in_process(*asked, round(10 ** draw.uniform(3, 5.7)))
        assert code in (0, -signal.SIGKILL)
        kills -= code != 0
        if code == 0:  # it came to its end in between: another run
            assert Checkpoint(out).digest == tuned.digest
            shutil.rmtree(out)
    assert in_process(*asked, None) == 0
    assert Checkpoint(out).digest == tuned.digest
    assert not [name for name in tree_files(out) if ".partial" in name]


def test_a_run_that_is_asked_to_end_exits_with_0(
    trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path
) -> None:
    def told(_: str, metrics: Any) -> None:
        if metrics["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    notes: list[str] = []
    with pytest.raises(SystemExit) as ended:
        train(recipe(), suite, tmp_path / "model", note=notes.append, told=told)
    assert ended.value.code == 0 and "stopped after update 3" in notes[-1]
    assert not (tmp_path / "model/config.json").exists()
    assert train(recipe(), suite, tmp_path / "model").digest == trained.digest


def test_a_longer_run_goes_on_and_tunes_anew(recipe: Recipe, suite: Path, tuned: Checkpoint, tmp_path: Path) -> None:
    longer, seen = recipe("pretrain:steps=12", "sft:drills=0.2"), []
    out = shutil.copytree(tuned.path, tmp_path / "model")
    with pytest.raises(Crash):
        train(longer, suite, out, told=crashing("pretrain", 9))
    assert not (out / "config.json").exists()
    train(longer, suite, out, told=lambda name, metrics: seen.append((name, metrics["step"])))
    assert [step for name, step in seen if name == "pretrain"] == [9, 10, 11, 12]  # before it, it was still level
    assert ("sft", 1) in seen
    train(longer[:3], suite, tmp_path / "direct")
    last = "work/pretrain/states/step-00000012/tensors.safetensors"
    assert (out / last).read_bytes() == (tmp_path / "direct" / last).read_bytes()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["stage"] == "pretrain"] == list(range(1, 13))


def test_a_shorter_run_does_not_take_a_finished_ones_place(
    begun: Path, recipe: Recipe, suite: Path, trained: Checkpoint
) -> None:
    longer = train(recipe("pretrain:steps=12"), suite, begun).digest
    assert longer != trained.digest
    with pytest.raises(BadOption, match="finished with 12 updates, more than are asked for"):
        train(recipe(), suite, begun)
    assert Checkpoint(begun).digest == longer
    assert train(recipe("pretrain:steps=12"), suite, begun).digest == longer


def test_fine_tuning_may_come_later(begun: Path, recipe: Recipe, suite: Path, tuned: Checkpoint) -> None:
    seen: set[str] = set()
    assert train(recipe("sft:drills=0.2"), suite, begun, told=lambda name, _: seen.add(name)).digest == tuned.digest
    assert seen == {"sft"}


def test_how_often_states_are_saved_may_change(begun: Path, recipe: Recipe, suite: Path, trained: Checkpoint) -> None:
    told: list[object] = []
    made = train(recipe("pretrain:save=2,micro=128"), suite, begun, told=lambda *seen: told.append(seen))
    assert made.digest == trained.digest and not told


@pytest.mark.parametrize(
    ("change", "step", "why"),
    [("pretrain:muon=0.01", "pretrain", "muon=0.01"), ("pretrain:loss=answers", "pretrain", "loss=answers"),
     ("tokenizer:vocab=576", "tokenizer", "vocab=576"), ("corpus:held_out=0.2", "tokenizer", "has changed: corpus")],
)  # fmt: skip
def test_other_settings_are_refused_with_both_named_and_nothing_is_lost(
    change: str, step: str, why: str, begun: Path, recipe: Recipe, suite: Path
) -> None:
    before = bytes_of(begun)
    with pytest.raises(BadOption, match=f"work/{step} was made with other settings or data") as raised:
        train(recipe(change), suite, begun)
    assert why in raised.value.why and raised.value.exit_code == 2
    if change.startswith(step):
        assert f"there '{spec_of(recipe()[('tokenizer', 'corpus', 'pretrain').index(step)])}'" in raised.value.why
    assert bytes_of(begun) == before


def test_other_data_is_refused_and_nothing_is_lost(begun: Path, recipe: Recipe, tmp_path: Path) -> None:
    before = bytes_of(begun)
    write(tmp_path / "other", rows=5, train_rows=200)
    with pytest.raises(BadOption, match="work/tokenizer was made with other settings or data") as raised:
        train(recipe(), tmp_path / "other", begun)
    assert raised.value.why == "what has changed: data"
    assert bytes_of(begun) == before


def test_a_tokenizer_that_was_changed_is_refused_and_nothing_is_lost(begun: Path, recipe: Recipe, suite: Path) -> None:
    path = begun / "work/tokenizer/tokenizer.json"
    good, before = path.read_bytes(), bytes_of(begun)
    path.write_bytes(good.replace(b'"<|pad|>"', b'"<|gap|>"'))
    with pytest.raises(BadOption, match="work/corpus was made with other") as raised:
        train(recipe("pretrain:steps=9"), suite, begun)
    assert raised.value.why == "what has changed: tokenizer" and raised.value.exit_code == 2
    path.write_bytes(good)
    assert bytes_of(begun) == before
    assert train(recipe("pretrain:steps=9"), suite, begun).card.steps[2]["updates"] == 9


@pytest.mark.parametrize("how", ["cut", "changed", "empty", "gone"])
def test_a_damaged_shard_is_named(how: str, begun: Path, recipe: Recipe, suite: Path) -> None:
    shard = begun / "work/corpus/train-00000.bin"
    content = shard.read_bytes()
    if how == "gone":
        shard.unlink()
    else:
        shard.write_bytes({"cut": content[:-2], "changed": b"\x07" + content[1:], "empty": b""}[how])
    with pytest.raises(BadFile, match=r"train-00000\.bin is (damaged|missing)") as raised:
        train(recipe("pretrain:steps=9"), suite, begun)
    assert raised.value.exit_code == 2 and raised.value.mend == f"remove {shard.parent} and run again"
    assert list((begun / "work/pretrain/states").iterdir())


def test_what_was_removed_is_made_again(begun: Path, trained: Checkpoint, recipe: Recipe, suite: Path) -> None:
    told: list[object] = []
    shutil.rmtree(begun / "work/corpus")
    assert train(recipe(), suite, begun, told=lambda *seen: told.append(seen)).digest == trained.digest
    assert not told  # the corpus is the same again, and nothing was trained


def test_a_batch_larger_than_the_data_is_refused(
    trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadOption, match=r"an update of 7,?812 rows is more than the \d+ rows of the corpus") as raised:
        train(recipe("pretrain:batch=1M"), suite, tmp_path / "model")
    assert raised.value.exit_code == 2 and "pretrain:batch=" in raised.value.mend
    assert train(recipe(), suite, tmp_path / "model").digest == trained.digest  # in the same folder


def test_a_loss_that_is_no_number_leaves_the_last_good_state(recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    wild = recipe("pretrain:adamw=1e30,muon=1e30,warmup=0")
    with pytest.raises(BadOption, match="is no number at update") as raised:
        train(wild, suite, tmp_path / "model")
    assert raised.value.exit_code == 2
    assert (tmp_path / "model/work/pretrain/bad-batch.json").is_file()
    assert not (tmp_path / "model/config.json").exists()


@pytest.mark.parametrize("writes", [1, 8, 13, 20])
def test_a_disk_that_is_full_at_any_write_loses_nothing(
    writes: int, trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.fsync, iter(range(writes))

    def fsync(file: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with monkeypatch.context() as patch, pytest.raises(NoSpace) as raised:
        patch.setattr(os, "fsync", fsync)
        train(recipe(), suite, tmp_path / "model")
    assert raised.value.exit_code == 2 and not (tmp_path / "model/config.json").exists()
    assert train(recipe(), suite, tmp_path / "model").digest == trained.digest


BAD_DATA: list[tuple[str, bytes, type[InputError], str]] = [
    ("alpaca/a.json", b'[{"instruction": "a", "input": "b"}]', MissingInput, "row 1 of .*a.json has no 'output'"),
    ("c4/a.jsonl", b'{"content": "some"}', MissingInput, "no training data"),
    ("c4/a.jsonl", b'{"text": "a few words only"}', BadOption, "too few for 512 tokens"),
    ("c4/a.jsonl", b'{"text": "caf\xe9"}\n', BadFile, r"a\.jsonl.* UTF-8"),
    ("c4/a.jsonl", b'{"text": "a"\n', BadFile, r"a\.jsonl"),
    ("c4/a.jsonl.gz", gzip.compress(b'{"text": "a"}')[:-6], BadFile, r"a\.jsonl"),
    ("c4/a.jsonl", b"", MissingInput, "no text|no training data"),
    ("other/a.jsonl", b'{"text": "a"}', MissingInput, "no training data"),
]


def test_bad_data_is_named_and_can_be_mended(recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "model"
    for folder in ("c4", "alpaca", "other"):
        (data / folder).mkdir(parents=True)
    for name, content, error, said in BAD_DATA:
        (data / name).write_bytes(content)
        with pytest.raises(error, match=f"(?s){said}") as raised:
            train(recipe(), data, out, offline=True)
        assert raised.value.exit_code == 2 and raised.value.mend
        assert not (out / "config.json").exists()
        (data / name).unlink()
    with pytest.raises(MissingInput, match="no training data"):
        train(recipe(), data, out, offline=True)
    shutil.copy(suite / "c4/miniature.jsonl", data / "c4")
    made = train(recipe(), data, out, offline=True)
    assert [source.name for source in made.card.data] == ["c4"]


def test_a_folder_that_holds_something_else_is_left_alone(recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.txt").write_text("mine")
    with pytest.raises(BadOption, match="exists already"):
        train(recipe(), suite, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine.txt"]


def test_metrics_and_progress_are_told(trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [("pretrain", step) for step in range(1, 7)]
    done: list[tuple[str, int, int]] = []
    told: list[tuple[str, float]] = []
    train(recipe(), suite, tmp_path / "again", lambda *seen: done.append(seen),
          told=lambda name, metrics: told.append((name, metrics["loss"])))  # fmt: skip
    assert told == [("pretrain", line["loss"]) for line in lines]
    assert [each for each in done if each[0] == "pretrain"] == [("pretrain", step, 6) for step in range(1, 7)]
    assert any(each[0] == "corpus" for each in done)


def test_the_loss_falls(trained: Checkpoint) -> None:
    losses = [json.loads(line)["loss"] for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.3


def test_a_qwen3_is_trained_as_well(recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    made = train(recipe("pretrain:family=qwen3"), suite, tmp_path / "model")
    model, loading = AutoModelForCausalLM.from_pretrained(made.path, output_loading_info=True)
    assert not any(loading.values()) and model.config.model_type == "qwen3"
    assert made.shape.qk_norm and made.parameters == made.shape.parameters == made.card.steps[2]["parameters"]


def test_a_foreign_tokenizer_is_said_on_the_card(
    trained: Checkpoint, recipe: Recipe, suite: Path, tmp_path: Path
) -> None:
    made = train([parse("train", f"tokenizer:path={trained.path}"), *recipe()[1:]], suite, tmp_path / "model")
    assert made.card.steps[0]["origin"] == "foreign" and trained.card.steps[0]["origin"] == "trained"


def test_one_process_cannot_share_a_model(recipe: Recipe, suite: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="nobody to share"):
        train(recipe(), suite, tmp_path / "model", how="fsdp")
