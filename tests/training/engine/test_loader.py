from typing import Any

import pytest
from torch.utils.data import Dataset

from lexiseg.core.errors import FormatError
from lexiseg.training.engine.loader import load_batches


class Numbers(Dataset[int]):
    """Numbers, of which 3 can't be read and 5 is a fault of the program."""

    def __getitem__(self, key: int) -> int:
        if key == 3:
            raise FormatError("c.png is damaged; copy it again.")
        return 1 // (5 - key)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_can_not_be_read_reaches_the_user_as_its_own_sentence(workers: int):
    def read(keys: list[int]) -> list[Any]:
        return list(load_batches(Numbers(), list, workers=workers, batch_size=2, sampler=keys))

    assert read([4, 6, 7]) == [[1, -1], [-1]]
    with pytest.raises(FormatError) as caught:
        read([4, 3])
    assert str(caught.value) == "c.png is damaged; copy it again."
    with pytest.raises(ZeroDivisionError):
        read([5])


def refuse(numbers: list[int]) -> None:
    raise FormatError(f"{numbers} are of two sizes.")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_can_not_be_joined_reaches_the_user_as_its_own_sentence(workers: int):
    with pytest.raises(FormatError) as caught:
        list(load_batches(Numbers(), refuse, workers=workers, batch_size=2, sampler=[4, 6]))

    assert str(caught.value) == "[1, -1] are of two sizes."
