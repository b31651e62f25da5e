"""What a chat template puts before and behind a question, as two fixed strings: the phone renders no template."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

try:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    from edgelm.errors import MissingPackage

    raise MissingPackage("jinja2", "deploy") from None

from edgelm.checkpoint import Checkpoint, read_config
from edgelm.errors import BadFile

_MARK = "EDGELM-QUESTION"  # stands for the question while the template is rendered
_SPECIAL = "special_tokens_map.json"


def around(checkpoint: Checkpoint) -> tuple[str, str] | None:
    """The texts before and behind the question; None if the checkpoint has no chat template.

    Raises:
        BadFile: the template fails, or does not bring the question exactly once.
    """
    if not checkpoint.chat_template:
        return None
    try:
        template = _environment().from_string(checkpoint.chat_template)
        text = template.render(
            messages=[{"role": "user", "content": _MARK}], add_generation_prompt=True, tools=None, documents=None,
            **_special_tokens(checkpoint),
        )  # fmt: skip
    except Exception as error:  # a template is a program, which may fail in any way
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _broken(checkpoint, why) from None
    before, *behind = text.split(_MARK)
    if len(behind) != 1:
        raise _broken(checkpoint, f"it brings the question {len(behind)} times")
    return before, behind[0]


def _broken(checkpoint: Checkpoint, why: str) -> BadFile:
    return BadFile(f"the chat template of {checkpoint.path} does not work", why=why,
                   mend="mend the template, or ask without it: android:chat=no")  # fmt: skip


def _environment() -> ImmutableSandboxedEnvironment:
    """What templates are written for: transformers' settings and words. A template is a stranger's program."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    return made


def _refuse(words: str) -> NoReturn:
    raise jinja2.TemplateError(words)


def _special_tokens(checkpoint: Checkpoint) -> dict[str, str]:
    """Texts of the special tokens by name, as `bos_token`; those of `tokenizer_config.json` come first."""
    path = checkpoint.path / _SPECIAL
    settings = {**(read_config(path) if path.is_file() else {}), **checkpoint.tokenizer_config}
    texts = {name: _text(value) for name, value in settings.items() if name.endswith("_token")}
    return {name: text for name, text in texts.items() if text is not None}


def _text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None
