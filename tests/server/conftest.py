"""A model, a picture, and an application in which nothing needs a port."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

Serving = Callable[..., Any]


@pytest.fixture(scope="session")
def model() -> Any:
    """The shipped model."""
    from lexiseg.inference.predictor import load

    return load(device="cpu")


@pytest.fixture(scope="session")
def png() -> bytes:
    """A drawn scene."""
    from lexiseg.storybook.scene import draw_scene

    buffer = io.BytesIO()
    Image.fromarray(draw_scene("novel", "val", 0).picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def serving(model: Any) -> Serving:
    """What gives a client of an application with some settings, whose model is loaded unless nobody needs it."""
    from lexiseg.server.app import create_app
    from lexiseg.server.settings import Settings
    from serving import loading

    def never() -> Any:
        raise ValueError("this test needs no model.")

    @contextmanager
    def serve(*, is_ready: bool = True, **settings: Any) -> Iterator[TestClient]:
        app = create_app(Settings(device="cpu", **settings), load_model=loading(model) if is_ready else never)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            while is_ready and client.get("/readyz").status_code == 503:
                time.sleep(0.01)
            yield client

    return serve


@pytest.fixture(scope="session")
def client(serving: Serving) -> Iterator[TestClient]:
    """A client of an application with default settings."""
    with serving() as client:
        yield client
