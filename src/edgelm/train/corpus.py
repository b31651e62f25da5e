"""Turn Alpaca and C4 documents into training examples, one document each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Source
from edgelm.errors import MissingInput
from edgelm.files import sha256_file
from edgelm.train import sources
from edgelm.train.base import Example, Work
from edgelm.train.sources import Document
from edgelm.train.tokenizer import BOS, END, EOS


@dataclass(frozen=True)
class Corpus:
    """`files` are paths below the data folder (all of `alpaca/` and `c4/` if none is given)."""

    files: tuple[str, ...] = ()
    longest: int = 512  # tokens of a example; longer plain texts are cut into pieces, longer chats left out

    def read(self, data: Path) -> tuple[list[Document], list[Source]]:
        """All documents and what is known of their files.

        Raises:
            MissingInput: no training data there, or a file lacks rows or columns.
            BadFile: a file is not in its format.
        """
        names = self.files or tuple(sources.find(data))
        if not names:
            raise MissingInput(f"{data} holds no training data", why="there is nothing in alpaca/ and c4/",
                               mend="edgelm data, or --data")  # fmt: skip
        documents = [document for name in names for document in sources.read(data, name)]
        known = [Source(name=name, sha256=sha256_file(data / name), licence=sources.licence_of(name)) for name in names]
        return documents, known

    def run(self, work: Work) -> dict[str, Any]:
        """Tokenize the documents, and count the tokens of each source."""
        chats = [document for document in work.documents if document.prompt]
        plain = [document for document in work.documents if not document.prompt]
        made = [*self._chats(work.tokenizer, chats), *self._plain(work.tokenizer, plain)]
        tokens: Counter[str] = Counter()
        for source, example in made:
            tokens[source] += len(example.ids)
        work.examples = [example for _, example in made]
        work.sources = [source.model_copy(update={"tokens": tokens[source.name]}) for source in work.sources]
        return {"step": "corpus", "examples": len(made), "tokens": tokens.total()}

    def _chats(self, tokenizer: Any, documents: list[Document]) -> list[tuple[str, Example]]:
        """The prompt as the tasks render it, then the answer, which alone carries loss."""
        messages = [document.prompt.messages() for document in documents if document.prompt]
        prompts = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        asked = _encode(tokenizer, prompts)
        answered = _encode(tokenizer, [document.text + END for document in documents])
        return [
            (document.source, Example(prompt + answer, given=len(prompt)))
            for document, prompt, answer in zip(documents, asked, answered, strict=True)
            if len(prompt) + len(answer) <= self.longest
        ]

    def _plain(self, tokenizer: Any, documents: list[Document]) -> list[tuple[str, Example]]:
        texts = _encode(tokenizer, [f"{BOS}{document.text}{EOS}" for document in documents])
        return [
            (document.source, Example(ids[start : start + self.longest], given=1))
            for document, ids in zip(documents, texts, strict=True)
            for start in range(0, len(ids) - 1, self.longest)
        ]


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)]
