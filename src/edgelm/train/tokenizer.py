"""Train a byte-level BPE tokenizer on the corpus, with the qwen2 pre-tokenizer and a ChatML template."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from edgelm.data.documents import Document
from edgelm.errors import BadFile, BadOption
from edgelm.files import read_bytes, read_json, sha256_bytes, write_bytes, write_json
from edgelm.train.base import Work
from edgelm.train.text.token_report import report
from edgelm.train.text.token_sample import Sample

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
USUAL = 1024  # tokens where neither the step nor a shape says how many
FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True)
class Tokenizer:
    """Trained on the corpus, unless another is named.

    Training holds about 60 bytes of memory for each byte of Chinese, far less for other text.
    """

    vocab: int | None = None  # tokens, a multiple of 64; as many as the shape has if not given
    text: int = 500_000_000  # bytes to learn from, at most
    chinese: float = 0.3  # share of them for Chinese text
    path: Path | None = None  # a folder with a tokenizer.json, which gets our special tokens and template

    def __post_init__(self) -> None:
        if self.vocab is not None and (self.vocab < SMALLEST or self.vocab % 64):
            raise BadOption(
                f"a vocabulary of {self.vocab} is not possible",
                why=f"{SMALLEST} tokens are bytes and specials, and rows come in multiples of 64",
                mend="vocab=1024, for example",
            )
        if self.vocab in (32_016, 49_152):
            raise BadOption(f"a vocabulary of {self.vocab} is taken for another tokenizer by the GGUF script",
                            mend=f"vocab={self.vocab + 64 - self.vocab % 64}")  # fmt: skip
        if self.text < 1:
            raise BadOption(f"text={self.text} leaves nothing to learn from", mend="text=100M, for example")
        if not 0 <= self.chinese <= 1:
            raise BadOption(f"chinese={self.chinese} is no share", mend="chinese=0.3, for example")

    def run(self, work: Work, documents: Callable[[], Iterator[Document]]) -> dict[str, Any]:
        """Make the tokenizer and save its files; for the card, what it is and what it makes of text.

        Equal documents give equal bytes, whatever the number of threads. With `path` no document is read.

        Raises:
            BadOption: the texts are too few for so many tokens.
            MissingInput: there is no `tokenizer.json` at `path`.
            BadFile: it is none.
            NoSpace: the disk is full.
        """
        sample = Sample(self.text, self.chinese)
        if self.path is None:
            core = self._trained(_told(sample.texts(documents()), sample, work, self.text), work.workers)
            origin: dict[str, Any] = {"origin": "trained", "pre_tokenizer": PRE_TOKENIZER, "text_bytes": sample.taken}
        else:
            content = read_bytes(self.path / FILE)
            core = _adopted(content, self.path / FILE)
            origin = {"origin": "foreign", "foreign_sha256": sha256_bytes(content)}
        save(core, work.folder("tokenizer"))
        made = {"step": "tokenizer", "vocab": size(core), "digest": digest(work.folder("tokenizer"))}
        return made | origin | report(core, sample.hanzi)

    def _trained(self, texts: Iterable[str], threads: int) -> tokenizers.Tokenizer:
        vocab = self.vocab or USUAL
        core = tokenizers.Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])  # fmt: skip
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab, special_tokens=list(SPECIALS), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        with _threads(threads):
            core.train_from_iterator(texts, trainer)
        if core.get_vocab_size() < vocab:
            raise BadOption(f"the texts are too few for {vocab} tokens",
                            mend=f"vocab={core.get_vocab_size() // 64 * 64}, or more data")  # fmt: skip
        return core


def _told(texts: Iterator[str], sample: Sample, work: Work, most: int) -> Iterator[str]:
    """The same texts; whoever watches is told the bytes read, after each thousandth of them."""
    told = 0
    for text in texts:
        yield text
        read = sum(sample.taken.values())
        if read - told >= most // 1000:
            work.progress("tokenizer", read, most)
            told = read


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let the library use threads; afterwards it uses none unless the user wants it: they do not survive a fork."""
    said = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ.setdefault("RAYON_NUM_THREADS", str(count))
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if count > 1 else "false"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = said or "false"


def _adopted(content: bytes, path: Path) -> tokenizers.Tokenizer:
    """Another tokenizer with our special tokens, which adds none by itself and cuts no text short."""
    core = _parsed(content, path)
    core.post_processor = None
    core.no_truncation()
    core.no_padding()
    core.add_special_tokens(list(SPECIALS))
    return core


def _parsed(content: bytes, path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises nothing more exact
        raise BadFile(f"{path} is no tokenizer", why=str(error), mend="give a sound tokenizer.json") from None


def save(core: tokenizers.Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, all that plain transformers needs.

    Raises:
        NoSpace: the disk is full.
    """
    write_bytes(folder / FILE, core.to_str(pretty=True).encode())
    named = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "chat_template": CHAT_TEMPLATE}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_json(folder / CONFIG, settings | named)


def load(folder: Path) -> Any:
    """The tokenizer of a folder as transformers sees it.

    Raises:
        MissingInput: there is none.
        BadFile: it is damaged.
    """
    from transformers import PreTrainedTokenizerFast  # seconds, which the plan of a run does not spend

    core(folder)  # what is wrong is named here
    read_json(folder / CONFIG)
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def core(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a folder without transformers.

    Raises:
        MissingInput: there is none.
        BadFile: it is damaged.
    """
    return _parsed(read_bytes(folder / FILE), folder / FILE)


def digest(folder: Path) -> str:
    """The identity of a tokenizer: the sha256 of its `tokenizer.json`.

    Raises:
        MissingInput: there is none.
    """
    return sha256_bytes(read_bytes(folder / FILE))


def size(core: tokenizers.Tokenizer) -> int:
    """Rows that its table of embeddings needs: the largest id and one."""
    return max(core.get_vocab().values()) + 1


def encode_ordinary(core: tokenizers.Tokenizer, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
    """The token ids of each text, in which nothing is a special token: `<|im_end|>` is what it looks like, ten letters.

    No token is added.
    """
    before, core.encode_special_tokens = core.encode_special_tokens, True
    try:
        found = core.encode_batch_fast(texts, add_special_tokens=False)
    finally:
        core.encode_special_tokens = before
    return [np.array(encoding.ids, np.uint32) for encoding in found]
