"""From a prompt to token ids, and from the ids that came back to an answer, as OpenCompass 0.3.1 does both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import transformers

from edgelm.chat import Prompt, Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Reply, Request
from edgelm.engines.prefixes import common
from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.stock import from_folder, load_tokenizer, refusals, require_known

ENDLESS = 2**31  # tokens; transformers writes 10³⁰ where a tokenizer has no limit
REVISION = 1  # of what this module makes: a change that may change an answer makes another
Truncate = Literal["left", "mid", "room"]  # which part of a prompt that is too long goes


class Rendering:
    """The tokenizer's side of a checkpoint: what every engine asks the same way.

    Attributes:
        tokenizer: padding and truncating on the left, cleaning up as it did when the protocol was run.
        generation: the checkpoint's generation config, greedy, with every other setting left as it is.
        ends: ids that end an answer.
        pad: id to pad with.
        begin: id that begins a text, and stands for an empty one: a model cannot read nothing.
        context: the prompt's longest length in tokens.
        learned_positions: whether the model has no position beyond its context; an engine that knows the model says so.
    """

    def __init__(
        self, checkpoint: Checkpoint, prompting: Prompting, truncate: Truncate = "left", *, code: bool = False
    ) -> None:
        if prompting == "chat" and not checkpoint.chat_template:
            raise BadOption(f"{checkpoint.path} has no chat template", mend="use --prompting base")
        self.prompting, self.truncate, self.name = prompting, truncate, checkpoint.path
        require_known(checkpoint, code)  # the configuration is named before the tokenizer, if both are wrong
        self.tokenizer = _as_opencompass(load_tokenizer(checkpoint, code=code), checkpoint)
        self.generation = _generation_config(checkpoint, code)
        self.context = _context(checkpoint)
        self.learned_positions = False
        self.ends = self._end_tokens()
        self.pad = self._pad()
        self.begin = self.pad if self.tokenizer.bos_token_id is None else self.tokenizer.bos_token_id
        self._end_texts = [self.tokenizer.decode([token]) for token in self.ends] if prompting == "chat" else []

    def _end_tokens(self) -> list[int]:
        """A chat's answers also end at the tokenizer's own end-of-text."""
        ends = self.generation.eos_token_id
        ids = list(ends) if isinstance(ends, list) else [] if ends is None else [ends]
        if not all(isinstance(token, int) for token in ids):
            raise BadFile(f"eos_token_id of {self.name} is {ends!r:.60}", mend="write a token id, or a list of them")
        own = self.tokenizer.eos_token_id
        return [*ids, own] if self.prompting == "chat" and own is not None and own not in ids else ids

    def _pad(self) -> int:
        candidates = (self.tokenizer.pad_token_id, self.generation.pad_token_id, self.tokenizer.eos_token_id)
        return next((token for token in candidates if token is not None), 0)

    def text(self, prompt: Prompt) -> str:
        """What the model is given, as text."""
        if self.prompting == "base":
            return prompt.base_text()
        try:
            return self.tokenizer.apply_chat_template(prompt.messages(), add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template is a program, which may fail in any way
            raise BadFile(f"the chat template of {self.name} does not work", why=_first_line(error),
                          mend="mend the template, or use --prompting base") from None  # fmt: skip

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, whole; with special tokens in base prompts, as a template wrote its own."""
        return self.tokenizer(text, add_special_tokens=self.prompting == "base")["input_ids"]

    def prompt_ids(self, request: Request) -> list[int]:
        """The token ids of a request's prompt, as much as the context holds.

        As in OpenCompass, `left` keeps the special tokens that begin a prompt and as much of its end as the context
        holds, with no room for the answer; `mid` then keeps the two ends of what leaves that room. (OpenCompass cuts
        whole batches, padding included; here each prompt is cut by itself.) `room` keeps the end of what leaves it, as
        lm-eval does.

        Raises:
            Unsupported: the answer leaves no room for a prompt, or goes beyond the positions that were learned.
        """
        ids = self.tokenizer(
            self.text(request.prompt), add_special_tokens=self.prompting == "base", truncation=True,
            max_length=self.context,
        )["input_ids"] or [self.begin]  # fmt: skip
        room = self.context - request.max_tokens
        if len(ids) <= room or (self.truncate == "left" and not self.learned_positions):
            return ids
        if room < 2:
            longer = "take a model with a longer context, or leave the task away"
            raise Unsupported(f"an answer of {request.max_tokens} tokens leaves no room in a context of {self.context}",
                              mend=longer if self.learned_positions else "use truncate=left: with it engines such as "
                              "local and llamacpp go on beyond the context, as OpenCompass does")  # fmt: skip
        if self.truncate == "left":
            raise Unsupported(
                f"a question of {len(ids)} tokens and an answer of up to {request.max_tokens} do not fit the "
                f"{self.context} positions that {self.name} has learned",
                mend="use truncate=room, such as --engine local:truncate=room",
            )
        return ids[-room:] if self.truncate == "room" else ids[: room // 2] + ids[-(room // 2) :]

    def pair_ids(self, context: str, continuation: str) -> tuple[list[int], int]:
        """The token ids of a context with its continuation, and how many of them are the continuation's own.

        These begin where the context's ids end, or before, where its last letters are in one token with the next.

        Raises:
            Unsupported: the continuation fills the model's whole context.
        """
        before, whole = self.ids(context), self.ids(context + continuation)
        own = len(whole) - common(before, whole)
        if own >= self.context:
            raise Unsupported(f"a continuation of {own} tokens fills the context of {self.context}",
                              mend="give shorter ones")  # fmt: skip
        return (whole if own < len(whole) else [self.begin, *whole])[-self.context :], own

    def reply(self, request: Request, ids: Sequence[int], prompt_tokens: int) -> Reply:
        """The answer in the ids that were made, up to and with the first end; a later one is padding."""
        end = next((place for place, token in enumerate(ids) if token in self.ends), None)
        made = ids if end is None else ids[: end + 1]
        text = self.tokenizer.decode(made, skip_special_tokens=self.prompting == "base")
        cut = self.cut(text, request.stop)
        over = end is not None or len(cut) < len(text) or len(made) < request.max_tokens
        return Reply(request.key, cut, len(made), prompt_tokens, "stop" if over else "length")

    def cut(self, text: str, stop: Sequence[str]) -> str:
        """A text up to the first of the stop strings and, in a chat, of the end tokens' texts."""
        for end in filter(None, (*stop, *self._end_texts)):
            text = text.partition(end)[0]
        return text


def _as_opencompass(tokenizer: Any, checkpoint: Checkpoint) -> Any:
    """The tokenizer, padding and truncating on the left, and cleaning up as it did when the protocol was run."""
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    # The protocol was run with transformers 4.44, which takes the blank before punctuation away unless told not to.
    tokenizer.clean_up_tokenization_spaces = checkpoint.tokenizer_config.get("clean_up_tokenization_spaces", True)
    tokenizer.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    return tokenizer


def _generation_config(checkpoint: Checkpoint, code: bool) -> Any:
    """The checkpoint's own generation config, or that which transformers makes of its model config; greedy."""
    with refusals(checkpoint, "model"):
        if (checkpoint.path / "generation_config.json").is_file():
            generation = transformers.GenerationConfig.from_pretrained(checkpoint.path, local_files_only=True)
        else:
            config = transformers.AutoConfig.from_pretrained(checkpoint.path, **from_folder(code))
            generation = transformers.GenerationConfig.from_model_config(config)
    generation.do_sample = False
    penalty = generation.repetition_penalty
    if penalty is not None and not (isinstance(penalty, int | float) and penalty > 0):
        raise BadFile(f"repetition_penalty of {checkpoint.path} is {penalty!r:.60}",
                      mend="write a number above 0; 1 changes nothing")  # fmt: skip
    return generation


def _context(checkpoint: Checkpoint) -> int:
    """The prompt's longest length in tokens; longer ones lose their beginning."""
    config = checkpoint.config
    for value in (config.get("max_position_embeddings"), config.get("seq_length"), config.get("n_positions"),
                  checkpoint.tokenizer_config.get("model_max_length")):  # fmt: skip
        if isinstance(value, int) and 0 < value < ENDLESS:
            return value
    raise BadFile(f"{checkpoint.path}/config.json names no context length", mend="set max_position_embeddings")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
