"""A server on this machine that speaks the Hugging Face hub's protocol, and models in the published layouts for it.

It answers what huggingface_hub asks: HEAD and GET of /owner/name/resolve/REVISION/FILE with ETag, X-Repo-Commit,
X-Linked-Size and ranges, /api/models/owner/name with the list of files, and the hub's own error codes. Requests are
counted, and what it does wrong can be chosen.
"""

import functools
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "85b535940275c3bf51bd1f42e8d1e9e2c3a1b0de"
OTHER_COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
"""Bytes from which a file is stored as LFS: its ETag is a SHA-256."""


@dataclass
class Repository:
    """One model on the server."""

    files: dict[str, bytes | Path] = field(default_factory=dict)
    commit: str = COMMIT
    licence: str | None = "other"
    gated: bool = False
    private: bool = False
    claimed: dict[str, int] = field(default_factory=dict)
    """Sizes that are claimed instead of the true ones."""
    etags: dict[str, str] = field(default_factory=dict)
    """ETags that are told instead of the true ones."""
    cut: dict[str, int] = field(default_factory=dict)
    """Bytes of a file after which every connection breaks."""
    pause: dict[str, float] = field(default_factory=dict)
    """Seconds to wait before every 64 kB of a file."""
    status: int | None = None
    """What is answered to everything."""
    location: str | None = None
    """Where every resolve is sent on to."""

    lacks: str = ""
    """What its list leaves out: "sizes", the "names" of files, or the whole "list", whose errors say nothing."""

    def content(self, file: str) -> bytes:
        found = self.files[file]
        return found.read_bytes() if isinstance(found, Path) else found

    def etag(self, file: str) -> str:
        found = self.files[file]
        return self.etags.get(file) or (_etag_of_file(found) if isinstance(found, Path) else _etag(found))

    def size(self, file: str) -> int:
        found = self.files[file]
        return self.claimed.get(file, found.stat().st_size if isinstance(found, Path) else len(found))


def _etag(content: bytes) -> str:
    """A SHA-256 where the hub keeps a file as LFS."""
    return (hashlib.sha256 if len(content) >= LARGE else hashlib.sha1)(content).hexdigest()


@functools.cache
def _etag_of_file(path: Path) -> str:
    return _etag(path.read_bytes())


@dataclass
class Hub:
    """The running server."""

    endpoint: str
    repositories: dict[str, Repository]
    asked: list[str] = field(default_factory=list)
    """Every request, as in "HEAD /owner/name/resolve/main/config.json"."""
    sent: int = 0
    """Bytes of files."""

    def add(self, name: str, files: dict[str, bytes | Path], **about: Any) -> Repository:
        self.repositories[name] = Repository(files=files, **about)
        return self.repositories[name]

    def add_folder(self, name: str, folder: Path, **about: Any) -> Repository:
        _ = [_etag_of_file(path) for path in folder.iterdir()]  # now, and not while somebody waits
        return self.add(name, {path.name: path for path in sorted(folder.iterdir())}, **about)

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to take this server for the hub, with a cache of its own."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_CACHE": str(home / "hf" / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "LEXISEG_CACHE": str(home / "lexiseg"),
        }


def use(hub: Hub, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Makes this process take the server for the hub, with an empty cache of its own."""
    from huggingface_hub import constants

    for name, value in hub.environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("lexiseg.io.hub._TRIES", 2)


@contextmanager
def running() -> Iterator[Hub]:
    """Runs the server as long as the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = Hub(endpoint=f"http://127.0.0.1:{server.server_address[1]}", repositories={})
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(is_head=True)

    def do_GET(self) -> None:
        self._answer(is_head=False)

    def _answer(self, *, is_head: bool) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {path}")
        listed = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path)
        resolved = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = listed or resolved
        repository = hub.repositories.get(found[1]) if found else None
        if repository is None or repository.private:
            self._end(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif repository.status is not None:
            self._end(repository.status, {})
        elif listed and repository.lacks != "list":
            self._list(found[1], repository)
        elif repository.gated:
            self._end(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted"})
        elif repository.location is not None:
            self._end(302, {"Location": repository.location, "X-Repo-Commit": repository.commit})
        elif resolved and resolved[3] in repository.files:
            self._send(repository, resolved[3], is_head=is_head)
        elif repository.lacks == "list":
            self._end(404, {})
        else:
            self._end(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.commit})

    def _list(self, name: str, repository: Repository) -> None:
        sizes = {} if repository.lacks == "names" else {file: repository.size(file) for file in repository.files}
        siblings = [
            {"rfilename": file} | ({} if repository.lacks == "sizes" else {"size": size})
            for file, size in sizes.items()
        ]
        tags = [] if repository.licence is None else [f"license:{repository.licence}"]
        document = {"id": name, "modelId": name, "sha": repository.commit, "tags": tags, "siblings": siblings}
        self._end(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _send(self, repository: Repository, file: str, *, is_head: bool) -> None:
        size, content = repository.size(file), b"" if is_head else repository.content(file)
        headers = {"ETag": f'"{repository.etag(file)}"', "X-Repo-Commit": repository.commit, "X-Linked-Size": str(size)}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        body = content[start:]
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send_response(206 if start else 200)
        for key, value in {**headers, "Content-Length": str(size if is_head else len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if is_head:
            return
        for place in range(0, len(body), 1 << 16):
            if file in repository.pause:
                threading.Event().wait(repository.pause[file])
            part = body[place : place + (1 << 16)]
            if file in repository.cut and start + place + len(part) > repository.cut[file]:
                self.wfile.write(part[: max(0, repository.cut[file] - start - place)])
                self.close_connection = True
                return
            try:
                self.wfile.write(part)
            except OSError:  # the reader has been killed
                return
            self.server.hub.sent += len(part)  # type: ignore[attr-defined]

    def _end(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def put_segmenter(folder: Path, **sizes: Any) -> Path:
    """A Mask2Former in transformers' layout with the published file names, tiny, with random weights."""
    import torch

    import tiny
    from lexiseg.encoders.segmenters.mask2former import Segmenter
    from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former

    names = ("person", "cat", "sky-other-merged")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        segmenter = Segmenter(tiny.RESNET)
        weight = torch.randn(len(names) + 1, tiny.RESNET.hidden_dim)
    write_mask2former(
        folder,
        tiny.RESNET,
        segmenter.state_dict(),
        class_weight=weight,
        class_bias=torch.zeros(len(names) + 1),
        names=names,
    )
    return folder


def put_clip(folder: Path) -> Path:
    """A CLIP as open_clip's repositories have them, tiny, with random weights."""
    import torch
    from safetensors.torch import save_file

    import tiny
    from lexiseg.encoders.clip.resnet import Clip

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        clip = Clip(tiny.CLIP)
    weights = {name: value.clone() for name, value in clip.clip.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    sizes = tiny.CLIP
    document = {
        "model_cfg": {
            "embed_dim": sizes.embed_dim,
            "quick_gelu": True,
            "vision_cfg": {
                "layers": list(sizes.layers),
                "width": sizes.width,
                "head_width": sizes.head_width,
                "image_size": sizes.image_size,
            },
            "text_cfg": {
                "context_length": sizes.context_length,
                "vocab_size": 49408,
                "width": sizes.text_width,
                "heads": sizes.text_heads,
                "layers": sizes.text_layers,
            },
        }
    }
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    return folder


Change = Callable[[Repository], None]
