"""Fetching from the hub, against a server on this machine that speaks its protocol."""

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

import hub_server
from hub_server import COMMIT, Hub
from lexiseg.core.errors import ModelError
from lexiseg.io.finding import find_folder
from lexiseg.io.hub import cached_folder, fetch
from lexiseg.io.hub_messages import hub_cache

NAME = "owner/segmenter"


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_server.put_segmenter(tmp_path_factory.mktemp("published") / "segmenter")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.running() as server:
        hub_server.use(server, monkeypatch, tmp_path / "home")
        yield server


def left(folder: Path) -> list[str]:
    """What lies in the cache beside finished blobs, links, and locks."""
    return [path.name for path in folder.rglob("*.incomplete")]


def test_only_what_is_needed_is_taken_and_is_said_before(
    hub: Hub, segmenter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = (segmenter / "model.safetensors").read_bytes()
    more = {
        "README.md": b"a card",
        "pytorch_model.bin": weights,
        "modeling_own.py": b"raise SystemExit",
        "big.pth": weights,
    }
    hub.add_folder(NAME, segmenter).files.update(more)

    with caplog.at_level(logging.WARNING):
        fetched = fetch(NAME)

    assert sorted(path.name for path in fetched.folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (fetched.folder / "model.safetensors").read_bytes() == weights
    assert (fetched.revision, fetched.folder) == (COMMIT, cached_folder(NAME, COMMIT))
    assert f"Fetching {len(weights) / 1e6:,.0f} MB of {NAME} (revision 85b5359)" in caplog.text.replace("kB", "MB") or (
        f"{len(weights) / 1e3:,.0f} kB" in caplog.text
    )
    assert "licence: by its page 'other'" in caplog.text
    assert left(hub_cache()) == []


def test_a_second_time_the_hub_is_not_asked_and_without_network_it_works(
    hub: Hub, segmenter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder(NAME, segmenter)
    first = fetch(NAME)
    asked = len(hub.asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert fetch(NAME) == first
    assert len(hub.asked) == asked


def test_shards_are_fetched_by_their_index(hub: Hub, segmenter: Path) -> None:
    content = (segmenter / "model.safetensors").read_bytes()
    index = {"weight_map": dict.fromkeys(load_file(segmenter / "model.safetensors"), "model-1.safetensors")}
    config = (segmenter / "config.json").read_bytes()
    files = {
        "config.json": config,
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-1.safetensors": content,
    }
    hub.add(NAME, {**files, "model-2.safetensors": content})

    folder = fetch(NAME).folder

    assert {path.name for path in folder.iterdir()} == files.keys()


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, segmenter: Path) -> None:
    repository = hub.add_folder(NAME, segmenter, cut={"model.safetensors": 200_000})
    size = repository.size("model.safetensors")

    with pytest.raises(
        ModelError, match=r"^the connection broke after 197 kB of model.safetensors .* goes on from there\.$"
    ):
        fetch(NAME)
    assert len(left(hub_cache())) == 1
    assert not list(cached_folder(NAME, COMMIT).glob("model*"))

    repository.cut.clear()
    before = hub.sent
    fetched = fetch(NAME)
    assert hub.sent - before < size - 190_000
    assert (fetched.folder / "model.safetensors").read_bytes() == repository.content("model.safetensors")
    assert left(hub_cache()) == []


FETCH = "import sys; from lexiseg.io.hub import fetch; print(fetch(sys.argv[1]).folder)"


def start(hub: Hub, home: Path) -> "subprocess.Popen[str]":
    environment = os.environ | hub.environment(home)
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, NAME], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_process_leaves_what_the_next_one_goes_on_from(hub: Hub, segmenter: Path, tmp_path: Path) -> None:
    repository = hub.add_folder(NAME, segmenter, pause={"model.safetensors": 0.3})
    size = repository.size("model.safetensors")
    process = start(hub, tmp_path / "home")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in hub_cache().rglob("*.incomplete")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    repository.pause.clear()
    before = hub.sent
    fetched = fetch(NAME)

    assert hub.sent - before < size
    assert (fetched.folder / "model.safetensors").read_bytes() == repository.content("model.safetensors")


def test_two_processes_at_once_fetch_each_file_once(hub: Hub, segmenter: Path, tmp_path: Path) -> None:
    hub.add_folder(NAME, segmenter, pause={"model.safetensors": 0.05})

    both = [start(hub, tmp_path / "home") for _ in range(2)]
    out = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], out
    assert out[0][0] == out[1][0]
    assert sum(one == f"GET /{NAME}/resolve/{COMMIT}/model.safetensors" for one in hub.asked) == 1


def test_a_newer_revision_of_a_whole_model_is_fetched_and_an_unreachable_hub_is_no_hindrance(
    hub: Hub, segmenter: Path
) -> None:
    own = json.dumps({"training_vocabulary": {}}).encode()
    repository = hub.add(NAME, {"config.json": own, "model.safetensors": b"x" * 100})
    assert fetch(NAME).revision == COMMIT

    repository.commit = hub_server.OTHER_COMMIT
    assert fetch(NAME).revision == hub_server.OTHER_COMMIT

    repository.status = 503
    assert fetch(NAME).revision == hub_server.OTHER_COMMIT


def test_a_clip_for_training_is_fetched_as_it_is(hub: Hub, tmp_path: Path) -> None:
    hub.add_folder("owner/clip", hub_server.put_clip(tmp_path / "clip"), licence="mit")

    folder = find_folder("owner/clip")

    assert {path.name for path in folder.iterdir()} == {"open_clip_config.json", "open_clip_model.safetensors"}


def test_the_reasons_differ(hub: Hub, segmenter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_folder("owner/gated", segmenter, gated=True)
    hub.add_folder("owner/busy", segmenter, status=503)
    hub.add(
        "owner/classifier",
        {"config.json": json.dumps({"model_type": "vit", "architectures": ["ViTForImageClassification"]}).encode()},
    )
    hub.add("owner/nothing", {"README.md": b"words"})

    def reason(name: str) -> str:
        with pytest.raises(ModelError) as caught:
            fetch(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert reason("facebook/mask2former-swin-large-coco-panoptik") == (
        "the Hugging Face hub has no model facebook/mask2former-swin-large-coco-panoptik, or it is private: did you "
        "mean facebook/mask2former-swin-large-coco-panoptic or facebook/mask2former-swin-base-coco-panoptic; if it is "
        "yours, log in with 'hf auth login' or set HF_TOKEN."
    )
    assert reason("owner/gated").startswith(
        f"owner/gated is gated: ask for access at {hub.endpoint}/owner/gated, log in"
    )
    assert "answered 503 for owner/busy: try again later" in reason("owner/busy")
    assert reason("owner/classifier").startswith("owner/classifier is an image classifier; models for --model are")
    assert "holds no model (config.json is missing)" in reason("owner/nothing")
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert reason("owner/new").startswith("HF_HUB_OFFLINE forbids the network, and owner/new is not whole in the")
        assert "run 'hf download owner/new' on a machine with a network" in reason("owner/new")
    with monkeypatch.context() as patch:
        dead = "http://127.0.0.1:9"
        patch.setattr("huggingface_hub.constants.ENDPOINT", dead)
        patch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", dead + "/{repo_id}/resolve/{revision}/{filename}"
        )
        assert reason("owner/new").startswith(f"the Hugging Face hub can't be reached at {dead} (ConnectError")


def test_a_full_disk_is_said_before_and_while_it_fills(
    hub: Hub, segmenter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder(NAME, segmenter)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(ModelError, match=r"needs \d+ kB more, but only 1 kB are free .* set HF_HOME"):
            fetch(NAME)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lexiseg.io.hub._receive_once", full)
    with pytest.raises(ModelError, match=r"^the disk is full at .* the same command goes on from there\.$"):
        fetch(NAME)


@pytest.mark.parametrize("lacks", ["list", "names", "sizes"])
@pytest.mark.parametrize("stored", ["one file", "shards", "pickle"])
def test_a_mirror_without_a_list_of_files_is_asked_file_by_file(
    hub: Hub, segmenter: Path, lacks: str, stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = (segmenter / "model.safetensors").read_bytes()
    index = {"weight_map": dict.fromkeys(load_file(segmenter / "model.safetensors"), "model-1.safetensors")}
    files = {
        "one file": {"model.safetensors": content},
        "shards": {"model.safetensors.index.json": json.dumps(index).encode(), "model-1.safetensors": content},
        "pickle": {"pytorch_model.bin": content},
    }[stored]
    files |= {"config.json": (segmenter / "config.json").read_bytes(), "preprocessor_config.json": b"{}"}
    hub.add(NAME, files, lacks=lacks)

    with caplog.at_level(logging.WARNING):
        folder = fetch(NAME).folder

    assert {path.name for path in folder.iterdir()} == files.keys()
    assert re.search(rf"Fetching \d+ [kM]B of {NAME}", caplog.text)
    with pytest.raises(ModelError, match=r"^the Hugging Face hub has no model owner/none, or it is private: check"):
        fetch("owner/none")
    hub.add("owner/empty", {"config.json": files["config.json"]}, lacks=lacks)
    with pytest.raises(ModelError, match=r"^owner/empty holds no weights in a known layout"):
        fetch("owner/empty")
