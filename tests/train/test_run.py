from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.errors import BadOption, MissingInput, NoSpace, UnknownName, Unsupported
from edgelm.plugins import parse
from edgelm.shapes import shape_of
from edgelm.train.base import SHAPES, TUNINGS, Example, Tuning
from edgelm.train.batches import IGNORED, draw_batches, micro_batches
from edgelm.train.corpus import Corpus
from edgelm.train.export import export
from edgelm.train.pretrain import Pretrain
from edgelm.train.run import train
from edgelm.train.tokenizer import SPECIALS, Tokenizer

SHORT = Pretrain(shape="tiny", steps=3, batch=512)
STEPS = [Tokenizer(vocab=512), Corpus(longest=256), SHORT]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "data"
    write(folder, rows=5, train_rows=300)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.set_num_threads(1)
    return train(STEPS, data, tmp_path_factory.mktemp("out") / "model")


def test_same_seed_gives_the_same_bytes(trained: Checkpoint, data: Path, tmp_path: Path) -> None:
    assert train(STEPS, data, tmp_path / "again").digest == trained.digest
    other = Pretrain(shape="tiny", steps=3, batch=512, seed=1)
    assert train([*STEPS[:2], other], data, tmp_path / "other").digest != trained.digest


def test_the_checkpoint_loads_with_plain_transformers(trained: Checkpoint) -> None:
    model, loading = AutoModelForCausalLM.from_pretrained(trained.path, output_loading_info=True)
    assert not any(loading.values())
    assert model.dtype == torch.float16
    assert model.num_parameters() == trained.parameters == trained.shape.parameters
    assert trained.shape == shape_of(model.config.to_dict())
    for old, new in (("torch_dtype", "dtype"), ("rope_theta", "rope_parameters"), ("head_dim", "head_dim")):
        assert old in trained.config and new in trained.config
    assert model.config.rope_parameters["rope_theta"] == trained.config["rope_theta"] == SHORT.tuning.theta
    assert torch.isfinite(model(torch.tensor([[5, 6, 7]])).logits).all()


def test_the_tokenizer_gives_every_text_back(trained: Checkpoint) -> None:
    tokenizer = AutoTokenizer.from_pretrained(trained.path)
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == [0, 1, 2, 3, 4]
    text = "zß水🍌 1234 \n\n\tend" + "".join(map(chr, range(256)))
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    messages = [{"role": "user", "content": "a"}]
    asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert asked == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"


def test_the_card_tells_the_whole_story(trained: Checkpoint) -> None:
    card = trained.card
    assert (card.derivation, card.prompting, card.licence) == ("from-scratch", "chat", "Apache-2.0")
    assert [type(parse("train", spec)) for spec in card.recipe] == [Tokenizer, Corpus, Pretrain]
    assert [parse("train", spec) for spec in card.recipe] == STEPS
    assert [source.name for source in card.data] == ["miniature", "miniature"]
    assert len({source.sha256 for source in card.data}) == 2
    assert sum(source.tokens for source in card.data) == card.steps[1]["tokens"]
    assert all(source.tokens > 0 and len(source.sha256) == 64 for source in card.data)


def test_metrics_are_written_and_told(trained: Checkpoint, data: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    told: list[tuple[str, int, int]] = []
    train(STEPS, data, tmp_path / "again", lambda *seen: told.append(seen))
    assert told == [("pretrain", step, 3) for step in (1, 2, 3)]


def test_the_loss_falls(data: Path, tmp_path: Path) -> None:
    longer = Pretrain(shape="tiny", steps=40, batch=512)
    train([*STEPS[:2], longer], data, tmp_path / "model")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "model/metrics.jsonl").read_text().splitlines()]
    assert sum(losses[-5:]) < sum(losses[:5]) / 2


def test_a_loss_that_is_no_number_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    wild = Pretrain(shape="tiny", steps=9, batch=256, adamw=1e30, warmup=0)
    with pytest.raises(BadOption, match="is no number at update"):
        train([*STEPS[:2], wild], data, tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_a_weight_beyond_fp16_is_refused(trained: Checkpoint, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained.path, dtype=torch.float32)
    model.model.norm.weight.data[3] = 70_000
    with pytest.raises(Unsupported, match=r"model\.norm\.weight"):
        export(model, trained.shape, 10.0, AutoTokenizer.from_pretrained(trained.path), tmp_path)


def test_a_full_disk_is_said(trained: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("edgelm.stock.save_file", refuse)
    model = AutoModelForCausalLM.from_pretrained(trained.path)
    with pytest.raises(NoSpace):
        export(model, trained.shape, 10.0, AutoTokenizer.from_pretrained(trained.path), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("alpaca/a.json", b'[{"instruction": "a", "input": "b"}]', MissingInput, "row 1 of .*a.json has no 'output'"),
        ("c4/a.jsonl", b'{"text": "a few words only"}', BadOption, "too few for 512 tokens"),
        ("other/a.jsonl", b'{"text": "a"}', MissingInput, "no training data"),
    ],
)
def test_bad_data_is_named(name: str, content: bytes, error: type[Exception], said: str, tmp_path: Path) -> None:
    (tmp_path / "data" / name).parent.mkdir(parents=True)
    (tmp_path / "data" / name).write_bytes(content)
    with pytest.raises(error, match=said):
        train(STEPS, tmp_path / "data", tmp_path / "out" / "model")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_rows_without_an_answer_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "alpaca").mkdir()
    rows = [{"instruction": f"{n}?", "input": "", "output": "n" * (n % 2)} for n in range(6)]
    (tmp_path / "alpaca/mine.json").write_text(json.dumps(rows))
    (text,) = Corpus().read(DataFolder(tmp_path))
    assert [document.question for document in text.documents] == ["1?", "3?", "5?"]


def test_a_model_is_as_free_as_its_texts(tmp_path: Path) -> None:
    words = " ".join(f"{n} of {n * n}, {n:x};" for n in range(3000))
    rows = {"alpaca/a.json": {"instruction": "Count.", "output": words[:50]}, "c4/a.jsonl": {"text": words},
            "own/a.jsonl": {"text": words}}  # fmt: skip
    for name, row in rows.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_text(json.dumps(row))
    steps = [Tokenizer(vocab=320), Pretrain(shape="tiny", steps=1, batch=64)]
    for files, licence, names in (
        ((), "CC-BY-NC-4.0", ["c4", "alpaca"]), (("c4/a.jsonl",), "Apache-2.0", ["c4"]),
        (("own/a.jsonl",), "", ["a.jsonl"]),
    ):  # fmt: skip
        corpus = Corpus(files=files, longest=256)
        card = train([*steps, corpus], tmp_path / "data", tmp_path / f"model-{licence}").card
        assert (card.licence, [source.name for source in card.data]) == (licence, names)


def test_settings_that_cannot_be_are_named(data: Path, tmp_path: Path) -> None:
    for spec, error, said in (
        ("tokenizer:vocab=256", BadOption, "vocabulary of 256"), ("tokenizer:vocab=1000", BadOption, "multiples of 64"),
        ("pretrain:shape=huge", UnknownName, "no shape"), ("pretrain:steps=0", BadOption, "steps=0"),
        ("corpus:longest=0", BadOption, "longest=0"), ("corpus:longest=1", BadOption, "no token to predict"),
    ):  # fmt: skip
        with pytest.raises(error, match=said):
            parse("train", spec)
    with pytest.raises(BadOption, match="comes 2 times"):
        train([SHORT, SHORT], data, tmp_path / "model")
    with pytest.raises(BadOption, match=r"holds 256\n(?s:.*)corpus:longest=256, or a pretrain:shape="):
        train([Tokenizer(vocab=512), Corpus(longest=512), SHORT], data, tmp_path / "model")


def test_named_shapes_have_the_published_sizes() -> None:
    published = {
        "tiny": 262_720, "5M": 4_721_856, "15M": 15_080_000, "50M": 50_606_592, "125M": 125_077_824,
        "125M-wide": 125_854_464, "350M": 346_092_480, "350M-wide": 320_911_488, "1B": 1_006_727_040,
    }  # fmt: skip
    assert {name: SHAPES[name].parameters for name in published} == published
    assert 1_000_000 <= SHAPES["mini"].parameters <= 3_000_000


def test_a_shape_has_its_own_tuning_and_what_is_given_comes_first() -> None:
    assert set(TUNINGS) == set(SHAPES)
    assert Pretrain().tuning == Tuning(muon=5e-3, adamw=5e-3, init=0.05, theta=10.0)
    assert Pretrain(shape="5M").tuning == Tuning(muon=2e-3, adamw=3e-3, init=0.02, theta=10_000.0)
    given = parse("train", "pretrain:shape=5M,muon=1e-3,theta=0.5")
    assert given.tuning == Tuning(muon=1e-3, adamw=3e-3, init=0.02, theta=0.5)


def test_an_epoch_holds_every_example_once() -> None:
    examples = [Example([n] * (n % 7 + 2), 1) for n in range(50)]
    batches, seen = draw_batches(examples, 20, seed=3), []
    while len(seen) < 50:
        seen += next(batches)
    assert sorted(example.ids[0] for example in seen[:50]) == list(range(50))


def test_micro_batches_keep_every_answer_token_and_nothing_else() -> None:
    batch = [Example(list(range(10, 10 + length)), given) for length, given in ((5, 2), (9, 8), (3, 1), (30, 4))]
    pieces = list(micro_batches(batch, tokens=20))
    assert all(ids.numel() <= 20 or len(ids) == 1 for ids, _ in pieces)
    labels = sorted(int(label) for _, labels in pieces for label in labels.flatten() if label != IGNORED)
    assert labels == sorted(token for example in batch for token in example.ids[example.given :])
