"""The routes, asked as the page asks them."""

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lexiseg.inference.predictor import load
from lexiseg.server.app import create_app
from lexiseg.server.settings import Settings
from lexiseg.storybook.scene import draw_scene

WORDS = "owl, cat|kitten, castle, robot, tree, snow:stuff, grass:stuff"


@pytest.fixture(scope="module")
def model() -> Any:
    return load(device="cpu")


@pytest.fixture(scope="module")
def client(model: Any) -> Iterator[TestClient]:
    app = create_app(Settings(device="cpu"), load_model=lambda: model)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_scene("novel", "val", 0).picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_encoded_picture_is_asked_by_its_handle_and_answers_as_the_library_does(
    client: TestClient, model: Any, png: bytes
) -> None:
    handle = client.post("/v1/encode", files={"picture": png}).json()["handle"]
    answer = client.post("/v1/segment", json={"handle": handle, "vocabulary": WORDS}).json()

    expected = model.segment(png, WORDS)
    with Image.open(io.BytesIO(base64.b64decode(answer["id_map"]))) as opened:
        channels = np.asarray(opened).astype(np.int32)
    assert np.array_equal(channels @ np.array([1, 256, 65_536]), expected.segmentation)
    assert len(expected.segments) > 0
    assert answer["segments"] == expected.to_jsonable()["segments"]
    assert [word["name"] for word in answer["words"]] == list(expected.vocabulary.names)
