"""The random state of the process stays as it was."""

import torch

from lexiseg.core.random import fork_random


def test_a_block_changes_nothing_that_is_drawn_later() -> None:
    before = torch.random.get_rng_state()

    with fork_random():
        torch.rand(3)
    with fork_random(7):
        torch.rand(3)

    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_seed_decides_what_is_drawn_and_without_one_the_stream_goes_on() -> None:
    with fork_random(7):
        first, second = torch.rand(3), torch.rand(3)
    with fork_random(7):
        torch.rand(3)
        with fork_random():
            assert torch.equal(torch.rand(3), second)
        assert torch.equal(torch.rand(3), second)
    assert not torch.equal(first, second)
