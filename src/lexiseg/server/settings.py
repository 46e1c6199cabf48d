"""What a server is told: the model, the address, who may ask, and limits on all that strangers send."""

import re
from dataclasses import dataclass, field
from typing import Literal

from lexiseg.core.concepts import MAX_NAME_LENGTH
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import shown
from lexiseg.io.shipped import SHIPPED_NAME

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Names of this machine that nobody else reaches."""
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")
"""What stands behind Bearer in a header, and is not guessed soon."""
ORIGIN = re.compile(r"https?://[^/\s?#@]+")
"""Of a page: scheme, host and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What strangers may use up.

    Raises:
        UsageError: if the cache could not keep the largest picture.
    """

    bytes: int = 32 * 2**20
    """Of a request's body; more is answered 413."""
    pixels: int = 50_000_000
    """Of a picture, read in its header before it is decoded."""
    words: int = 2_500
    """Names of a question, synonyms among them; where it asks for paths, those of inner nodes too."""
    letters: int = MAX_NAME_LENGTH
    """Of a name."""
    cache_bytes: int = 2**30
    """Of the encoded pictures that are kept for further questions."""
    uploads: int = 8
    """Largest bodies that may be in memory at once; 503 beyond."""
    queue: int = 64
    """Requests that wait for their turn; 503 beyond."""
    seconds: float = 30.0
    """That a request waits for its turn, after which it is answered 503."""
    body_seconds: float = 60.0
    """In which a body must have arrived; 408 beyond."""
    header_seconds: float = 10.0
    """In which the head of a request must have arrived, and part of an answer be taken; the connection ends beyond."""
    connections: int = 256
    """That are open at once; one more is answered 503."""

    def __post_init__(self) -> None:
        if self.cache_bytes < 6 * self.pixels:  # the picture, and as much again for what the model knows of it
            raise UsageError(
                f"a cache of {self.cache_bytes:,} bytes can't keep a picture of {self.pixels:,} pixels: give "
                f"--cache-bytes {6 * self.pixels} or more, or a smaller --max-pixels."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a server is told.

    Raises:
        UsageError: if the token is easily guessed, or an origin is none.
    """

    model: str = SHIPPED_NAME
    device: str = "auto"
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    token: str | None = None
    """What clients must send as `Authorization: Bearer TOKEN`."""
    origins: tuple[str, ...] = ()
    """Of pages elsewhere that may ask, such as "https://example.org"."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        token = self.token
        if token is not None and not TOKEN.fullmatch(token):
            raise UsageError("a token has 16 or more letters and digits, as those that 'openssl rand -hex 16' prints.")
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"expected an origin such as https://example.org, without a path, got {shown(origin)}; give --cors "
                    "once for each."
                )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return self.host in LOOPBACK or self.host.startswith("127.")
