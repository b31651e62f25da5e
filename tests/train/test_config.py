"""The `config.json` of a trained model, as every reader of it expects."""

from __future__ import annotations

import pytest

from edgelm.shapes import rope_parameters, shape_of
from edgelm.train.base import SHAPES, with_qk_norm
from edgelm.train.config import stock_config


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_is_read_back(name, family, tiny):
    shape = with_qk_norm(SHAPES[name]) if family == "qwen3" else SHAPES[name]
    config = stock_config(shape, 10.0, tiny.TOKENIZER, "float16")
    assert shape_of(config) == shape
    assert rope_parameters(config) == {"rope_type": "default", "rope_theta": 10.0}
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (0, 1, 2)
    for old, new in (("torch_dtype", "dtype"), ("rope_theta", "rope_parameters")):
        assert old in config and new in config
    assert config["torch_dtype"] == config["dtype"] == "float16"
