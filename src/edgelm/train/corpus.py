"""Turn Alpaca and C4 documents into training examples, one document each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from edgelm.chat import ask
from edgelm.checkpoint import Source
from edgelm.data.folder import DataFolder
from edgelm.data.texts import Document, TextSource, from_folder
from edgelm.errors import BadOption, MissingInput
from edgelm.train.base import Example, Work
from edgelm.train.tokenizer import BOS, END, EOS

Numbered = list[tuple[int, Document]]  # documents, each with the number of its text


@dataclass(frozen=True)
class Corpus:
    """`files` are paths below the data folder (all its training text if none is given)."""

    files: tuple[str, ...] = ()
    longest: int = 512  # tokens of an example; longer plain texts are cut into pieces, longer chats left out

    def __post_init__(self) -> None:
        if self.longest < 2:
            raise BadOption(f"longest={self.longest} leaves no token to predict", mend="longest=2 or more")

    def read(self, data: DataFolder) -> list[TextSource]:
        """The texts to train on; rows with an empty answer are left out.

        Raises:
            MissingInput: no training data there, or a file lacks rows or fields.
            BadFile: a file is not in its format.
        """
        texts = from_folder(data, self.files)
        if not texts:
            raise MissingInput(f"{data.root} holds no training data", why="there is nothing in alpaca/ and c4/",
                               mend="edgelm data, or --data")  # fmt: skip
        return [replace(text, documents=[each for each in text.documents if each.text]) for text in texts]

    def run(self, work: Work) -> dict[str, Any]:
        """Tokenize the documents, and count the tokens of each source."""
        numbered = [(number, document) for number, text in enumerate(work.texts) for document in text.documents]
        chats = [(number, document) for number, document in numbered if document.question is not None]
        plain = [(number, document) for number, document in numbered if document.question is None]
        made = [*self._chats(work.tokenizer, chats), *self._plain(work.tokenizer, plain)]
        tokens: Counter[int] = Counter()
        for number, example in made:
            tokens[number] += len(example.ids)
        work.examples = [example for _, example in made]
        work.sources = [
            Source(name=text.name, sha256=text.sha256, tokens=tokens[number], licence=text.licence)
            for number, text in enumerate(work.texts)
        ]
        return {"step": "corpus", "examples": len(made), "tokens": tokens.total()}

    def _chats(self, tokenizer: Any, chats: Numbered) -> list[tuple[int, Example]]:
        """The prompt as the tasks render it, then the answer, which alone carries loss."""
        if not chats:  # transformers refuses an empty list
            return []
        messages = [ask(document.question or "").messages() for _, document in chats]
        prompts = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        asked = _encode(tokenizer, prompts)
        answered = _encode(tokenizer, [document.text + END for _, document in chats])
        return [
            (number, Example(prompt + answer, given=len(prompt)))
            for (number, _), prompt, answer in zip(chats, asked, answered, strict=True)
            if len(prompt) + len(answer) <= self.longest
        ]

    def _plain(self, tokenizer: Any, plain: Numbered) -> list[tuple[int, Example]]:
        texts = _encode(tokenizer, [f"{BOS}{document.text}{EOS}" for _, document in plain])
        return [
            (number, Example(ids[start : start + self.longest], given=1))
            for (number, _), ids in zip(plain, texts, strict=True)
            for start in range(0, len(ids) - 1, self.longest)
        ]


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)]
