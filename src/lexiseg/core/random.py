"""Forking torch's global random state."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def fork_random(seed: int | None = None) -> Generator[None, None, None]:
    """Restores torch's random state at the end of the block: the CPU's, and the current GPU's where one is in use.

    Initial weights and dropout draw from the global generators; inside the block they do so without an effect on later
    code.

    Args:
        seed: set on both generators in the block; they continue from their present state if not given.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        if seed is not None:
            torch.random.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
        yield
