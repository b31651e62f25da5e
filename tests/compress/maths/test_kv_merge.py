"""Merging is tried on stock models: logits stay where the heads were copies, and errors are those that are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgelm.compress.maths.attention import Attention
from edgelm.compress.maths.kv_merge import _DAMPING, InputMoment, _polar, merge_groups, share

TOKENS = torch.randint(0, 64, (6, 30), generator=torch.Generator().manual_seed(1))
SIZES = {
    "llama": {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 8},
    "qwen2": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8},
    "qwen3": {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 8},
    "phi": {"num_attention_heads": 4, "num_key_value_heads": 2, "partial_rotary_factor": 0.4},  # 6 of 16 turn
    "mqa": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16},
    "biased": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": True},
}


def config_of(case: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_type": case, "vocab_size": 64, "hidden_size": 64, "intermediate_size": 48,
        "num_hidden_layers": 2, "initializer_range": 0.2, "max_position_embeddings": 64, "bos_token_id": 0,
        "eos_token_id": 1, "tie_word_embeddings": False, **SIZES[case], **changes,
    }  # fmt: skip


def stock(config: dict[str, Any], weights: dict[str, Tensor] | None = None) -> Any:
    """The stock class, with random weights, biases and norms among them, or with those given."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    if weights is not None:
        model.load_state_dict(weights)
    return model.requires_grad_(False)


def logits(model: Any) -> Tensor:
    return model(input_ids=TOKENS, use_cache=False).logits


@contextmanager
def given_to(model: Any, name: str) -> Iterator[list[Tensor]]:
    """What a module of each layer is given, in order of the layers (all tokens × in)."""
    seen: list[Tensor] = []
    hooks = [
        layer.get_submodule(name).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, 1)))
        for layer in model.model.layers
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def layer_of(weights: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    prefix = f"model.layers.{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def inputs_of(model: Any) -> list[Tensor]:
    with given_to(model, "self_attn.q_proj") as seen:
        logits(model)
    return seen


def moment_of(x_TD: Tensor) -> Tensor:
    moment = InputMoment(x_TD.shape[1])
    for part in x_TD.chunk(3):
        moment.add(part)
    return moment.mean()


def merged(config: dict[str, Any], model: Any, groups: int, merge: Any = "svd") -> tuple[Any, list[Any]]:
    """The model with all layers merged, and what was made of each."""
    weights = model.state_dict()
    made = [
        merge_groups(layer_of(weights, number), Attention.of(config), groups, moment_of(x), merge)
        for number, x in enumerate(inputs_of(model))
    ]
    for number, layer in enumerate(made):
        weights |= {f"model.layers.{number}.{name}": tensor for name, tensor in layer.tensors.items()}
    return stock({**config, "num_key_value_heads": groups}, weights), made


def expanded(config: dict[str, Any], model: Any, *, unit: bool = False) -> tuple[dict[str, Any], Any]:
    """The same model with a key/value head for each query head: copies in other bases, which their readers undo.

    Factors that commute with the rotation are complex, of modulus 1 if `unit`; all others are orthogonal. Keys that
    pass a norm are multiplied by ±1 and, as a whole, by a number.
    """
    attention = Attention.of(config)
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    for number in range(config["num_hidden_layers"]):
        at = f"model.layers.{number}.self_attn"
        for head in range(attention.heads):
            _expand_head(weights, at, attention, head, unit)
        for name in [name for name in weights if name.startswith((f"{at}.k_proj", f"{at}.v_proj")) and "new" in name]:
            weights[name.removesuffix(".new")] = weights.pop(name)
    config = {**config, "num_key_value_heads": attention.heads}
    return config, stock(config, {name: tensor.float() for name, tensor in weights.items()})


def _expand_head(weights: dict[str, Tensor], at: str, attention: Attention, head: int, unit: bool) -> None:
    K, R = attention.size, attention.rotated
    mine = slice(head * K, (head + 1) * K)
    read = slice(head // attention.readers * K, (head // attention.readers + 1) * K)
    turn_KK, basis_KK = torch.zeros(K, K).double(), _orthogonal(K)
    scale = 1.0
    if attention.normed:
        turn_KK[range(R), range(R)] = (torch.randint(0, 2, (R // 2,)) * 2.0 - 1).double().repeat(2)
        scale = 1 + float(torch.rand(()))
    else:
        a_P = torch.polar(1 + (0 if unit else 1) * torch.rand(R // 2).double(), 6.28 * torch.rand(R // 2).double())
        first, second = torch.arange(R // 2), torch.arange(R // 2, R)
        turn_KK[first, first] = turn_KK[second, second] = a_P.real
        turn_KK[second, first], turn_KK[first, second] = a_P.imag, -a_P.imag
        turn_KK[R:, R:] = _orthogonal(K - R)
    for kind in ("weight", "bias"):
        if f"{at}.k_proj.{kind}" in weights:
            key, value = (weights[f"{at}.{name}.{kind}"][read] for name in ("k_proj", "v_proj"))
            for name, rows in (("k_proj", scale * (turn_KK @ key)), ("v_proj", basis_KK @ value)):
                new = f"{at}.{name}.{kind}.new"
                weights[new] = torch.cat([weights[new], rows]) if new in weights else rows
            query = weights[f"{at}.q_proj.{kind}"]
            query[mine] = torch.linalg.inv(turn_KK).T @ query[mine]
    output = weights[f"{at}.{attention.output.removeprefix('self_attn.')}.weight"]
    output[:, mine] = output[:, mine] @ basis_KK.T


def _orthogonal(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size).double()).Q if size else torch.zeros(0, 0).double()


@pytest.mark.parametrize(
    ("case", "merge"),
    [(case, "svd") for case in SIZES if case != "qwen3"] + [(case, "mean") for case in SIZES],
)
def test_copies_in_other_bases_merge_back(case: str, merge: str) -> None:
    config = config_of(case)
    model = stock(config)
    wide_config, wide = expanded(config, model, unit=merge == "mean")
    before = logits(model)
    assert torch.allclose(logits(wide), before, atol=1e-4)
    groups = {config["num_key_value_heads"], config["num_key_value_heads"] * 2}
    for count in sorted(groups):
        back, made = merged(wide_config, wide, count, merge)
        assert torch.allclose(logits(back), before, atol=1e-4)
        assert all(layer.key_error < 1e-6 and layer.value_error < 1e-6 for layer in made)


def test_copies_need_no_text_to_merge_back() -> None:
    """Fewer tokens than inputs: directions that were not seen are copies too."""
    config = config_of("qwen2")
    wide_config, wide = expanded(config, stock(config))
    attention, weights = Attention.of(wide_config), wide.state_dict()
    for number, x in enumerate(inputs_of(wide)):
        made = merge_groups(layer_of(weights, number), attention, 4, moment_of(x[:5]), "svd")
        weights |= {f"model.layers.{number}.{name}": tensor for name, tensor in made.tensors.items()}
    assert torch.allclose(logits(stock(config, weights)), logits(wide), atol=1e-4)


@pytest.mark.parametrize(("case", "size"), [("llama", 8), ("phi", 16)])
def test_error_falls_with_the_number_of_heads(case: str, size: int) -> None:
    config = config_of(case, num_attention_heads=8, num_key_value_heads=8, head_dim=size)
    model = stock(config)
    by_groups = [merged(config, model, groups)[1] for groups in (1, 2, 4, 8)]
    for number in range(2):
        for name in ("key_error", "value_error"):
            errors = [getattr(made[number], name) for made in by_groups]
            assert errors == sorted(errors, reverse=True)
            assert errors[0] > 0.1
            assert errors[-1] < 1e-12


@pytest.mark.parametrize("merge", ["svd", "mean"])
@pytest.mark.parametrize("case", ["llama", "qwen2", "phi", "biased"])
def test_shapes_biases_and_dtypes(case: str, merge: Any) -> None:
    config = config_of(case)
    model = stock(config).double()
    tensors = layer_of(model.state_dict(), 0)
    made = merge_groups(tensors, Attention.of(config), 1, moment_of(inputs_of(model)[0]), merge).tensors
    K = Attention.of(config).size
    for name, tensor in made.items():
        assert tensor.dtype == torch.float64
        narrowed = "k_proj" in name or "v_proj" in name
        assert tensor.shape == ((K, *tensors[name].shape[1:]) if narrowed else tensors[name].shape)
    wanted = ("q_proj", "k_proj", "v_proj", Attention.of(config).output + ".weight")
    assert set(made) == {name for name in tensors if any(part in name for part in wanted)}


def setting(seed: int, heads: int = 3, size: int = 4, pairs: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Correlated inputs with a 1 behind each, their second moment, and heads that are a little alike."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.complex128 if pairs else torch.float64, generator=generator)

    x_TD = torch.randn(90, 12, generator=generator).double() @ torch.randn(12, 12, generator=generator).double() + 1
    x_TC = torch.cat([x_TD, torch.ones(90, 1)], 1)
    heads_NKC = draw(heads, size, size) @ draw(1, size, 13) + 0.3 * draw(heads, size, 13)
    return x_TC, moment_of(x_TD), heads_NKC


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), heads=st.integers(1, 4), pairs=st.booleans(), mean=st.booleans())
def test_predicted_error_is_as_measured(seed: int, heads: int, pairs: bool, mean: bool) -> None:
    x_TC, moment_CC, heads_NKC = setting(seed, heads, 1 if pairs else 4, pairs)
    made = share(heads_NKC, moment_CC, _polar if mean else None)
    x_CT = x_TC.T.to(heads_NKC.dtype)
    lost = ((heads_NKC - made.factor @ made.head) @ x_CT).abs().square().sum() / len(x_TC)
    energy = (heads_NKC @ x_CT).abs().square().sum() / len(x_TC)
    assert made.energy == pytest.approx(float(energy), rel=1e-6)
    assert made.lost == pytest.approx(float(lost), rel=1e-6, abs=1e-9 * float(energy))


@pytest.mark.parametrize("pairs", [False, True])
def test_both_forms_agree(pairs: bool) -> None:
    """Eigenvectors of G, and the truncated SVD of the heads whitened by the Cholesky factor of the second moment."""
    _, moment_CC, heads_NKC = setting(3, 3, 1 if pairs else 4, pairs)
    damped_CC = moment_CC.clone()
    damped_CC.diagonal()[:-1] += _DAMPING * moment_CC.diagonal()[:-1].mean()
    factor_CC = torch.linalg.cholesky(damped_CC).to(heads_NKC.dtype)
    left, values, right = torch.linalg.svd(heads_NKC.flatten(0, 1) @ factor_CC, full_matrices=False)
    K = heads_NKC.shape[1]
    whitened_JC = left[:, :K] * values[:K] @ right[:K] @ torch.linalg.inv(factor_CC)
    made = share(heads_NKC, moment_CC, None)
    assert torch.allclose((made.factor @ made.head).flatten(0, 1), whitened_JC, atol=1e-8, rtol=0)


@pytest.mark.parametrize("pairs", [False, True])
def test_mean_is_a_mean_of_aligned_heads(pairs: bool) -> None:
    _, moment_CC, heads_NKC = setting(4, 3, 1 if pairs else 4, pairs)
    made = share(heads_NKC, moment_CC, _polar)
    eye = torch.eye(heads_NKC.shape[1], dtype=heads_NKC.dtype).expand_as(made.factor)
    assert torch.allclose(made.factor.mH @ made.factor, eye, atol=1e-10)
    assert torch.allclose((made.factor.mH @ heads_NKC).mean(0), made.head, atol=1e-10)
    assert share(heads_NKC, moment_CC, None).lost <= made.lost
    assert made.lost < made.energy


@pytest.mark.parametrize("unit", [None, _polar])
def test_equal_heads_keep_their_size(unit: Any) -> None:
    """What a merge does to the scale of weights would be felt in half precision."""
    _, moment_CC, heads_NKC = setting(5, 1)
    made = share(heads_NKC.expand(4, -1, -1), moment_CC, unit)
    assert made.lost < 1e-9 * made.energy
    assert made.head.norm() == pytest.approx(float(heads_NKC[0].norm()), rel=1e-6)
    assert torch.allclose(made.factor.mT @ made.factor, torch.eye(4).double().expand(4, 4, 4), atol=1e-6)


def test_one_head_alone_stays_what_it_computes() -> None:
    _, moment_CC, heads_NKC = setting(6, 1)
    made = share(heads_NKC, moment_CC, None)
    assert torch.allclose(made.factor @ made.head, heads_NKC, atol=1e-10)


def test_moment_is_that_of_inputs_and_one(sizes: Sequence[int] = (7, 5)) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(size, 3, generator=generator) for size in sizes]
    moment = InputMoment(3)
    for part in parts:
        moment.add(part)
    x_TC = torch.cat([torch.cat(parts), torch.ones(sum(sizes), 1)], 1).double()
    assert torch.allclose(moment.mean(), x_TC.T @ x_TC / sum(sizes), atol=1e-6)
