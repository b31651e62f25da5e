"""SliceGPT (arXiv 2401.15024): PCA of the stream before every attention and feed-forward; its main directions stay.

Each place has a turning of its own, so that shortcuts need matrices; no stock class has these. They are parameters of
the backbone and are counted. `FREE`, which no run takes by itself, gives them away.
"""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, ids, layers
from torch import Tensor, nn

VARIANTS = ("shortcuts counted",)
FREE = "shortcuts for free"


class _Norm(nn.Module):
    """x/‖x‖ times √(the width before), as the paper's; its weight is in the matrices that read it."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.width, self.epsilon = width, epsilon

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD * (x_BTD.square().sum(-1, keepdim=True) / self.width + self.epsilon).rsqrt()


class _Sliced(nn.Module):
    """A layer between turnings."""

    def __init__(self, layer: Any, norm: _Norm) -> None:
        super().__init__()
        self.self_attn, self.mlp, self.norm = layer.self_attn, layer.mlp, norm
        self.first_SS = self.second_SS = None

    def attend(self, x_BTS: Tensor, **call: Any) -> Tensor:
        return self.self_attn(hidden_states=self.norm(x_BTS), **call)[0]

    def forward(self, x_BTS: Tensor, **call: Any) -> Tensor:
        x_BTS = x_BTS @ self.first_SS + self.attend(x_BTS, **call)
        return x_BTS @ self.second_SS + self.mlp(self.norm(x_BTS))


def width_for(network: Any, removed: float, *, shortcuts: bool) -> int:
    """The widest stream that removes so much: a layer holds P/D parameters a coordinate, and two S × S shortcuts."""
    D = network.config.hidden_size
    whole = sum(tensor.numel() for tensor in layers(network)[0].parameters())
    size = lambda width: width * whole / D + 2 * shortcuts * width * width  # noqa: E731
    return max(width for width in range(1, D + 1) if size(width) <= (1 - removed) * whole)


def look(network: Any, batches: Batches) -> Batches:
    """Each PCA is of what the layers already sliced bring: the text is run when it is cut."""
    return batches


@torch.no_grad()
def cut(network: Any, batches: Batches, removed: float, seed: int, variant: str) -> None:
    width = width_for(network, removed, shortcuts=variant != FREE)
    model = network.model
    norm = _Norm(network.config.hidden_size, network.config.rms_norm_eps)
    streams = [model.embed_tokens(ids(tokens, network)) for tokens in batches]
    Q_DS = _main(streams, width)
    model.embed_tokens = nn.Embedding.from_pretrained(model.embed_tokens.weight @ Q_DS)
    sliced = [stream @ Q_DS for stream in streams]
    calls = [_call(network, stream) for stream in streams]
    head_VD = network.lm_head.weight * model.norm.weight
    made = []
    for layer in layers(network):
        _fold(layer)
        now = _Sliced(layer, norm)
        attention, mlp = layer.self_attn, layer.mlp
        # The paper's order: each PCA is of what this place is given by the layers already sliced.
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj):
            reader.weight = nn.Parameter(reader.weight @ Q_DS)
        streams = [x @ Q_DS.T + now.attend(x, **call) for x, call in zip(sliced, calls, strict=True)]
        next_DS = _main(streams, width)
        attention.o_proj.weight = nn.Parameter(next_DS.T @ attention.o_proj.weight)
        now.first_SS = nn.Parameter(Q_DS.T @ next_DS)
        sliced, Q_DS = [x @ next_DS for x in streams], next_DS
        for reader in (mlp.gate_proj, mlp.up_proj):
            reader.weight = nn.Parameter(reader.weight @ Q_DS)
        streams = [x @ Q_DS.T + mlp(norm(x)) for x in sliced]
        next_DS = _main(streams, width)
        mlp.down_proj.weight = nn.Parameter(next_DS.T @ mlp.down_proj.weight)
        now.second_SS = nn.Parameter(Q_DS.T @ next_DS)
        sliced, Q_DS = [x @ next_DS for x in streams], next_DS
        made.append(now)
    model.layers = nn.ModuleList(made)
    model.norm = norm
    network.lm_head = nn.Linear(width, len(head_VD), bias=False)
    network.lm_head.weight = nn.Parameter(head_VD @ Q_DS)


def _fold(layer: Any) -> None:
    """A norm's weight into the matrices that read it."""
    for norm, readers in (
        (layer.input_layernorm, (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)),
        (layer.post_attention_layernorm, (layer.mlp.gate_proj, layer.mlp.up_proj)),
    ):
        for reader in readers:
            reader.weight = nn.Parameter(reader.weight * norm.weight)


def _main(streams: list[Tensor], width: int) -> Tensor:
    """The main directions of the stream (D × S)."""
    rows = [stream[0, 1:].double() for stream in streams]
    covariance_DD = sum(x_TD.T @ x_TD for x_TD in rows)
    return torch.linalg.eigh(covariance_DD).eigenvectors.flip(1)[:, :width].float()


def _call(network: Any, x_BTD: Tensor) -> dict[str, Any]:
    """What attention is called with besides the stream; no mask: the stock attention is causal without one."""
    places = torch.arange(x_BTD.shape[1], device=x_BTD.device)[None]
    return {"position_embeddings": network.model.rotary_emb(x_BTD, position_ids=places), "attention_mask": None}
