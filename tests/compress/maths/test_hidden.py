"""Narrowing the stream of whole stock models, whose tensors are in memory in place of the core's `Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Config, Progress
from edgelm.compress.maths.hidden import slice_hidden
from edgelm.compress.maths.hidden_basis import Rotation, Selection, by_rows, narrow_layer, parts
from edgelm.compress.maths.hidden_plan import narrowed
from edgelm.compress.maths.hidden_statistics import ChannelScores, Directions
from edgelm.compress.maths.residual import residual_of
from edgelm.compress.stream.layer import Layer, Passage, enter
from edgelm.compress.stream.rewrite import observe
from edgelm.errors import Unsupported

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
D, S = 64, 48
RMS = ["llama", "qwen2", "qwen3"]
DEAD = torch.arange(2, D, 4)  # 16 of 64
ALIVE = torch.tensor([channel for channel in range(D) if channel % 4 != 2])


class InMemory:
    """What `slice_hidden` uses of the core's `Model`."""

    def __init__(self, config: Config, tensors: Mapping[str, Tensor], folder: Path) -> None:
        self.config, self.tensors, self.folder = config, dict(tensors), folder
        self.bases: list[Path] = []
        if config["tie_word_embeddings"]:
            self.tensors.pop(HEAD, None)

    embedding, device = EMBEDDING, torch.device("cpu")

    @property
    def layers(self) -> int:
        return self.config["num_hidden_layers"]

    @property
    def names(self) -> list[str]:
        return list(self.tensors)

    def enter_all(self, batches: Sequence[Sequence[int]]) -> list[Passage]:
        table = self.tensors[EMBEDDING]
        return [enter(self.config, table[torch.tensor(tokens)], [len(tokens)], {}) for tokens in batches]

    def layer_tensors(self, number: int) -> dict[str, Tensor]:
        prefix = f"model.layers.{number}."
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def layer(self, number: int) -> Layer:
        return Layer(self.config, number, self.layer_tensors(number))

    def outer(self, name: str) -> Tensor:
        return self.tensors[name]

    def head(self) -> tuple[Tensor, Tensor | None]:
        return self.tensors.get(HEAD, self.tensors[EMBEDDING]), self.tensors.get("lm_head.bias")

    def put_layer(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        self.tensors |= {f"model.layers.{number}.{name}": tensor for name, tensor in tensors.items()}

    def put_outer(self, name: str, tensor: Tensor) -> None:
        self.tensors[name] = tensor

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        """By a stock class of the configuration, which takes exactly these tensors."""
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**self.config)).eval()
        missing, unexpected = network.load_state_dict(self.tensors, strict=False)
        assert not unexpected
        assert missing == ([HEAD] if self.config["tie_word_embeddings"] else [])
        return network(torch.tensor([tokens])).logits[0]


Open = Callable[..., InMemory]


@pytest.fixture(scope="module")
def open_model(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Open:
    @cache
    def load(family: str, options: tuple[tuple[str, Any], ...]) -> tuple[Config, dict[str, Tensor]]:
        checkpoint = Checkpoint(make_checkpoint(family, **dict(options)))
        return checkpoint.config, AutoModelForCausalLM.from_pretrained(checkpoint.path).state_dict()

    def make(family: str, **options: Any) -> InMemory:
        config, tensors = load(family, tuple(sorted(options.items())))
        own = {name: tensor.clone() for name, tensor in tensors.items()}
        return InMemory(dict(config), own, tmp_path_factory.mktemp("step"))

    return make


def turn(model: InMemory, Q_DD: Tensor, keep: int) -> None:
    """Fold and rotate by the pure functions alone; a tied model is untied."""
    config = model.config
    scales, basis = dict.fromkeys(residual_of(config).readers, 1.0), Rotation(Q_DD[:, :keep].contiguous())
    for number in range(model.layers):
        model.put_layer(number, narrow_layer(model.layer_tensors(number), config, basis, scales))
    gain_D = model.outer("model.norm.weight")
    model.put_outer(HEAD, by_rows(model.head()[0], lambda rows: (rows * gain_D) @ Q_DD[:, :keep]))
    model.put_outer(EMBEDDING, by_rows(model.outer(EMBEDDING), lambda rows: rows @ Q_DD[:, :keep]))
    model.put_outer("model.norm.weight", torch.ones(keep))
    model.config = narrowed(config, keep, untie=True)


def write_only(model: InMemory, projection_DD: Tensor) -> None:
    """Let all that is written into the stream pass a projection."""
    model.tensors[EMBEDDING] = model.tensors[EMBEDDING] @ projection_DD
    for number in range(model.layers):
        tensors = model.layer_tensors(number)
        for writer in residual_of(model.config).writers:
            own = {f"{writer}.{name}": projection_DD @ tensor for name, tensor in parts(tensors, writer).items()}
            model.put_layer(number, own)


def random_orthogonal() -> Tensor:
    return torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(3), dtype=torch.float64))[0]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", RMS)
def test_folding_and_turning_change_no_logit(
    open_model: Open, batches: list[list[int]], family: str, tied: bool
) -> None:
    for Q_DD in (torch.eye(D), random_orthogonal().float()):
        model = open_model(family, tied=tied)
        before = model.logits(batches[0])
        turn(model, Q_DD, D)
        assert torch.allclose(model.logits(batches[0]), before, atol=1e-4, rtol=0)


def test_biases_of_writers_are_turned_and_of_readers_are_not(open_model: Open, batches: list[list[int]]) -> None:
    model = open_model("llama", attention_bias=True, mlp_bias=True)
    before = model.logits(batches[0])
    turn(model, random_orthogonal().float(), D)
    assert torch.allclose(model.logits(batches[0]), before, atol=1e-4, rtol=0)


def test_slicing_all_channels_is_the_layer(open_model: Open) -> None:
    model = open_model("phi")
    tensors = model.layer_tensors(0)
    made = narrow_layer(tensors, model.config, Selection(torch.arange(D)), {"input_layernorm": 1.0})
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in made.items())


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", RMS)
def test_a_stream_in_a_subspace_is_sliced_without_loss(
    open_model: Open, batches: list[list[int]], silent: Progress, family: str, tied: bool, refit: bool
) -> None:
    model = open_model(family, tied=tied)
    U_DS = random_orthogonal().float()[:, :S]
    write_only(model, U_DS @ U_DS.T)
    before = model.logits(batches[0])
    record = slice_hidden(model, batches, S, None if not tied else "pca", tied, refit, silent)
    assert record["basis"] == "pca"
    assert record["energy"] == pytest.approx(1)
    assert [scale for *_, scale in record["scales"]] == pytest.approx([(S / D) ** -0.5] * 9, rel=1e-3)
    assert model.config["hidden_size"] == S
    assert model.config["head_dim"] == 16
    assert torch.allclose(model.logits(batches[0]), before, atol=1e-4, rtol=0)
    if refit:
        assert max(record["error"]) < 1e-8


@pytest.mark.parametrize("basis", ["pca", "channels"])
def test_a_norm_is_scaled_by_one_where_nothing_goes(
    open_model: Open, batches: list[list[int]], silent: Progress, basis: Any
) -> None:
    model = open_model("llama")
    before = model.logits(batches[0])
    record = slice_hidden(model, batches, D, basis, False, False, silent)
    assert [scale for *_, scale in record["scales"]] == pytest.approx([1] * 9, abs=1e-6)
    assert torch.allclose(model.logits(batches[0]), before, atol=1e-4, rtol=0)


@pytest.mark.parametrize("refit", [False, True])
def test_dead_channels_go_first(
    open_model: Open, family: str, tied: bool, batches: list[list[int]], silent: Progress, refit: bool
) -> None:
    """A LayerNorm subtracts the mean of what is left, so that the kept channels of a Phi are made to have none."""
    model = open_model(family, tied=tied)
    live_DD = torch.diag((torch.arange(D) % 4 != 2).float())
    if family == "phi":
        live_DD[ALIVE[:, None], ALIVE] -= 1 / S
        for name, tensor in model.tensors.items():
            if name.endswith("layernorm.bias"):
                tensor[DEAD] = 0
    write_only(model, live_DD)
    before = model.logits(batches[0])
    embedding = model.outer(EMBEDDING)
    record = slice_hidden(model, batches, S, "channels", False, refit, silent)
    assert torch.equal(model.outer(EMBEDDING), embedding[:, ALIVE])
    assert record["scales"][0][2] == pytest.approx((S / D) ** -0.5, rel=1e-3)
    assert model.config["tie_word_embeddings"] is tied
    assert torch.allclose(model.logits(batches[0]), before, atol=1e-4, rtol=0)


def test_a_tied_model_gets_a_head_of_its_own(
    open_model: Open, family: str, batches: list[list[int]], silent: Progress
) -> None:
    tied, untied = open_model(family, tied=True), open_model(family, tied=True)
    slice_hidden(tied, batches, S, "channels", False, False, silent)
    slice_hidden(untied, batches, S, "channels", True, False, silent)
    assert torch.equal(untied.tensors[HEAD], untied.tensors[EMBEDDING])
    assert torch.equal(untied.logits(batches[0]), tied.logits(batches[0]))


@pytest.mark.parametrize(
    ("family", "basis"), [*((name, "pca") for name in RMS), *((name, "channels") for name in [*RMS, "phi"])]
)
def test_fitting_brings_the_predictions_nearer(
    open_model: Open, batches: list[list[int]], silent: Progress, family: str, basis: Any
) -> None:
    before = open_model(family).logits(batches[0]).log_softmax(-1)
    away = {}
    for refit in (False, True):
        model = open_model(family)
        record = slice_hidden(model, batches, 56, basis, False, refit, silent)
        after = model.logits(batches[0]).log_softmax(-1)
        away[refit] = float((before.exp() * (before - after)).sum(-1).mean())
    assert away[True] < 0.9 * away[False]
    assert len(record["penalty"]) == 5
    assert len(record["error"]) == 4


def test_statistics_are_those_of_what_enters_the_norms(
    open_model: Open, family: str, batches: list[list[int]], silent: Progress
) -> None:
    """Against hooks on the norms of the whole stock model, one of which reads nothing of some channels."""
    model = open_model(family)
    model.tensors["model.layers.1.input_layernorm.weight"][DEAD] = 0
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**model.config)).eval()
    network.load_state_dict(model.tensors)
    wanted_DD, squares = torch.zeros(D, D, dtype=torch.float64), dict[str, Tensor]()
    residual = residual_of(model.config)

    def hook(name: str) -> Callable[..., None]:
        def note(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x_TD = inputs[0][0, 1:].double()
            wanted_DD.add_((x_TD / x_TD.norm(dim=1, keepdim=True)).T @ (x_TD / x_TD.norm(dim=1, keepdim=True)))
            squares[name] = squares.get(name, 0) + output[0, 1:].double().abs().mean(0).square()

        return note

    for name, module in network.named_modules():
        if name == residual.final or name.rpartition(".")[2] in residual.readers:
            module.register_forward_hook(hook(name))
    with torch.no_grad():
        for tokens in batches:
            network(torch.tensor([tokens]))
    directions, scores = (
        kind(model.config, model.layer_tensors(3), parts(model.tensors, residual.final))
        for kind in (Directions, ChannelScores)
    )
    for statistics in (directions, scores):
        observe(model, batches, statistics.watched, statistics.add, silent, "")  # type: ignore[arg-type]
    Q_DD, energy_D = directions.finish()
    assert torch.allclose((Q_DD * energy_D) @ Q_DD.T.double(), wanted_DD, rtol=1e-4, atol=1e-3)
    assert torch.equal(energy_D, energy_D.sort(descending=True).values)
    assert torch.allclose(scores.finish(), torch.stack([s.sqrt() for s in squares.values()]).sum(0), rtol=1e-5)


def test_few_tokens_are_warned_of(open_model: Open, batches: list[list[int]], silent: Progress) -> None:
    record = slice_hidden(open_model("llama"), batches[:2], S, "pca", False, False, silent)
    assert record["warnings"] == ["width: 86 calibration tokens are fewer than twice the 48 coordinates; give more"]
    assert not slice_hidden(open_model("llama"), batches[:2], S, "channels", False, False, silent)["warnings"]


def test_weights_that_are_no_numbers_name_the_layer(
    open_model: Open, batches: list[list[int]], silent: Progress
) -> None:
    model = open_model("llama")
    model.tensors["model.layers.2.mlp.up_proj.weight"][0, 0] = torch.nan
    with pytest.raises(Unsupported, match="layer 3 is given infinities or NaN"):
        slice_hidden(model, batches, S, "pca", False, False, silent)
