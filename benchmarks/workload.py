"""What the evaluation benchmark runs: a model of random weights and prompts in the shape of BBH and GSM8K, by seed.

    python benchmarks/workload.py FOLDER [--questions 64] [--groups 1] [--seed 0] [--shape 30m]

FOLDER/model is an ordinary checkpoint, FOLDER/questions.jsonl holds {group, prompt, max_tokens} and
FOLDER/choices.jsonl {context, continuation}. Every prompt of a group begins with the same 1,000 to 1,500 tokens, as
few-shot exemplars do, and goes on with 60 to 120 of its own. Answers end where the model makes one of many end tokens,
so that their lengths differ as real ones do.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 8192
CONTEXT = 4096
MAX_TOKENS = 512
MEAN_ANSWER = 90  # tokens: one id in so many ends an answer
SHAPES = {  # layers, hidden, feed-forward, heads, KV heads
    "30m": (8, 512, 1536, 8, 4),
    "8b": (32, 4096, 14336, 32, 8),  # Llama-3-8B with a small vocabulary
}


def write(folder: Path, *, questions: int = 64, groups: int = 1, seed: int = 0, shape: str = "30m") -> None:
    """Write model, questions and choices."""
    draw = random.Random(seed)
    words = [_word(draw) for _ in range(3000)]
    tokenizer = _tokenizer(words, draw)
    _model(folder / "model", tokenizer, shape, seed)
    prefixes = [_text(words, draw, tokenizer, draw.randint(1000, 1500)) for _ in range(groups)]
    rows = [
        {"group": index * groups // questions, "prompt": prefixes[index * groups // questions]
         + "\n\nQ: " + _text(words, draw, tokenizer, draw.randint(55, 115)) + "\nA:", "max_tokens": MAX_TOKENS}
        for index in range(questions)
    ]  # fmt: skip
    pairs = [
        {"context": row["prompt"], "continuation": " " + _text(words, draw, tokenizer, draw.randint(1, 8))}
        for row in rows[: questions // 2] for _ in range(4)
    ]  # fmt: skip
    for name, lines in (("questions", rows), ("choices", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _word(draw: random.Random) -> str:
    return "".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(1, 4)))


def _text(words: list[str], draw: random.Random, tokenizer: Any, tokens: int) -> str:
    """Sentences of about so many tokens."""
    text: list[str] = []
    while len(tokenizer(" ".join(text))["input_ids"]) < tokens:
        text += [draw.choice(words) for _ in range(max(1, min(12, tokens // 8)))]
        text[-1] += draw.choice([".", ",", "?", f" {draw.randint(0, 999)}"])
    return " ".join(text)


def _tokenizer(words: list[str], draw: random.Random) -> Any:
    """A byte-level BPE trained on the words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator([" ".join(draw.choices(words, k=200)) for _ in range(200)], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")


def _model(folder: Path, tokenizer: Any, shape: str, seed: int) -> None:
    """A Llama of random weights: in FP32, or, where a GPU can make a large one quickly, in FP16."""
    torch.manual_seed(seed)
    layers, hidden, feed_forward, heads, kv_heads = SHAPES[shape]
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, tie_word_embeddings=False, num_hidden_layers=layers,
        hidden_size=hidden, intermediate_size=feed_forward, num_attention_heads=heads, num_key_value_heads=kv_heads,
        # Wider than usual: with the usual weights a random model repeats one token for ever.
        initializer_range=1.36 / hidden**0.5, bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.LlamaForCausalLM(config)
    if torch.cuda.is_available():
        model.half()
    ends = sorted(random.Random(seed).sample(range(VOCABULARY), VOCABULARY // MEAN_ANSWER))
    model.generation_config.eos_token_id = [0, *ends]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _as_older_versions_read_it(folder)


def _as_older_versions_read_it(folder: Path) -> None:
    """The same tokenizer in the forms of 2024: its class by its former name, merges as texts instead of pairs."""
    config, whole = folder / "tokenizer_config.json", folder / "tokenizer.json"
    former = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    config.write_text(json.dumps(json.loads(config.read_text()) | former))
    contents = json.loads(whole.read_text())
    contents["model"]["merges"] = [" ".join(pair) for pair in contents["model"]["merges"]]
    whole.write_text(json.dumps(contents))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", choices=list(SHAPES), default="30m")
    write(**vars(parser.parse_args()))
