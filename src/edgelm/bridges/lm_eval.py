"""lm-eval on our engines: a model for its evaluator that asks an open session.

`lm_eval.simple_evaluate(model=SessionLM(session), tasks=[…])` runs any task of lm-eval; `edgelm lm-eval` does so from
the command line. Texts become tokens, long ones lose their beginning and answers are cut as with lm-eval's own `hf`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from edgelm.chat import ask
from edgelm.engines.base import Likelihood, Request, Session
from edgelm.engines.render import Rendering
from edgelm.errors import Unsupported

MAX_TOKENS = 256  # of an answer, where the task names none: lm-eval's own figure
_CAPS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # lm-eval's names for it, by priority


class TokenSession(Session, Protocol):
    """A session whose model is at hand: it also weighs token ids."""

    rendering: Rendering

    def weigh(self, texts: Sequence[tuple[Sequence[int], int]]) -> list[Likelihood]:
        """How likely the last so many tokens of each text are after those before them."""
        ...


class SessionLM(TemplateLM):
    """A session opened with `prompting="base"`, as a model of lm-eval.

    An engine with `truncate=room` cuts long texts as lm-eval's own model does.
    """

    backend = "causal"

    def __init__(self, session: TokenSession) -> None:
        super().__init__()
        self.session = session
        self.tokenizer = session.rendering.tokenizer
        self.max_length = session.rendering.context

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        end = self.tokenizer.eos_token_id
        return self.session.rendering.pad if end is None else end

    @property
    def prefix_token_id(self) -> int:
        """The id that a text without a context stands behind."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else begin

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval names its cache of requests by."""
        return str(self.session.rendering.name).replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the checkpoint's template writes it."""
        return self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )  # fmt: skip

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The token ids of a text."""
        if add_special_tokens is None:
            return self.session.rendering.ids(self._unbegun(string))
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def _unbegun(self, text: str) -> str:
        """A text without the beginning that a chat template wrote and the tokenizer would write once more."""
        begin = self.tokenizer.bos_token
        twice = begin and self.tokenizer.bos_token_id in self.tokenizer("")["input_ids"]
        return text.removeprefix(begin) if twice else text

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        if (longest := max((len(own) for _, _, own in requests), default=0)) > self.max_length:
            raise Unsupported(f"a continuation of {longest} tokens is longer than the context of {self.max_length}",
                              mend="leave its task out")  # fmt: skip
        texts = [((context + own)[-(self.max_length + 1) :], len(own)) for _, context, own in requests]
        return [(each.log, each.greedy) for each in self.session.weigh(texts)]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts, the long ones in windows that follow each other."""
        texts, owners = [], []
        for number, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, context_len=1):
                context, own = make_disjoint_window(window)
                texts.append(([*context, *own], len(own)))
                owners.append(number)
        sums = [0.0] * len(requests)
        for owner, each in zip(owners, self.session.weigh(texts), strict=True):
            sums[owner] += each.log
        return sums

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers, each up to the first of its stop strings.

        Raises:
            Unsupported: a task asks for sampling.
        """
        asked = [self._request(number, *request.args) for number, request in enumerate(requests)]
        answers = {reply.key: reply.text for replies in self.session.answer(asked) for reply in replies}
        return [answers[request.key] for request in asked]

    def _request(self, number: int, context: str, settings: dict[str, Any]) -> Request:
        if settings.get("do_sample") and settings.get("temperature", 1.0) > 0:
            raise Unsupported("the task asks for sampled answers", why="engines answer greedily",
                              mend="give --gen-kwargs do_sample=false")  # fmt: skip
        until = settings.get("until") or []
        stop = (until,) if isinstance(until, str) else tuple(until)
        end = self.tokenizer.decode([self.eot_token_id])
        cap = next((int(settings[name]) for name in _CAPS if settings.get(name) is not None), MAX_TOKENS)
        return Request(str(number), number, ask(self._unbegun(context)), cap, tuple(filter(None, (*stop, end))))
