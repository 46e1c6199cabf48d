"""Broken and hostile repositories: each ends in one sentence, nothing runs, and nothing half-written stays."""

import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import hub_server
from hub_server import Hub, Repository
from lexiseg.core.errors import ModelError
from lexiseg.io.finding import find_model
from lexiseg.io.hub_messages import hub_cache

NAME = "owner/hostile"
WEIGHTS = "model.safetensors"
Change = Callable[[Repository], None]


class _Bomb:
    """A pickle that would leave a mark."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/lexiseg-was-run",)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    hub_server.put_segmenter(root / "segmenter")
    hub_server.put_clip(root / "clip")
    return root


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("lexiseg.io.finding.RN50", "owner/clip")
    with hub_server.running() as server:
        hub_server.use(server, monkeypatch, tmp_path / "home")
        server.add_folder("owner/clip", published / "clip")
        server.add_folder(NAME, published / "segmenter")
        yield server


def config(**changes: Any) -> Change:
    def change(repository: Repository) -> None:
        document = json.loads(repository.content("config.json")) | changes
        repository.files["config.json"] = json.dumps(document).encode()

    return change


def file(name: str, content: bytes) -> Change:
    return lambda repository: repository.files.update({name: content})


def weights(content: bytes) -> Change:
    return file(WEIGHTS, content)


def only(name: str, content: bytes) -> Change:
    """In the place of the weights."""

    def change(repository: Repository) -> None:
        del repository.files[WEIGHTS]
        repository.files[name] = content

    return change


def index(content: Any) -> Change:
    return only(f"{WEIGHTS}.index.json", json.dumps(content).encode())


def about(**changes: Any) -> Change:
    def change(repository: Repository) -> None:
        for name, value in changes.items():
            setattr(repository, name, value)

    return change


def claim(name: str, size: int) -> Change:
    return lambda repository: repository.claimed.update({name: size})


def header(content: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + body


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 866000000\n"
CASES: dict[str, tuple[Change, str]] = {
    "config is a list": (file("config.json", b"[1, 2]"), "must hold an object, got a list"),
    "config is no JSON": (file("config.json", b"{'a': 1}"), "this is no JSON"),
    "config is a web page": (file("config.json", b"<html>login</html>"), "is a web page"),
    "config nests for ever": (file("config.json", b"[" * 100_000), "this is no JSON"),
    "no config": (lambda repository: repository.files.pop("config.json") and None, "config.json is missing"),
    "model_type unknown": (config(model_type="warp"), "is of model_type 'warp'"),
    "model_type is a list": (config(model_type=["mask2former"]), "is of model_type"),
    "an image classifier": (
        config(model_type="vit", architectures=["ViTForImageClassification"]),
        "an image classifier",
    ),
    "a language model": (config(model_type="llama", architectures=["LlamaForCausalLM"]), "a language model"),
    "a CLIP": (config(model_type="clip"), "a CLIP alone"),
    "custom code": (config(model_type="own", auto_map={"AutoModel": "own.Model"}), "is of model_type 'own'"),
    "no labels": (config(id2label={}), "no class names"),
    "labels without numbers": (config(id2label={"a": "cat"}), "not numbered"),
    "absurd width": (config(hidden_dim=2**40), ""),
    "negative layers": (config(decoder_layers=-5), ""),
    "layers of text": (config(decoder_layers="many"), ""),
    "weights are an LFS pointer": (weights(POINTER), "is a Git-LFS pointer"),
    "weights are a web page": (weights(b"<!DOCTYPE html><html>sign in</html>"), "is a web page"),
    "weights are empty": (weights(b""), "cannot read weights"),
    "weights are noise": (weights(bytes(range(256)) * 100), "cannot read weights"),
    "weights with a header of 10 GB": (weights(struct.pack("<Q", 10**10) + b"{}"), "cannot read weights"),
    "weights that lie outside the file": (
        weights(header({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}})),
        "cannot read weights",
    ),
    "a pickle that runs something": (only("pytorch_model.bin", pickle.dumps(_Bomb())), "is not opened"),
    "a pickle of text": (only("pytorch_model.bin", pickle.dumps({"a": "b"})), ""),
    "no weights": (lambda repository: repository.files.pop(WEIGHTS) and None, "holds no weights in a known layout"),
    "shards above the folder": (index({"weight_map": {"a": "../../../etc/passwd"}}), "must lie beside their index"),
    "shards at a root": (index({"weight_map": {"a": "/etc/passwd"}}), "must lie beside their index"),
    "an index that lists itself": (index({"weight_map": {"a": f"{WEIGHTS}.index.json"}}), "must lie beside"),
    "an index without a map": (index({"weights": []}), 'expected "weight_map"'),
    "an index of numbers": (index({"weight_map": {"a": 1}}), 'expected "weight_map"'),
    "shards that are not there": (index({"weight_map": {"a": "model-1.safetensors"}}), "lacks 'model-1.safetensors'"),
    "a shard of 50 GB": (claim(WEIGHTS, 50 * 10**9), "more than any model that is read here has; nothing was fetched"),
    "more bytes than announced": (claim(WEIGHTS, 1000), "should have 1000 bytes"),
    "fewer bytes than announced": (claim(WEIGHTS, 600_000), "should have 600000 bytes"),
    "an ETag with a path": (about(etags={"config.json": "../../../up"}), "does not answer as a Hugging Face hub"),
    "a wrong checksum": (about(etags={WEIGHTS: "0" * 64}), "SHA-256 is not the hub's"),
    "a commit with a path": (about(commit="../../../../up"), "does not answer as a Hugging Face hub"),
    "a circle of addresses": (about(location=f"/{NAME}/resolve/main/config.json"), "without an end"),
    "always busy": (about(status=429), "answered 429"),
    "forbidden": (about(status=403), "answered 403"),
    "gated": (about(gated=True), "is gated"),
    "private": (about(private=True), "or it is private"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_sentence_and_nothing_stays(hub: Hub, tmp_path: Path, case: str) -> None:
    change, part = CASES[case]
    change(hub.repositories[NAME])

    with pytest.raises(ModelError) as caught:
        find_model(NAME)

    told = str(caught.value)
    assert part in told
    assert "\n" not in told
    assert told.endswith(".")
    assert len(told) < 700
    assert not Path("/tmp/lexiseg-was-run").exists()
    home = tmp_path / "home"
    assert [path for path in home.rglob("*") if path.name.endswith((".tmp", ".py")) or ".partial-" in path.name] == []
    assert not list((home / "lexiseg").glob("models/*/config.json"))
    outside = {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*")}
    assert outside <= {"home"}
    assert all(path.resolve().is_relative_to(hub_cache()) for path in hub_cache().rglob("*"))


def test_the_repository_is_good_where_nothing_is_changed(hub: Hub, published: Path) -> None:
    folder = find_model(NAME)

    assert load_file(folder / WEIGHTS).keys() == {"head.class_text"}
