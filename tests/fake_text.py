"""A text encoder without weights, for everything that needs words as vectors."""

import hashlib
import logging
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from torch import Tensor

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.text import text_embed


class HashedTextEncoder:
    """Every prompt is a random vector drawn from its own hash; words of `alike` share a direction."""

    def __init__(self, dim: int = 64, fingerprint: str = "hashed", alike: dict[str, str] | None = None) -> None:
        self.dim = dim
        self.fingerprint = fingerprint
        self.alike = alike or {}
        self.prompts: list[str] = []

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        self.prompts += prompts
        return torch.stack([self._vector(prompt) for prompt in prompts])

    def _vector(self, prompt: str) -> Tensor:
        near = next((prompt.replace(word, other) for word, other in self.alike.items() if word in prompt), None)
        own = self._noise(prompt)
        return own if near is None else self._noise(near) + 0.05 * own

    def _noise(self, text: str) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(f"{self.fingerprint} {text}".encode()).digest()[:7], "big")
        return 3 * torch.randn(self.dim, generator=torch.Generator().manual_seed(seed))


def write_often(folder: Path, vocabulary: Vocabulary, start: Barrier, failures: "Queue[str]") -> None:
    """Forgets and remembers an embedding again and again; here, so that a new process can import it."""
    handler = logging.Handler()
    handler.emit = lambda record: failures.put(record.getMessage())
    logging.getLogger("lexiseg.encoders.text").addHandler(handler)
    expected = text_embed(HashedTextEncoder(), vocabulary, cache_dir=None)
    start.wait(timeout=60)
    for _ in range(60):
        for path in folder.glob("text-*.safetensors"):
            path.unlink(missing_ok=True)
        if not torch.equal(expected, text_embed(HashedTextEncoder(), vocabulary, cache_dir=folder)):
            failures.put("another embedding")
    text_embed(HashedTextEncoder(), vocabulary, cache_dir=folder)
