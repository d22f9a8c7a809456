"""How a study may be called."""

from __future__ import annotations

import pytest

from producer.validation.options import check_name
from warren.errors import InputError


@pytest.mark.parametrize("name", ["a\ud800b", "caf\udce9", "n" * 99 + "\udfff", "a\x00b"])
def test_a_name_that_is_no_unicode_is_refused_and_still_shown(name: str) -> None:
    with pytest.raises(InputError, match="pass text in Unicode") as caught:
        check_name(name, [])
    assert str(caught.value).encode(), "it can be printed"


@pytest.mark.parametrize("name", ["Größe 日本 \U0001f407", " spaced ", "it's mine"])
def test_a_name_in_unicode_is_taken(name: str) -> None:
    assert check_name(name, []) == name.strip()
