import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadOption
from edgelm.train.costs.plan import LOGITS, MICRO, plan, plan_of
from edgelm.train.pretrain import Pretrain


@dataclass
class Tokenizer:
    vocab: int


@dataclass
class Corpus:
    c4: int


def test_the_bytes_planned_are_the_bytes_written(tmp_path):
    made = plan([Pretrain(shape="tiny"), Tokenizer(vocab=512)])
    s = made.shape
    config = LlamaConfig(
        vocab_size=512, hidden_size=s.width, intermediate_size=s.ffn, num_hidden_layers=s.layers,
        num_attention_heads=s.heads, num_key_value_heads=s.kv_heads, head_dim=s.head_size, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).half().save_pretrained(tmp_path)
    assert made.checkpoint_bytes == Checkpoint(tmp_path).bytes
    assert made.shape.parameters == Checkpoint(tmp_path).parameters


def test_a_state_is_weights_and_what_the_optimisers_keep():
    from edgelm.shapes import shape_of
    from edgelm.train.loop.optim import optimisers

    s = plan_of(Pretrain(shape="tiny")).shape
    config = LlamaConfig(
        vocab_size=s.vocab, hidden_size=s.width, intermediate_size=s.ffn, num_hidden_layers=s.layers,
        num_attention_heads=s.heads, num_key_value_heads=s.kv_heads, head_dim=s.head_size, tie_word_embeddings=True,
    )  # fmt: skip
    assert shape_of(config.to_dict()).parameters == s.parameters
    for plain in (False, True):
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            parameter.grad = parameter.detach().clone()
        named = optimisers(model, muon=0.1, adamw=0.1, decay=0.1, plain=plain)
        kept = 0
        for _, optimizer, _ in named:
            optimizer.step()
            kept += sum(each.nbytes for held in optimizer.state.values() for each in held.values() if each.ndim)
        made = plan_of(Pretrain(shape="tiny", optimizer="adamw" if plain else "muon"))
        assert made.optimiser_bytes == kept
        assert made.state_bytes == kept + 4 * s.parameters


def test_hours_follow_from_operations():
    made = plan_of(Pretrain(shape="125M", tokens=2_500_000_000))
    assert made.steps == -(-2_500_000_000 // 524_288)
    assert made.hours(0.30) == pytest.approx(2.75, abs=0.02)
    assert made.hours(0.30, 8) == pytest.approx(made.hours(0.30) / 8)
    assert made.targets == (0.30, 0.45)
    assert plan_of(Pretrain(shape="350M")).targets == (0.40, 0.50)


def test_an_update_is_whole_rows_and_shared_evenly():
    made = plan_of(Pretrain(shape="125M", batch=9000, steps=10, context=1000))
    assert (made.batch, made.tokens) == (9000, 90_000)
    assert plan_of(Pretrain(shape="125M", batch=8999, steps=10, context=1000)).batch == 8000
    with pytest.raises(BadOption, match="9 rows cannot be shared by 8 GPUs") as raised:
        plan_of(Pretrain(shape="125M", batch=9000, steps=10, context=1000), gpus=8)
    assert "batch=16000" in raised.value.mend


def test_a_smaller_pass_takes_less_memory_and_more_gpus_take_buckets():
    step = Pretrain(shape="350M", steps=10)
    one, eight = plan_of(step).memory, plan_of(step, gpus=8).memory
    small = plan_of(Pretrain(shape="350M", steps=10, micro=8192)).memory
    assert small["activations"] == one["activations"] / (MICRO / 8192)
    assert eight["gradients"] == 2 * one["gradients"]
    assert small["weights"] == one["weights"] == 6 * plan_of(step).shape.parameters


def test_what_is_assumed_of_a_gpu_is_what_training_does():
    from edgelm.train import stage
    from edgelm.train.loop import loss

    assert loss.CELLS["cuda"] == LOGITS
    assert stage.PASS["cuda"] == MICRO


def test_the_table_says_epochs_and_hours():
    steps = [Tokenizer(vocab=32_768), Corpus(c4=1_250_000_000), Pretrain(shape="125M", tokens=2_500_000_000)]
    rows = dict(plan(steps).rows())
    assert rows["parameters"] == "125,077,824"
    assert rows["checkpoint"] == "250,155,648 bytes (fp16)"
    assert rows["tokens"].startswith("2.5B (2 × the 1.25B that are read; 20 a parameter")
    assert rows["on one GPU, class H100"] == "about 2.8 h at 30% of the peak, 1.8 h at 45%"
    assert dict(plan([Pretrain(shape="mini")]).rows())["on one GPU, class H100"].startswith("seconds: ")
    assert "do not fill a GPU" in dict(plan([Pretrain(shape="mini")]).rows())["on one GPU, class H100"]


def test_a_plan_needs_no_torch():
    code = "import sys, json; import edgelm.train.costs.plan; print(json.dumps([*sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "numpy"} & set(json.loads(result.stdout))
