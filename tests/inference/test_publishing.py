"""Models are saved, loaded in a precision, and uploaded to a server that speaks the hub's protocol of uploads."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import lexiseg
import tiny
from lexiseg.cli.main import app
from lexiseg.core.devices import computing
from lexiseg.core.errors import DeviceError, ModelError
from lexiseg.evaluation.report import EvaluationSettings, jsonable_settings
from lexiseg.inference.predictor import Model
from lexiseg.io.checkpoint import stored_precision

WORDS = "cat, dog, sky:stuff"


def picture() -> Any:
    rng = torch.Generator().manual_seed(0)
    return (torch.rand(64, 96, 3, generator=rng) * 255).to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny.model())


def test_what_is_saved_is_loaded_by_either_name(model: Model, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "mine")

    for again in (lexiseg.load(folder, device="cpu"), Model.from_pretrained(str(folder), device="cpu")):
        assert tiny.same(tiny.state(again.network), tiny.state(model.network))
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    with pytest.raises(ModelError, match="not empty"):
        model.save_pretrained(folder)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 2.0**-11), ("bf16", 2.0**-8)])
def test_half_precision_halves_the_folder_and_loads_as_float32(
    model: Model, tmp_path: Path, precision: Any, bound: float
) -> None:
    whole, half = (
        model.save_pretrained(tmp_path / "whole"),
        model.save_pretrained(tmp_path / "half", precision=precision),
    )

    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert 0.5 < sizes[1] / sizes[0] < 0.6  # names and shapes stay as long
    assert (stored_precision(whole), stored_precision(half)) == ("float32", precision)
    for name, value in lexiseg.load(half, device="cpu").network.state_dict().items():
        exact = model.network.state_dict()[name]
        assert value.dtype == exact.dtype
        assert torch.allclose(value, exact, rtol=bound, atol=2.0**-24)


def test_a_card_that_is_given_is_kept(model: Model, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "mine", card="# My own\n")

    assert (folder / "README.md").read_text() == "# My own\n"


@pytest.mark.parametrize("build", [tiny.model, tiny.ovseg, tiny.fcclip])
def test_bf16_answers_nearly_as_float32_and_hands_on_float32(build: Any) -> None:
    network = build()
    words = tiny.words(network, WORDS)
    images = tiny.pictures()

    with torch.no_grad():
        exact = network(images, words)
        with computing(torch.device("cpu"), "bf16"):
            found = network(images, words)

    for name in ("mask_logits", "class_logits", "void_probs", "iou_scores"):
        assert getattr(found, name).dtype == torch.float32
        assert bool(getattr(found, name).isfinite().all() | ~getattr(exact, name).isfinite().all())
    off = (found.mask_logits - exact.mask_logits).norm() / exact.mask_logits.norm()
    assert 0 < off < 0.1, off


def test_a_model_computes_in_the_precision_that_it_was_loaded_with(model: Model, tmp_path: Path) -> None:
    seen: list[bool] = []
    half = Model(tiny.model(), precision="bf16")
    for one in (model, half):
        hook = one.network.segmenter.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
        one.segment(picture(), WORDS)
        one.find(picture(), WORDS)
        hook.remove()

    assert seen == [False, False, True, True]
    encoded = half.encode(half.read(WORDS))
    assert torch.equal(encoded.text_embed, model.encode(model.read(WORDS)).text_embed)


def test_an_evaluation_computes_and_says_what_its_model_was_loaded_in() -> None:
    half = lexiseg.load(device="cpu", precision="bf16")

    found = lexiseg.evaluate(half, "storybook", count=1)
    other = lexiseg.evaluate(half, "storybook", count=1, settings=EvaluationSettings(precision="float32"))

    assert (found.settings.precision, other.settings.precision) == ("bf16", "float32")
    # what a resumed evaluation must have in common with the one that it goes on with
    assert jsonable_settings(found.settings) != jsonable_settings(other.settings)


def test_fp16_on_a_cpu_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"fp16 is computed on a GPU only.*take bf16 or float32"):
        lexiseg.load(tmp_path / "nowhere", device="cpu", precision="fp16")


@dataclass
class Hub:
    """What was uploaded, and how the server answers."""

    endpoint: str = ""
    status: int = 200
    is_private: bool = True
    made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server that takes uploads as the hub does where files are small enough to go with the commit itself."""
    from huggingface_hub import constants

    told = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.answer({"id": self.path.removeprefix("/api/models/"), "private": told.is_private})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.tokens.add(self.headers.get("Authorization"))
            if self.path.endswith("/repos/create"):
                told.made.append(json.loads(body))
                self.answer({"url": f"{told.endpoint}/owner/name"})
            elif "/preupload/" in self.path:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for file in json.loads(body)["files"]
                ]
                self.answer({"files": files})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "header":
                        told.commits.append(line["value"]["summary"])
                    else:
                        told.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                where = f"{told.endpoint}/owner/name/commit/{'0' * 40}"
                self.answer({"success": True, "commitOid": "0" * 40, "commitUrl": where, "pullRequestUrl": None})
            else:
                self.answer({})

        def answer(self, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(told.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", told.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_is_uploaded_whole_in_one_commit(model: Model, hub: Hub, tmp_path: Path) -> None:
    address = model.push_to_hub(
        "owner/name", private=True, token="hf_secret", commit_message="Better words", precision="fp16"
    )

    assert address == f"{hub.endpoint}/owner/name"
    (made,) = hub.made
    assert (made["organization"], made["name"]) == ("owner", "name")
    assert made.get("private") or made.get("visibility") == "private"  # as the client's version says it
    assert (hub.commits, hub.tokens) == (["Better words"], {"Bearer hf_secret"})
    for name, content in hub.files.items():
        (tmp_path / name).write_bytes(content)
    again = lexiseg.load(tmp_path, device="cpu")
    assert stored_precision(tmp_path) == "fp16"
    assert again.network.config == model.network.config
    card = (tmp_path / "README.md").read_text()
    assert "# owner/name" in card
    assert 'lexiseg.load("owner/name")' in card


def test_a_folder_is_uploaded_by_a_command_as_it_is_stored(model: Model, hub: Hub, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "mine", precision="bf16", card="# My own\n")

    done = CliRunner().invoke(app, ["push", str(folder), "owner/name"], catch_exceptions=False)

    assert done.exit_code == 0, done.stderr
    assert f"{hub.endpoint}/owner/name holds it" in done.stdout
    assert hub.files["README.md"] == b"# My own\n"
    assert hub.files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert not hub.made[0].keys() & {"private", "visibility"}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, r"nobody is logged in .* run 'hf auth login'"),
        (403, r"your token has no right to write there"),
        (404, r"there is no such account"),
        (418, r"the hub refused it \(HfHubHTTPError"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(model: Model, hub: Hub, status: int, sentence: str) -> None:
    hub.status = status

    with pytest.raises(ModelError, match=rf"^'owner/name' was not uploaded: {sentence}[^\n]*\.$"):
        model.push_to_hub("owner/name")
    assert hub.files == {}


def test_a_public_repository_takes_nothing_that_should_be_private(model: Model, hub: Hub) -> None:
    hub.is_private = False

    with pytest.raises(ModelError, match="is there and public: make it private"):
        model.push_to_hub("owner/name", private=True)
    assert hub.files == {}


def test_a_hub_that_is_not_reached_is_one_sentence(model: Model, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"^'owner/name' was not uploaded: [^\n]* can't be reached [^\n]*try again\.$"):
        model.push_to_hub("owner/name")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"^HF_HUB_OFFLINE forbids to upload 'owner/name'; unset it\.$"):
        model.push_to_hub("owner/name")


@pytest.mark.parametrize("name", ["name", "a/b/c", "../name", "owner/na me", ""])
def test_what_is_no_name_of_a_repository_is_refused(model: Model, name: str) -> None:
    with pytest.raises(ModelError, match="is called OWNER/NAME"):
        model.push_to_hub(name)
