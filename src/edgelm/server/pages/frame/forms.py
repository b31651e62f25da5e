"""Forms: what was typed, read as the model of the call that it goes to, and shown again where it was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from edgelm.errors import InputError
from edgelm.server.refusals import Refused

M = TypeVar("M", bound=BaseModel)
Typed = Mapping[str, Sequence[str]]
_TICKED = (bool, Literal[True])
_MESSAGES = {
    "missing": "Fill this in.",
    "string_too_short": "Fill this in.",
    "too_short": "Choose at least one.",
    "literal_error": "This is needed.",
    "string_pattern_mismatch": "Check how this is written.",
    "int_parsing": "Give a whole number.",
}


class NotFilledIn(Refused):
    """Fields of a form cannot be taken; `fields` says of each why."""

    status = 422

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("the form cannot be taken as it is", mend="see the fields that are marked")
        self.fields = fields


@dataclass(frozen=True)
class Form:
    """A form of a page: where it goes to, and, when it came back refused, what was typed and why it was refused."""

    action: str
    csrf: str
    once: str  # by which a form that is sent twice is done once
    typed: Typed
    refusal: InputError | None = None

    def value(self, name: str, default: str = "") -> str:
        """What stands in a field."""
        return (self.typed.get(name) or [default])[0]

    def has(self, name: str, value: str, default: bool = False) -> bool:
        """Whether a box is ticked, or a value chosen."""
        return value in self.typed.get(name, ()) if self.typed else default

    def problem(self, name: str) -> str:
        """What is wrong with a field; nothing if empty."""
        return self.refusal.fields.get(name, "") if isinstance(self.refusal, NotFilledIn) else ""


def read(model: type[M], typed: Typed) -> M:
    """What was typed as the body of a call.

    Raises:
        NotFilledIn: it is none.
    """
    values: dict[str, object] = {}
    for name, field in model.model_fields.items():
        if field.annotation in _TICKED:
            values[name] = "true" in typed.get(name, ())
        elif get_origin(field.annotation) is list:
            values[name] = list(typed.get(name, ()))
        elif name in typed:
            values[name] = typed[name][0].replace("\r\n", "\n")  # as browsers send the lines of a text
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise NotFilledIn(
            {str(each["loc"][0]): _message(each["type"], each["msg"]) for each in error.errors()}
        ) from None


def _message(kind: str, message: str) -> str:
    """What is said of a field, without its value."""
    return _MESSAGES.get(kind) or message.removeprefix("Value error, ").capitalize().removesuffix(".") + "."
