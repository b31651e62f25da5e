"""Fresh models of stock classes, and that documents of a row do not see each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM, Qwen3ForCausalLM

from edgelm.shapes import shape_of
from edgelm.train.base import SHAPES, TUNINGS, Tuning, with_qk_norm
from edgelm.train.config import stock_config
from edgelm.train.loop import model as made
from edgelm.train.loop.model import Objective, fresh
from edgelm.train.rows.batches import IGNORED, Batch

TUNING = Tuning(batch=0, init=0.1, theta=10.0)
LENGTHS = (9, 13, 1, 6)  # three tokens of padding behind them


@pytest.fixture(params=["llama", "qwen3"])
def model(request, tiny):
    shape = with_qk_norm(tiny.SHAPE) if request.param == "qwen3" else tiny.SHAPE
    return fresh(shape, TUNING, tiny.TOKENIZER, 0)


def documents(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(5, 64, (length,), generator=draw) for length in LENGTHS]


def packed(pieces, padding=3):
    """One row that holds documents one after another."""
    empty = torch.zeros(padding, dtype=torch.int64)
    labels = [torch.cat([piece[1:], torch.tensor([IGNORED])]) for piece in pieces]
    rows = (
        [*pieces, empty], [*labels, empty + IGNORED], [*(torch.arange(len(piece)) for piece in pieces), empty],
        [*(torch.full_like(piece, number) for number, piece in enumerate(pieces, 1)), empty],
    )  # fmt: skip
    return Batch(*(torch.cat(row)[None] for row in rows))


def hidden_states(objective, batch):
    """The last hidden state of each token (T, D), as the objective computes it."""
    kept = []
    handle = objective.model.model.norm.register_forward_hook(lambda module, given, out: kept.append(out.detach()[0]))
    objective(batch)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_named_shape_has_the_parameters_that_its_table_says(name, family, tiny):
    shape = with_qk_norm(SHAPES[name]) if family == "qwen3" else SHAPES[name]
    kind, model_class = made._CLASSES[family]
    with torch.device("meta"):
        model = model_class(kind(**stock_config(shape, 10_000.0, tiny.TOKENIZER, "float32")))
    assert model.num_parameters() == shape.parameters
    assert {name: tuple(each.shape) for name, each in model.named_parameters()} == shape.tensors


def test_a_fresh_model_is_of_the_stock_class(model):
    family = model.config.model_type
    assert type(model) is {"llama": LlamaForCausalLM, "qwen3": Qwen3ForCausalLM}[family]
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert shape_of(model.config.to_dict()).qk_norm == (family == "qwen3")


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_one_alone(tiny):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, two, other = (fresh(tiny.SHAPE, TUNING, tiny.TOKENIZER, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(one.parameters(), two.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_weights_begin_as_small_as_said(tiny):
    shape = replace(tiny.SHAPE, layers=8, width=128, ffn=256)
    for name, parameter in fresh(shape, Tuning(0, init=0.02), tiny.TOKENIZER, 0).named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 1).all()
        else:
            into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
            assert parameter.std().item() == pytest.approx(0.02 / 4 if into_stream else 0.02, rel=0.05), name


def test_the_loss_of_a_row_is_that_of_its_documents_alone(model):
    pieces = documents()
    objective = Objective(model)
    together = objective(packed(pieces)).item()
    apart = sum(objective(packed([piece], padding=0)).item() for piece in pieces)
    assert together == pytest.approx(apart, rel=1e-5)
    stock = model.__class__(model.config)
    stock.load_state_dict(model.state_dict())
    stock.config._attn_implementation = "eager"
    plain = sum(F.cross_entropy(stock(piece[None]).logits[0, :-1], piece[1:], reduction="sum").item()
                for piece in pieces if len(piece) > 1)  # fmt: skip
    assert together == pytest.approx(plain, rel=1e-5)


def test_another_document_beside_it_changes_nothing(model):
    objective, pieces = Objective(model), documents()
    before = hidden_states(objective, packed(pieces))
    pieces[1] = documents(seed=1)[1]
    after = hidden_states(objective, packed(pieces))
    changed = slice(LENGTHS[0], LENGTHS[0] + LENGTHS[1])
    assert not torch.equal(before[changed], after[changed])
    assert torch.equal(before[: changed.start], after[: changed.start])
    assert torch.equal(before[changed.stop :], after[changed.stop :])


def test_a_token_does_not_see_what_follows_it(model):
    objective, pieces = Objective(model), documents()
    before = hidden_states(objective, packed(pieces))
    pieces[1][8:] = 5
    after = hidden_states(objective, packed(pieces))
    assert torch.allclose(before[: LENGTHS[0] + 8], after[: LENGTHS[0] + 8], rtol=0, atol=1e-6)
    assert not torch.allclose(before[LENGTHS[0] + 8], after[LENGTHS[0] + 8])


def test_bfloat16_computes_about_the_same_and_keeps_float32_gradients(model):
    batch = packed(documents())
    exact = Objective(model)(batch).item()
    loss = Objective(model, dtype=torch.bfloat16)(batch)
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=1e-2)
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}


def test_named_shapes_have_the_published_sizes():
    published = {
        "tiny": 262_720, "5M": 4_721_856, "15M": 15_080_000, "50M": 50_606_592, "125M": 125_077_824,
        "125M-wide": 125_854_464, "350M": 346_092_480, "350M-wide": 320_911_488, "1B": 1_006_727_040,
    }  # fmt: skip
    assert published.items() <= {name: shape.parameters for name, shape in SHAPES.items()}.items()
    assert 1_000_000 <= SHAPES["mini"].parameters <= 3_000_000
    assert set(TUNINGS) == set(SHAPES)
