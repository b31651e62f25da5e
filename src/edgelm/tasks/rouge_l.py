"""ROUGE-L as the package `rouge` 1.0.1 computes it: over the sets of words of whole summaries."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.tasks.lcs import lcs_rows

# The package finds a pair of sentences' common words by a function that calls itself at every step. Python allows 1,000
# calls within each other; this many are left by OpenCompass with `--debug`, as the organisers run it. (A process of its
# own leaves 4 more.) Beyond them it counts the failure as 0.
MOST_STEPS = 986


def rouge_l(answer: str, reference: str, most_steps: int | None = MOST_STEPS) -> float:
    """The F-measure between 0 and 1; 0 if a pair of sentences takes more than `most_steps` steps.

    Sentences end at `.`, words at white space. What the two have in common is the set of all words that stand in the
    longest common subsequence of any two sentences. Equal texts give 0.999999995.
    """
    told, wanted = _sentences(answer), _sentences(reference)
    if not told or not wanted:
        return 0.0
    shared: set[str] = set()
    for ours in wanted:
        for theirs in told:
            words, steps = _common(ours, theirs)
            if most_steps is not None and steps > most_steps:
                return 0.0
            shared |= words
    precision, recall = len(shared) / len(set().union(*told)), len(shared) / len(set().union(*wanted))
    return 2.0 * (precision * recall / (precision + recall + 1e-8))


def _sentences(text: str) -> list[list[str]]:
    """The words of each sentence; of one that is all white space, the empty word."""
    return [sentence.split() or [""] for sentence in text.split(".") if sentence]


def _common(first: Sequence[str], second: Sequence[str]) -> tuple[set[str], int]:
    """The words of one longest common subsequence, and the steps through the table that find it.

    Of several, it is the one that the package finds: from the end, a tie leaves out the last word of `second`.
    """
    rows = lcs_rows(first, second)
    words, steps, i, j = set(), 1, len(first), len(second)
    while i and j:
        if first[i - 1] == second[j - 1]:
            words.add(first[i - 1])
            i, j = i - 1, j - 1
        elif rows[i] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
        steps += 1
    return words, steps
