"""`lexiseg serve`."""

import sys
from typing import Any

from lexiseg.cli.console import note, say
from lexiseg.cli.options.serve import ServeOptions
from lexiseg.core.errors import UsageError


def run_serve(options: ServeOptions) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Raises:
        UsageError: if the extra is not installed, or the address can't be had.
        ValueError: if the model can't be loaded.
    """
    try:
        from lexiseg.server.run import serve
        from lexiseg.server.settings import Limits, Settings
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lexiseg"):
            raise
        raise UsageError(f"the server needs {error.name}: pip install 'lexiseg[serve]'.") from error

    limits = Limits(
        bytes=options.max_bytes,
        pixels=options.max_pixels,
        words=options.max_words,
        cache_bytes=options.cache_bytes,
        queue=options.max_queue,
        seconds=options.seconds,
    )
    settings = Settings(
        model=options.model,
        device=options.device,
        precision=options.precision,
        host=options.host,
        port=options.port,
        token=options.token,
        origins=tuple(options.cors or ()),
        limits=limits,
    )
    if not settings.is_loopback:
        asks = "asks for the token" if settings.token else "asks nobody who they are (--token does)"
        note(f"lexiseg: {settings.host} is open to other machines, over plain HTTP; the server {asks}.")

    def tell(address: str, model: Any) -> None:
        say(f"lexiseg serves {model.name} on {model.device} at {address} (Ctrl-C ends it)")
        sys.stdout.flush()

    serve(settings, tell)
