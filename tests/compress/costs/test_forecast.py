from __future__ import annotations

from pathlib import Path

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import Step
from edgelm.compress.costs import memory
from edgelm.compress.costs.forecast import forecast
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.recipe import plan
from edgelm.compress.repair import Repair
from edgelm.compress.width import Width
from edgelm.data.texts import Document, TextSource


def eight_billion(folder: Path) -> Checkpoint:
    write_config(folder / "config.json", {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
    })  # fmt: skip
    return Checkpoint(folder)


def needs(base: Checkpoint, *steps: Step) -> int:
    return forecast(base, plan(base, steps), 32_768, "float16").memory


def test_an_8b_model_is_compressed_on_a_small_machine_for_a_phone(tmp_path: Path) -> None:
    base = eight_billion(tmp_path)
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
    assert deeper.memory < block.memory < 6e9 < healed.memory


def test_what_takes_more_memory_is_said_to(tmp_path: Path) -> None:
    base = eight_billion(tmp_path)
    plain = needs(base, Depth(8))
    for steps in ([Depth(8, replace=True)], [Depth(8, score="angle")], [Depth(8), Repair()], [Depth(8), Repair(bend=0)],
                  [Depth(8, score="kl", replace=True)]):  # fmt: skip
        assert needs(base, *steps) > plain
    assert needs(base, Depth(8), Repair()) > needs(base, Depth(8), Repair(bend=0))


def test_text_that_is_drawn_from_takes_memory_too(tmp_path: Path) -> None:
    base = eight_billion(tmp_path)
    rows = plan(base, [Depth(8)])
    text = TextSource("a", [Document(f"Ein Fuchs und {n} Hunde. " * 2000, "Wer?") for n in range(100)], "")
    assert text.resident > sum(len(document.text) for document in text.documents)
    with_text = forecast(base, rows, 32_768, "float16", text=text.resident)
    assert with_text.memory == needs(base, Depth(8)) + text.resident
    assert memory.search(base.config, 1024, text.resident) == memory.search(base.config, 1024) + text.resident
