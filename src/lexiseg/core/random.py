"""The random state of the process: whoever draws from it leaves it as it was."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def fork_random(seed: int | None = None) -> Generator[None, None, None]:
    """Restores torch's random state at the end of the block: the CPU's, and the current GPU's where one is in use.

    Networks draw their first weights from it, and so does dropout. Neither shall change what others draw later.

    Args:
        seed: of both in the block; they go on from where they are if not given.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        if seed is not None:
            torch.random.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
        yield
