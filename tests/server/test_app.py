"""The routes, asked as the page asks them."""

import asyncio
import base64
import io
import json
import re
import zipfile
from concurrent.futures import Future
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect, Request
from starlette.testclient import TestClient

from lexiseg.core.vocabulary import Vocabulary, builtin_names
from lexiseg.inference.formats import FORMATS, files_of
from lexiseg.inference.result import Result
from lexiseg.server.app import create_app
from lexiseg.server.examples import EXAMPLES
from lexiseg.server.routes import _unless_gone
from lexiseg.server.settings import Settings
from lexiseg.server.work import Lane
from lexiseg.storybook.scene import draw_scene

WORDS = "octopus, apple|red apple, carpet, stone wall, tiles, cat"


@pytest.fixture(scope="module")
def handle(client: TestClient, png: bytes) -> str:
    return client.post("/v1/encode", files={"picture": png}).json()["handle"]


@pytest.fixture(scope="module")
def expected(model: Any, png: bytes) -> Result:
    return model.segment(png, WORDS)


def ids_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as opened:
        assert opened.mode == "RGB"
        return np.asarray(opened).astype(np.int32) @ np.array([1, 256, 65_536], np.int32)


def summary(segments: list[dict[str, Any]]) -> list[Any]:
    """Segments but for the last digits, which the number of torch's threads decides."""
    steps = [[(step["name"], pytest.approx(step["score"], abs=2e-3)) for step in one["path"]] for one in segments]
    whats = [(one["id"], one["name"], one["is_thing"], one["area"], one["box"]) for one in segments]
    return [whats, steps, [pytest.approx(one["score"], abs=2e-3) for one in segments]]


def test_an_encoded_picture_answers_as_the_library_does(
    client: TestClient, handle: str, expected: Result, model: Any
) -> None:
    answer = client.post("/v1/segment", json={"handle": handle, "vocabulary": WORDS}).json()

    assert len(expected.segments) > 1
    assert summary(answer["segments"]) == summary(expected.to_jsonable()["segments"])
    assert np.array_equal(ids_of(base64.b64decode(answer["id_map"])), expected.segmentation)
    assert (answer["handle"], answer["model"], answer["width"], answer["height"]) == (handle, "storybook", 160, 160)
    assert answer["words"][1] == {"name": "apple", "synonyms": ["red apple"], "is_thing": True, "path": []}
    assert [word["name"] for word in answer["words"]] == list(expected.vocabulary.names)
    assert answer["seconds"]["encode"] > 0
    assert answer["seconds"]["answer"] > 0
    assert answer["score_threshold"] == model.network.config.question.score_threshold


def test_a_picture_may_come_with_its_question_and_can_be_asked_again(
    client: TestClient, png: bytes, expected: Result
) -> None:
    request = {"request": json.dumps({"vocabulary": WORDS})}

    answer = client.post("/v1/segment", files={"picture": png}, data=request).json()
    again = client.post("/v1/segment", json={"handle": answer["handle"], "vocabulary": WORDS}).json()

    assert answer["segments"] == again["segments"]
    assert summary(answer["segments"]) == summary(expected.to_jsonable()["segments"])


def test_settings_of_a_question_are_those_of_the_library(
    client: TestClient, handle: str, model: Any, png: bytes
) -> None:
    words = [
        {"name": "octopus", "path": ["thing", "animal"]},
        {"name": "apple", "synonyms": ["fruit"], "is_thing": True, "path": ["thing", "food"]},
        {"name": "carpet", "is_thing": False, "path": ["stuff"]},
    ]
    asked = {"score_threshold": 0.01, "negatives": False, "tree": True}

    answer = client.post("/v1/segment", json={"handle": handle, "vocabulary": words, **asked}).json()

    expected = model.segment(png, words, **asked)
    assert summary(answer["segments"]) == summary(expected.to_jsonable()["segments"])
    assert {step["name"] for one in answer["segments"] for step in one["path"]} > {"thing", "animal", "octopus"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, image/webp", "application/json"),
        ("image/png", "image/png"),
        ("IMAGE/PNG;q=0.3, application/json;q=0.2", "image/png"),
        ("image/png;q=0, application/json;q=0.1", "application/json"),
        ("image/png;q=nan;x=1, */*", "application/json"),
    ],
)
def test_the_client_says_what_it_wants(
    client: TestClient, handle: str, expected: str, accept: str, model: Any, png: bytes
) -> None:
    answer = client.post("/v1/segment", json={"handle": handle, "vocabulary": WORDS}, headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected
    if expected == "image/png":
        assert np.array_equal(ids_of(answer.content), model.segment(png, WORDS).segmentation)


def test_the_model_says_what_it_is(client: TestClient, model: Any) -> None:
    (told,) = client.get("/v1/models").json()["models"]

    assert (told["name"], told["system"], told["device"], told["is_shipped"]) == ("storybook", "opsnet", "cpu", True)
    assert told["parameters"] == sum(parameter.numel() for parameter in model.network.parameters())
    assert told["trained_on"] == list(model.network.training_vocabulary.names)
    assert "drawn world" in told["note"]


def test_built_in_lists_are_told_word_by_word(client: TestClient) -> None:
    listed = client.get("/v1/vocabularies").json()["vocabularies"]
    coco = client.get("/v1/vocabularies/coco").json()
    unknown = client.get("/v1/vocabularies/..%2f..%2fetc%2fpasswd")

    assert [one["name"] for one in listed] == list(builtin_names())
    assert {one["name"]: one["words"] for one in listed}["coco"] == 133
    assert all(one["says"] for one in listed)
    assert [word["name"] for word in coco["words"]] == list(Vocabulary.of("coco").names)
    assert unknown.status_code == 404


def test_examples_are_drawn_scenes_that_show_their_words(client: TestClient) -> None:
    listed = client.get("/v1/examples").json()["examples"]

    for one in listed:
        example = EXAMPLES[one["name"]]
        scene = draw_scene(example.role, "val", example.index, size=(one["height"], one["width"]))
        shown = dict.fromkeys(segment.name for segment in scene.segments if not segment.is_distractor)
        assert one["words"] == list(shown)
    first = client.get(f"/v1/examples/{listed[0]['name']}")
    with Image.open(io.BytesIO(first.content)) as opened:
        assert opened.size == (640, 480)
    assert client.get("/v1/examples/none").status_code == 404


def test_limits_are_told(client: TestClient) -> None:
    assert client.get("/v1/limits").json() == {"bytes": 2**25, "pixels": 50_000_000, "words": 2_500, "letters": 200}


def test_the_server_lives_before_its_model_is_there(serving: Any, model: Any) -> None:
    def never() -> Any:
        raise ValueError("the weights are damaged.")

    told: list[object] = []
    app = create_app(Settings(), load_model=never, on_loaded=told.append)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        alive, ready, asked = client.get("/healthz"), client.get("/readyz"), client.get("/v1/models")

    assert alive.status_code == 200
    assert (ready.status_code, asked.status_code) == (503, 503)
    assert int(ready.headers["retry-after"]) > 0
    assert "loaded" in asked.json()["error"]
    assert [str(one) for one in told] == ["the weights are damaged."]


def test_what_keeps_a_model_from_being_loaded_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def never() -> Any:
        raise ValueError("the weights are damaged.")

    with TestClient(create_app(Settings(), load_model=never), base_url="http://127.0.0.1:8000") as client:
        while not caplog.messages:
            assert client.get("/readyz").status_code == 503

    assert caplog.messages == ["the model can't be loaded: the weights are damaged."]


def test_docs_say_everything_without_a_script_or_another_file(client: TestClient) -> None:
    docs = client.get("/docs")

    for path in client.get("/openapi.json").json()["paths"]:
        assert path in docs.text
    assert "Leaves out segments with a lower score" in docs.text
    assert "curl -F picture=@photo.jpg http://127.0.0.1:8000/v1/encode" in docs.text
    assert "$ref" not in docs.text
    assert "<script" not in docs.text
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", docs.text) == ["/openapi.json", "/"]
    assert "default-src 'none'" in docs.headers["content-security-policy"]


def test_what_is_not_there_is_told_in_a_sentence(client: TestClient) -> None:
    missing, other = client.get("/nothing"), client.get("/v1/segment")

    assert (missing.status_code, other.status_code) == (404, 405)
    assert "/docs" in missing.json()["error"]
    assert other.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/readyz", "/v1/models", "/v1/examples/bee", "/nothing"])
def test_what_can_be_got_can_be_asked_for_its_head(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)

    assert head.status_code == whole.status_code
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.content == b""
    assert client.head("/v1/segment").status_code == 405


def test_work_is_told_that_its_client_has_gone() -> None:
    lane, begun, told = Lane(threads=1, most_waiting=0, seconds=10), Event(), Future()

    async def leave() -> dict[str, str]:
        await asyncio.to_thread(begun.wait)
        return {"type": "http.disconnect"}

    def call(gone: Event) -> None:
        begun.set()
        told.set_result(gone.wait(10))

    with pytest.raises(ClientDisconnect):
        asyncio.run(_unless_gone(Request({"type": "http"}, leave), lane, call))
    assert told.result(10)
    lane.close()


def test_nothing_of_a_question_stays_on_disk(client: TestClient, handle: str, tmp_path: Any) -> None:
    folder = client.app.state.service.served._folder  # type: ignore[attr-defined]
    before = set(folder.iterdir())

    answer = client.post("/v1/segment", json={"handle": handle, "vocabulary": "a word that nobody has ever asked for"})

    assert answer.status_code == 200
    assert set(folder.iterdir()) == before != set()


def test_the_folder_goes_with_the_server(serving: Any) -> None:
    with serving() as client:
        folder = client.app.state.service.served._folder
        assert folder.is_dir()

    assert not folder.exists()


def test_an_archive_holds_the_files_that_a_run_writes(client: TestClient, handle: str, model: Any, png: bytes) -> None:
    asked = {"handle": handle, "vocabulary": WORDS, "formats": [one for one in FORMATS if one != "html"]}

    answer = client.post("/v1/segment", json=asked, headers={"Accept": "application/zip"})

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert answer.headers["content-type"] == "application/zip"
    assert found.keys() == files_of(model.segment(png, WORDS), asked["formats"], "picture").keys()
    with Image.open(io.BytesIO(found["picture.overlay.png"])) as overlay:
        assert overlay.format == "PNG"


def test_no_word_leads_out_of_an_archive(client: TestClient, handle: str) -> None:
    words = ["../../up", "/etc/passwd", "C:\\x", "..", "con", "octopus"]
    asked = {
        "handle": handle,
        "vocabulary": [{"name": word} for word in words],
        "formats": [*FORMATS],
        "score_threshold": 0,
        "negatives": False,
    }

    answer = client.post("/v1/segment", json=asked, headers={"Accept": "application/zip"})

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
    assert len(names) > len(FORMATS)
    assert [name for name in names if name.startswith("/") or ".." in name.split("/") or "\\" in name] == []


@pytest.mark.parametrize(
    ("formats", "told"),
    [([], '"formats" is missing: name some of '), (["nothing"], "'nothing'"), (["overlay", "../x"], "'../x'")],
)
def test_an_archive_of_unknown_formats_is_refused(
    client: TestClient, handle: str, formats: list[str], told: str
) -> None:
    asked = {"handle": handle, "vocabulary": "cat", "formats": formats}

    answer = client.post("/v1/segment", json=asked, headers={"Accept": "application/zip"})

    assert answer.status_code == 422
    assert "panoptic" in answer.json()["error"]
    assert told in answer.json()["error"]


def test_formats_are_told(client: TestClient) -> None:
    told = client.get("/v1/formats").json()["formats"]

    assert [one["name"] for one in told] == list(FORMATS)
    assert all(one["says"].endswith(".") for one in told)
