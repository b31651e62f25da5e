"""What a compressed model shall fit: the memory of a phone, or a number of parameters."""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.compress.costs import phone
from edgelm.compress.search.candidates import Candidate
from edgelm.errors import BadOption
from edgelm.plugins import convert
from edgelm.train.costs.figures import short, size

# Phones by the memory that they are sold with, and the bytes that are left to one process: what the test phone of the
# 2024 competition left.
PHONES = {"12GB": 9_000_000_000}


@dataclass(frozen=True)
class Limit:
    """The most that a candidate may need; what is None does not matter."""

    memory: int | None = None  # bytes on the phone at a context
    parameters: int | None = None
    context: int = phone.CONTEXT  # tokens

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate is within it."""
        small = self.parameters is None or candidate.parameters <= self.parameters
        return small and (self.memory is None or candidate.memory <= self.memory)

    def require_less(self, parameters: int) -> None:
        """Refuse a number of parameters that a base of so many has not more than.

        Raises:
            BadOption: say so.
        """
        if self.parameters is not None and self.parameters >= parameters:
            raise BadOption(f"--target-params {self.parameters:,} is no fewer than the base's {parameters:,}",
                            mend="give fewer, or leave it out")  # fmt: skip

    def __str__(self) -> str:
        bounds = [f"{size(self.memory)} at {self.context:,} tokens"] if self.memory is not None else []
        bounds += [f"{short(self.parameters)} parameters"] if self.parameters is not None else []
        return " and ".join(bounds)


def limit_of(fit: str | None = None, parameters: str | None = None, context: int = phone.CONTEXT) -> Limit:
    """The limit that options ask for.

    Args:
        fit: a phone, such as "12GB", or any other number of bytes, which is then the ceiling itself.
        parameters: at most so many, such as "3.7B".
        context: tokens that memory is reckoned for.

    Raises:
        BadOption: a value is no such number, or there is none.
    """
    if fit is None and parameters is None:
        raise BadOption("a search needs something to fit", mend="give --fit 12GB or --target-params 3.7B")
    memory = None if fit is None else PHONES.get(fit.upper()) or positive(fit, "--fit", "7GB, for example")
    count = None if parameters is None else positive(parameters, "--target-params", "3.7B, for example")
    return Limit(memory, count, context)


def programs_of(exports: str) -> tuple[str, ...]:
    """The fields of `Exports` that are meant by names such as `gguf+mlc`; every result suits transformers (`hf`).

    Raises:
        BadOption: a name is unknown.
    """
    fields = {"gguf": "runtime", "mlc": "mlc", "script": "script"}
    names = [name for name in exports.split("+") if name != "hf"]
    for name in names:
        if name not in fields:
            raise BadOption(f"--exports {exports}: '{name}' is no program known here",
                            mend=f"give some of {', '.join(fields)}, hf, joined by +")  # fmt: skip
    return tuple(fields[name] for name in names)


def positive(text: str, option: str, example: str) -> int:
    """A whole number that an option gives, such as 7GB or 3.7B.

    Raises:
        BadOption: it is none, or not above nought.
    """
    try:
        value = convert(text, int, option)
    except BadOption:
        value = 0
    if not isinstance(value, int) or value <= 0:
        raise BadOption(f"{option} {text} is no number above nought", mend=example)
    return value
