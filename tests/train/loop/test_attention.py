import pytest
import torch

from edgelm.train.base import SHAPES, TUNINGS, with_qk_norm
from edgelm.train.loop import attention
from edgelm.train.loop.model import fresh


class Marks:
    bos_token_id, eos_token_id, pad_token_id = 0, 1, 2


@pytest.fixture(params=["llama", "qwen3"])
def model(request):
    shape = SHAPES["tiny"] if request.param == "llama" else with_qk_norm(SHAPES["tiny"])
    return fresh(shape, TUNINGS["tiny"], Marks, seed=0)


def _hidden(model, ids_BT, **said):
    return model.model(input_ids=ids_BT, use_cache=False, **said).last_hidden_state


def _rows():
    """Two rows of documents of 20, 13 and 7 tokens, the second ending in padding."""
    documents_BT = torch.tensor([[1] * 20 + [2] * 13 + [3] * 7, [1] * 30 + [0] * 10])
    positions_BT = torch.tensor([[*range(20), *range(13), *range(7)], [*range(30), *range(10)]])
    return torch.randint(5, 1000, (2, 40), generator=torch.Generator().manual_seed(0)), documents_BT, positions_BT


def test_each_document_is_as_if_it_were_alone(model):
    ids_BT, documents_BT, positions_BT = _rows()
    with torch.no_grad():
        alone = [_hidden(model, ids_BT[:1, start:end])[0] for start, end in ((0, 20), (20, 33), (33, 40))]
        attention.prepare(model.config, torch.device("cpu"), compiled=True)
        packed_BTD = _hidden(
            model, ids_BT, position_ids=positions_BT, **attention.arguments(model.config, documents_BT)
        )
    torch.testing.assert_close(packed_BTD[0], torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_a_mask(model):
    ids_BT, documents_BT, positions_BT = _rows()
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    mask_B1TT = (same_BTT & torch.ones(40, 40, dtype=torch.bool).tril())[:, None]
    weight = model.model.layers[0].self_attn.k_proj.weight
    _hidden(model, ids_BT, position_ids=positions_BT, attention_mask=mask_B1TT).square().sum().backward()
    wanted, weight.grad = weight.grad, None
    attention.prepare(model.config, torch.device("cpu"), compiled=True)
    _hidden(
        model, ids_BT, position_ids=positions_BT, **attention.arguments(model.config, documents_BT)
    ).square().sum().backward()
    torch.testing.assert_close(weight.grad, wanted, atol=1e-4, rtol=1e-4)


def test_lengths_run_over_all_rows():
    documents_BT = torch.tensor([[1, 1, 2], [1, 0, 0], [1, 1, 1]])
    assert attention.lengths_of(documents_BT) == [2, 1, 1, 2, 3]


def test_a_block_mask_is_for_a_gpu_that_compiles(model):
    for kind, compiled, name in (("cuda", True, attention.BLOCKS), ("cuda", False, attention.ONE_BY_ONE),
                                 ("cpu", True, attention.ONE_BY_ONE)):  # fmt: skip
        attention.prepare(model.config, torch.device(kind), compiled=compiled)
        assert model.config._attn_implementation == name
