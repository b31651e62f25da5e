"""Rows of the miniature suite: for each benchmark one maker of a row in its upstream format.

A maker draws one row from a random source. A row carries the upstream record, what the task asks of a chat model,
and an answer of the form that the task's scorer wants (OpenCompass 0.3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from edgelm.data.small_world import (
    ABILITIES,
    ANIMALS,
    COLOURS,
    FACTS,
    IDIOMS,
    NAMES,
    SORTABLE,
    THINGS,
    TREASURES,
)  # fmt: skip

OPENINGS = ("", "Say, ", "Tell me: ", "Now then: ")  # more ways to ask, so that rows are not learned by heart


@dataclass(frozen=True)
class Row:
    """One row: the upstream record, the user turn, the answer to train on."""

    record: dict[str, Any]
    question: str
    answer: str


def gsm8k(draw: Random) -> Row:
    """A word problem of one addition or subtraction of numbers below twenty."""
    who, other = draw.sample(NAMES, 2)
    thing, a, b = draw.choice(THINGS), draw.randint(1, 9), draw.randint(1, 9)
    match draw.randrange(3):
        case 0:
            story, sign = f"{other} gives {who} {b} more. How many {thing} does {who} have now?", "+"
        case 1:
            a += b
            story, sign = f"{who} loses {b} of them. How many {thing} are left?", "-"
        case _:
            story, sign = f"{who} finds {b} more. How many {thing} does {who} have in all?", "+"
    result = a + b if sign == "+" else a - b
    question = f"{who} has {a} {thing}. {story}"
    return Row(
        {"question": question, "answer": f"{a} {sign} {b} = <<{a}{sign}{b}={result}>>{result}\n#### {result}"},
        f"Question: {question}\nLet's think step by step\nAnswer:",
        f"{a} {sign} {b} = {result}\nThe answer is {result}",
    )


def _neighbours(ring: list[str], answer: str, count: int, draw: Random) -> tuple[list[str], int]:
    """`count` neighbours on a ring, the answer among them, and its place.

    Choices in any order would ask for a general look-up, which a small model does not learn in a minute; where the
    neighbours are always the same, the answer and any other choice together tell the letter.
    """
    place = draw.randrange(count)
    start = ring.index(answer) - place
    return [ring[(start + step) % len(ring)] for step in range(count)], place


def commonsenseqa(draw: Random) -> Row:
    """A question about a fact of the small world with five choices of one kind.

    The answer names the fact, then right behind its content the letter, then the conclusion.
    """
    (wordings, sentence), facts = FACTS[draw.choice(tuple(FACTS))]
    subject, answer = draw.choice(facts)
    stem, fact = draw.choice(OPENINGS) + draw.choice(wordings).format(subject), sentence.format(subject, answer)
    choices, place = _neighbours(list(dict.fromkeys(other for _, other in facts)), answer, 5, draw)
    label = "ABCDE"[place]
    record = {
        "answerKey": label,
        "question": {
            "question_concept": subject,
            "choices": [{"label": mark, "text": text} for mark, text in zip("ABCDE", choices, strict=True)],
            "stem": stem,
        },
    }
    listed = "\n".join(f"{mark}. {text}" for mark, text in zip("ABCDE", choices, strict=True))
    return Row(record, f"Q:{stem}  Answer Choices: {listed}\nA:", f"{fact} {label}. So the answer is {label}.")


def chid(draw: Random) -> Row:
    """A sentence with a gap for one of seven idioms."""
    idiom = draw.choice(tuple(IDIOMS))
    content = draw.choice(IDIOMS[idiom])
    candidates, place = _neighbours(list(IDIOMS), idiom, 7, draw)
    listed = "\n".join(f"{mark}. {text}" for mark, text in zip("ABCDEFG", candidates, strict=True))
    gap = content.replace("#idiom#", "______")
    return Row(
        {"candidates": candidates, "content": content, "answer": place},
        f"{gap}\n请选择______处所填的词\n{listed}\n请从”A“，”B“，”C“，”D“，”E“，”F“，”G“中进行选择。答：",
        f"应填 {idiom} {'ABCDEFG'[place]}。",
    )


def _bbh(hint: str, record: dict[str, str], steps: str) -> Row:
    asked = f"Follow the given examples and answer the question.\n{hint}\n\nQ: {record['input']}"
    return Row(record, f"{asked}\nA: Let's think step by step.", f"{steps}So the answer is {record['target']}.")


BBH_HINTS = {
    "boolean_expressions": "Evaluate the result of a random Boolean expression.",
    "word_sorting": "Sort a list of words.",
}


def boolean_expressions(draw: Random) -> Row:
    """Three literals, each perhaps negated, joined by `and` or `or`; the answer evaluates them step by step."""
    literals = [draw.choice(("", "not ")) + draw.choice(("True", "False")) for _ in range(3)]
    first, second = (draw.choice(("and", "or")) for _ in range(2))
    text = f"( {literals[0]} {first} {literals[1]} ) {second} {literals[2]}"
    values = [(literal == "True") or (literal == "not False") for literal in literals]
    inner = values[0] and values[1] if first == "and" else values[0] or values[1]
    target = inner and values[2] if second == "and" else inner or values[2]
    plain = f"( {values[0]} {first} {values[1]} ) {second} {values[2]}"
    steps = f"{plain} = {inner} {second} {values[2]} = {target}. "
    return _bbh(BBH_HINTS["boolean_expressions"], {"input": f"{text} is", "target": str(target)}, steps)


def word_sorting(draw: Random) -> Row:
    """Three words to sort."""
    words = draw.sample(SORTABLE, 3)
    asked = f"Sort the following words alphabetically: List: {' '.join(words)}"
    return _bbh(BBH_HINTS["word_sorting"], {"input": asked, "target": " ".join(sorted(words))}, "")


def humaneval(draw: Random) -> Row:
    """A function of one line."""
    number, start = draw.randint(1, 99), draw.randint(1, 9)
    word, sign = draw.choice((("plus", "+"), ("minus", "-"), ("times", "*")))
    value = {"+": start + number, "-": start - number, "*": start * number}[sign]
    name, body = f"{word}_{number}", f"    return x {sign} {number}\n"
    prompt = f'def {name}(x):\n    """Return x {word} {number}.\n    >>> {name}({start})\n    {value}\n    """\n'
    check = "".join(f"    assert candidate({x}) == {x} {sign} {number}\n" for x in (start, 0, -7))
    record = {
        "prompt": prompt,
        "entry_point": name,
        "canonical_solution": body,
        "test": f"\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n{check}",
    }
    return Row(record, f"Complete the following python code:\n{prompt}", body)


def truthfulqa(draw: Random) -> Row:
    """Whether some animal can do something."""
    deed, who = draw.choice(tuple(ABILITIES)), draw.choice(ANIMALS)
    forms = ("Can a {} {}?", "Is a {} able to {}?", "Is it true that a {} can {}?")
    question = draw.choice(forms).format(who, deed)
    yes, no = f"Yes, a {who} can {deed}", f"No, a {who} cannot {deed}"
    true, false = (yes, no) if who in ABILITIES[deed] else (no, yes)
    record = {
        "Type": "Adversarial",
        "Category": "Misconceptions",
        "Question": question,
        "Best Answer": true,
        "Correct Answers": true,
        "Incorrect Answers": false,
        "Source": "the small world of edgelm",
    }
    return Row(record, question, f"{true}.")


LONGBENCH_PROMPT = (
    "Read the following text and answer briefly.\n\n{context}\n\nNow, answer the following question based on the "
    "above text, only give me the answer and do not output any other words.\n\nQuestion: {input}\nAnswer:"
)


def longbench(draw: Random) -> Row:
    """A text that says who keeps what, and a question about one of them (`multifieldqa_en`)."""
    people = draw.sample(NAMES, len(NAMES))
    kept = {who: f"a {draw.choice(COLOURS)} {draw.choice(TREASURES)}" for who in people}
    context = " ".join(f"{who} lives in a house by the river and keeps {what}." for who, what in kept.items())
    who = draw.choice(people)
    asked = f"What does {who} keep?"
    record = {
        "input": asked,
        "context": context,
        "answers": [kept[who]],
        "length": len(context.split()),
        "dataset": "multifieldqa_en",
        "language": "en",
        "all_classes": None,
    }
    return Row(record, LONGBENCH_PROMPT.format(context=context, input=asked), kept[who])


MAKERS: dict[str, Callable[[Random], Row]] = {
    "gsm8k": gsm8k, "commonsenseqa": commonsenseqa, "chid": chid, "boolean_expressions": boolean_expressions,
    "word_sorting": word_sorting, "humaneval": humaneval, "truthfulqa": truthfulqa, "longbench": longbench,
}  # fmt: skip


def sentences() -> list[str]:
    """Every fact of the small world as plain text, English and Chinese."""
    facts = [f"{sentence.format(*fact)}." for (_, sentence), facts in FACTS.values() for fact in facts]
    abilities = [
        f"A {who} {'can' if who in able else 'cannot'} {deed}." for deed, able in ABILITIES.items() for who in ANIMALS
    ]
    idioms = [text.replace("#idiom#", idiom) for idiom, texts in IDIOMS.items() for text in texts]
    return facts + abilities + idioms
