"""Documents as token ids: plain text between its two marks, chats as the evaluation will show them to the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgelm.chat import ask
from edgelm.data.documents import Document
from edgelm.train.rows.shards import token_type
from edgelm.train.tokenizer import BOS, END, EOS, core, digest, encode_ordinary, load, size

Ids = npt.NDArray[np.unsignedinteger[Any]]


class Encoder:
    """A tokenizer's folder at work. A document that spells out a special token has its letters, not the token.

    Attributes:
        vocab: the number of different ids.
        digest: the identity of the tokenizer.

    Raises:
        MissingInput: there is no tokenizer.
        BadFile: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.folder = folder
        self._core = core(folder)
        self.vocab, self.digest = size(self._core), digest(folder)
        self._bos, self._eos, self._end = (self._core.token_to_id(mark) for mark in (BOS, EOS, END))

    @cached_property
    def _chat(self) -> Any:
        """The same tokenizer with its template."""
        return load(self.folder)

    def encode(self, documents: Sequence[Document]) -> list[tuple[Ids, int]]:
        """Of each document its ids (T,), and how many of them at the start are given: the first mark, or the prompt."""
        dtype = token_type(self.vocab)
        texts = encode_ordinary(self._core, [document.text for document in documents])
        chats = [number for number, document in enumerate(documents) if document.question is not None]
        prompts = dict(zip(chats, self._prompts([documents[number] for number in chats]), strict=True))
        made = []
        for number, text in enumerate(texts):
            before = prompts.get(number, [self._bos])
            after = self._end if number in prompts else self._eos
            made.append((np.concatenate([before, text, [after]]).astype(dtype), len(before)))
        return made

    def _prompts(self, chats: Sequence[Document]) -> list[list[int]]:
        """The questions as the tasks render them, up to where the answer begins."""
        if not chats:  # transformers refuses an empty list
            return []
        messages = [ask(chat.question or "").messages() for chat in chats]
        prompts = self._chat.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return [made.ids for made in self._core.encode_batch_fast(prompts, add_special_tokens=False)]
