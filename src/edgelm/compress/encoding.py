"""Documents as the ids that a model is given: plain text as it is, questions and answers as the model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from edgelm.checkpoint import Checkpoint
from edgelm.data.documents import Document
from edgelm.errors import BadFile

_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{}\n\n### Response:\n{}"
)
_PHI = "Instruct: {}\nOutput: {}"
_AT_ONCE = 64  # documents that are encoded together, which is faster


def encoded(base: Checkpoint, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> Iterator[list[int]]:
    """The ids of each document: plain text with the tokenizer's own start, a conversation in the model's own form.

    Raises:
        BadFile: the model's template does not work.
    """
    for start in range(0, len(documents), _AT_ONCE):
        yield from _block(base, tokenizer, documents[start : start + _AT_ONCE])


def _block(base: Checkpoint, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document]) -> list[list[int]]:
    chat = [document.question is not None and base.prompting == "chat" for document in documents]
    said = [_in_form(tokenizer, document, base) for document in documents]
    ids: list[list[int]] = [[]] * len(said)
    for special in (True, False):  # a template writes the start itself
        places = [place for place, asked in enumerate(chat) if asked != special]
        if places:
            batch = tokenizer([said[place] for place in places], add_special_tokens=special, verbose=False).input_ids
            for place, found in zip(places, batch, strict=True):
                ids[place] = found
    return ids


def _in_form(tokenizer: PreTrainedTokenizerBase, document: Document, base: Checkpoint) -> str:
    if document.question is None:
        return document.text
    if base.prompting == "chat":
        messages = [{"role": "user", "content": document.question}, {"role": "assistant", "content": document.text}]
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception as error:  # a template is a program, which may fail in any way
            raise BadFile(f"the chat template of {base.path} does not work", why=str(error),
                          mend="mend the template") from None  # fmt: skip
    form = _PHI if base.shape.family == "phi" else _ALPACA
    return form.format(document.question, document.text)
