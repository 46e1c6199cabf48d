"""Checks that several modules share."""

import pytest

from lexiseg.core.checks import check_size
from lexiseg.core.errors import FormatError


def test_two_sizes_agree_in_height_and_width_whatever_follows() -> None:
    check_size("the picture", (4, 6, 3), "its map", (4, 6))

    sentence = r"^a\.png: the picture is 6 x 4 pixels, its map 4 x 6: bring both to the picture's own pixels\.$"
    with pytest.raises(FormatError, match=sentence):
        check_size("a.png: the picture", (4, 6, 3), "its map", (6, 4))
