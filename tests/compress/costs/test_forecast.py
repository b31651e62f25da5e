from __future__ import annotations

from pathlib import Path

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.costs.forecast import forecast
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.recipe import plan
from edgelm.compress.width import Width


def test_an_8b_model_is_compressed_on_a_small_machine_for_a_phone(tmp_path: Path) -> None:
    write_config(tmp_path / "config.json", {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
    })  # fmt: skip
    base = Checkpoint(tmp_path)
    found = forecast(base, plan(base, [Depth(8), Width(8192)]), 16_384, "float16")
    assert found.memory < 12e9
    assert found.phone < 10.5e9 < found.phone_base
    assert found.disk > 2 * 4_473_425_920
    assert 1.7 < found.read_base / found.read < 2
    assert [answer for _, answer in found.exports.rows()] == ["yes"] * 4
    deeper = forecast(base, plan(base, [Depth(8)]), 16_384, "float16")
    assert deeper.memory < found.memory  # nothing is solved
    healed = forecast(base, plan(base, [Depth(8), Heal(1000)]), 16_384, "float16")
    assert healed.memory > 4 * 8_030_261_248 + 16 * 6_285_365_248
    block = forecast(base, plan(base, [Depth(8), Heal(1000, method="block")]), 16_384, "float16")
    assert block.memory == deeper.memory
