"""What `lexiseg serve` takes."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lexiseg.cli.options import shared
from lexiseg.server.settings import Limits

_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Serve a page for the browser, and the same over HTTP: encode a picture once, ask it any number of questions."""

    model: shared.ModelName = "storybook"
    device: shared.Device = "auto"
    precision: shared.Precision = "float32"
    host: str = "127.0.0.1"
    """The address to listen at: 127.0.0.1 is reached from this machine alone, 0.0.0.0 from others too."""
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8000
    """0 takes a free one."""
    token: Annotated[str | None, typer.Option(envvar="LEXISEG_TOKEN")] = None
    """What clients must send as 'Authorization: Bearer TOKEN'; other users of this machine see it if it is typed, not
    if it stands in the environment."""
    cors: Annotated[list[str] | None, typer.Option("--cors", metavar="ORIGIN")] = None
    """Pages from there, such as https://example.org, may ask too; more than once for several."""
    cache_bytes: Annotated[int, typer.Option(min=1)] = _LIMITS.cache_bytes
    """Of memory for encoded pictures; the least recently used are forgotten first."""
    max_bytes: Annotated[int, typer.Option(min=1)] = _LIMITS.bytes
    """Of a request."""
    max_pixels: Annotated[int, typer.Option(min=1)] = _LIMITS.pixels
    """Of a picture."""
    max_words: Annotated[int, typer.Option(min=1)] = _LIMITS.words
    """Of a question, synonyms among them."""
    max_queue: Annotated[int, typer.Option(min=0)] = _LIMITS.queue
    """Requests that may wait for their turn."""
    seconds: Annotated[float, typer.Option(min=0.1)] = _LIMITS.seconds
    """That a request may wait for its turn, and that its new words may take."""
