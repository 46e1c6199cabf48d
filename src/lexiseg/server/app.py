"""The application: routes, the page, and what stands before them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from lexiseg import __version__
from lexiseg.core.errors import PictureError, UsageError, VocabularyError
from lexiseg.inference.predictor import Model
from lexiseg.server.docs_page import docs_page
from lexiseg.server.errors import RequestError
from lexiseg.server.guard import Guard, tell_errors
from lexiseg.server.routes import routes
from lexiseg.server.service import Service
from lexiseg.server.settings import Settings

logger = logging.getLogger("lexiseg.server")

PAGE = Path(__file__).with_name("page")
"""The files of the page, served as they are."""


def create_app(
    settings: Settings,
    *,
    load_model: Callable[[], Model] | None = None,
    on_loaded: Callable[[Model | Exception], None] | None = None,
) -> FastAPI:
    """Makes the application; its model is loaded in the background once it starts.

    Args:
        settings: what the server is told.
        load_model: gives the model; that of the settings if not given.
        on_loaded: called with the model once it is there, or with what went wrong, which is logged if not
            given.
    """
    service = Service(settings, load_model)

    async def prepare() -> None:
        told: Model | Exception
        try:
            told = await service.prepare()
        except Exception as error:
            told = error
        if on_loaded is not None:
            on_loaded(told)
        elif isinstance(told, Exception):
            logger.error("the model can't be loaded: %s", told)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        preparing = asyncio.create_task(prepare())
        yield
        preparing.cancel()
        with suppress(asyncio.CancelledError):
            await preparing
        await asyncio.to_thread(service.close)

    app = FastAPI(title="lexiseg", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(routes(service))
    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """The page."""
        if not (index := PAGE / "index.html").is_file():
            raise RequestError(404, "This installation has no page; /docs tells what can be asked.")
        return FileResponse(index)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        """What can be asked, from the schema, as one page that loads nothing."""
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
        return HTMLResponse(docs_page(app.openapi(), str(request.base_url).rstrip("/")), headers=policy)

    tell_errors(app, (PictureError, UsageError, VocabularyError))
    app.add_middleware(Guard, settings=settings, metrics=service.metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Accept", "Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    return app
