"""Names of studies that no database and no terminal can hold."""

from __future__ import annotations

import pytest

from producer.inputs.options import check_name
from tuning.errors import InputError


@pytest.mark.parametrize("name", ["caf\udce9", "\ud83d", "a\x00b"])
def test_a_study_name_that_is_no_unicode_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match="pass text in Unicode") as caught:
        check_name(name, [])
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["café", "\N{SNOWMAN}", "it's mine"])
def test_any_other_text_is_a_study_name(name: str) -> None:
    assert check_name(f" {name}\n", []) == name
