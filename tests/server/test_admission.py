"""Places for what takes long: for each so many, for all so many, and given back however it ends."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

from edgelm.server.admission import Admission
from edgelm.server.refusals import TooOften


def test_places_are_few_for_each_and_for_all_and_come_back() -> None:
    places = Admission("looks", each=1, all=2, wait=7)
    with places.place("red"):
        with pytest.raises(TooOften, match="looks") as refused, places.place("red"):
            pass
        assert refused.value.wait == 7
        with places.place("blue"), pytest.raises(TooOften), places.place("green"):
            pass
        with pytest.raises(ZeroDivisionError), places.place("green"):
            raise ZeroDivisionError
        with places.place("green"):
            pass
    with places.place("red"):
        pass
