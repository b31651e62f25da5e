import pytest

from edgelm.devices.prompt import PASSAGE, SHA256, bytes_per_token, exact_tokens
from edgelm.errors import Unsupported
from edgelm.files import sha256_bytes


def letters(text: str) -> list[int]:
    return [ord(letter) % 97 for letter in text]


@pytest.mark.parametrize("count", [1, 100, len(PASSAGE), len(PASSAGE) + 1, 10 * len(PASSAGE) + 7])
def test_counts_are_exact_and_the_text_repeats(count: int) -> None:
    ids = exact_tokens(letters, count, vocab=97)
    assert ids == (letters(PASSAGE) * 11)[:count]


def test_a_tokenizer_that_needs_much_text_for_a_token_still_gives_the_exact_count() -> None:
    assert exact_tokens(lambda text: [7] * (len(text) // 900), 50, vocab=8) == [7] * 50


def test_a_tokenizer_that_truncates_or_gives_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="no more than 64 tokens"):
        exact_tokens(lambda text: letters(text)[:64], 65, vocab=97)
    with pytest.raises(Unsupported, match="no more than 0 tokens"):
        exact_tokens(lambda _: [], 5, vocab=97)


def test_an_id_beyond_the_models_rows_is_refused() -> None:
    with pytest.raises(Unsupported, match="the model has rows for 50"):
        exact_tokens(letters, 100, vocab=50)


def test_bytes_per_token_and_digest_are_those_of_the_passage() -> None:
    assert bytes_per_token(lambda text: list(text.encode())) == 1
    assert bytes_per_token(letters) == len(PASSAGE.encode()) / len(PASSAGE) > 1
    assert sha256_bytes(PASSAGE.encode()) == SHA256
