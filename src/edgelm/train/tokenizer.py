"""Train a byte-level BPE tokenizer on the corpus, with the qwen2 pre-tokenizer and a ChatML template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from edgelm.chat import ask
from edgelm.errors import BadOption
from edgelm.train.base import Work

BOS, EOS, PAD, START, END = SPECIALS = ("<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
SMALLEST = 256 + len(SPECIALS)  # all bytes are tokens
# llama.cpp knows this pattern by the name "qwen2"; its runtime does not read the expression.
PRE_TOKENIZER = "qwen2"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Tokenizer:
    """`vocab` is the number of tokens; a multiple of 64."""

    vocab: int = 1024

    def __post_init__(self) -> None:
        if self.vocab < SMALLEST or self.vocab % 64:
            raise BadOption(
                f"a vocabulary of {self.vocab} is not possible",
                why=f"{SMALLEST} tokens are bytes and specials, and rows come in multiples of 64",
                mend="vocab=1024, for example",
            )
        if self.vocab in (32_016, 49_152):
            raise BadOption(f"a vocabulary of {self.vocab} is taken for another tokenizer by the GGUF script",
                            mend=f"vocab={self.vocab + 64 - self.vocab % 64}")  # fmt: skip

    def run(self, work: Work) -> dict[str, Any]:
        """Train on all documents' texts, and save the tokenizer files.

        Raises:
            BadOption: the texts are too few for so many tokens.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        core = tokenizers.Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])  # fmt: skip
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab, special_tokens=list(SPECIALS), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        core.train_from_iterator(_texts(work), trainer)
        if core.get_vocab_size() < self.vocab:
            raise BadOption(f"the texts are too few for {self.vocab} tokens",
                            mend=f"vocab={core.get_vocab_size() // 64 * 64}, or more data")  # fmt: skip
        work.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=core, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
        )
        work.tokenizer.chat_template = CHAT_TEMPLATE
        work.tokenizer.save_pretrained(work.folder, save_jinja_files=False)
        return {"step": "tokenizer", "vocab": self.vocab, "pre_tokenizer": PRE_TOKENIZER}


def _texts(work: Work) -> Iterator[str]:
    for document in (document for text in work.texts for document in text.documents):
        if document.question is not None:
            yield from (f"{message['role']}\n{message['content']}" for message in ask(document.question).messages())
            yield "assistant\n"
        yield document.text
