"""Hostile and broken files of CLIPs: each one sentence, nothing run, no memory for what is only claimed."""

import json
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lexiseg.encoders.clip.published import read_clip
from lexiseg.encoders.clip.vit import VitClip
from tiny import VIT, seeded

CONFIG = replace(VIT, prompts=None, head_width=64, text_width=64, text_heads=1)
STATE: dict[str, Tensor] = seeded(VitClip(CONFIG)).clip.state_dict()


class Global(str):
    """Pickled as a reference to "module name", whatever that is."""


class Writer(pickle._Pickler):
    """Writes a tree of dicts and tensors as TorchScript writes modules, with any lies about storages."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_global_(self, one: Global) -> None:
        self.write(b"c" + one.replace(" ", "\n").encode() + b"\n")

    dispatch[Global] = save_global_

    def persistent_id(self, obj: object) -> Any:
        return obj.about if isinstance(obj, Stored) else None

    def module(self, fields: dict[str, Any]) -> None:
        self.write(b"c__torch__.x\nModule\n)\x81}(")
        for name, value in fields.items():
            self.save(name)
            self.module(value) if isinstance(value, dict) else self.save(value)
        self.write(b"ub")


class Stored:
    def __init__(self, key: str, length: int, kind: str = "FloatStorage") -> None:
        self.about = ("storage", Global(f"torch {kind}"), key, "cpu", length)


class Rebuilt:
    def __init__(self, storage: Stored, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> None:
        self.args = (storage, offset, size, stride, False, OrderedDict())


def _save_rebuilt(writer: Writer, one: Rebuilt) -> None:
    writer.save(Global("torch._utils _rebuild_tensor_v2"))
    writer.save(one.args)
    writer.write(b"R")


Writer.dispatch[Rebuilt] = _save_rebuilt


def archive(
    path: Path,
    fields: dict[str, Any],
    storages: dict[str, bytes],
    *,
    packed: bool = False,
    tail: bytes = b".",
    head: bytes = b"\x80\x02",
) -> None:
    """Writes a TorchScript archive by hand, with a program that would print if it were run."""
    with (path.with_suffix(".pkl")).open("wb") as file:
        writer = Writer(file, protocol=2)
        writer.write(head)
        writer.module(fields)
        writer.write(tail)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as whole:
        whole.writestr("x/data.pkl", path.with_suffix(".pkl").read_bytes())
        whole.writestr("x/constants.pkl", b"\x80\x02).")
        whole.writestr("x/code/__torch__/x.py", "print('run')\n")
        for key, content in storages.items():
            whole.writestr(f"x/data/{key}", content)


def one(length: int = 4, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), **more: Any) -> dict[str, Any]:
    return {"weight": Rebuilt(Stored("0", length, **more), size, stride)}


def edited(**changes: Tensor | None) -> dict[str, Tensor]:
    state = {**STATE, **{name: value for name, value in changes.items() if value is not None}}
    return {name: value for name, value in state.items() if name not in changes or changes[name] is not None}


class Program:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run",)


FLOATS = bytes(16)
HUGE = 1 << 40
ARCHIVES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a foreign name": (lambda p: archive(p, {"a": Global("builtins print")}, {}), "asks for 'builtins.print'"),
    "a foreign name that is called": (
        lambda p: archive(p, {"a": Global("os system")}, {}, tail=b"cos\nsystem\n(X\x08\x00\x00\x00echo runtR."),
        "asks for 'os.system'",
    ),
    "an instruction of other pickles": (
        lambda p: archive(p, one(), {"0": FLOATS}, tail=b"i__torch__\nx\n."),
        "has the instruction INST",
    ),
    "a memo of gigabytes": (
        lambda p: archive(p, one(), {"0": FLOATS}, tail=b"r\xff\xff\xff\x7f."),
        "has the instruction LONG_BINPUT",
    ),
    "more than the storage has": (
        lambda p: archive(p, one(length=HUGE, size=(HUGE,)), {"0": FLOATS}),
        "describes a storage of another size",
    ),
    "a shape beyond the storage": (
        lambda p: archive(p, one(size=(1 << 20, 1 << 20), stride=(0, 0)), {"0": FLOATS}),
        "larger than its storage",
    ),
    "an offset beyond the storage": (
        lambda p: archive(p, {"weight": Rebuilt(Stored("0", 4), (4,), (1,), 1)}, {"0": FLOATS}),
        "larger than its storage",
    ),
    "a negative stride": (lambda p: archive(p, one(stride=(-1,)), {"0": FLOATS}), "impossible shape"),
    "a storage that is not there": (lambda p: archive(p, one(), {}), "lacks the storage '0'"),
    "a type that no storage has": (lambda p: archive(p, one(kind="ObjectStorage"), {"0": FLOATS}), "asks for 'torch"),
    "bytes that are packed": (
        lambda p: archive(p, one(1 << 20, (1 << 20,)), {"0": bytes(4 << 20)}, packed=True),
        "claims to hold more bytes than the file has",
    ),
    "modules in a circle": (
        lambda p: archive(p, {"a": {}}, {}, tail=b"q\x00}X\x04\x00\x00\x00selfh\x00sb."),
        "holds no CLIP",
    ),
    "a file that is cut off": (
        lambda p: (archive(p, one(), {"0": FLOATS}), p.write_bytes(p.read_bytes()[:150])),
        "cannot read weights",
    ),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_lies_ends_in_one_sentence_and_runs_nothing(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write, told = ARCHIVES[case]
    write(tmp_path / "RN50.pt")

    assert_refused(tmp_path / "RN50.pt", told, capfd)


def assert_refused(path: Path, told: str, capfd: pytest.CaptureFixture[str], **given: Any) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=told) as caught:
        read_clip(path, **given)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "run" not in capfd.readouterr().out
    assert most < 64 << 20


def folder_of(model: object, state: dict[str, Tensor] = STATE) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
        save_file(state, path / "open_clip_model.safetensors")

    return write


SIZES: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"layers": 3, "width": 64, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


def vision(**changes: Any) -> dict[str, Any]:
    return SIZES | {"vision_cfg": SIZES["vision_cfg"] | changes}


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle that would run": (lambda p: torch.save({"a": Program()}, p), "holds more than tensors"),
    "a web page": (lambda p: p.write_text("<!DOCTYPE html><html>Sign in</html>"), "is a web page"),
    "a pointer of Git-LFS": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a Git-LFS pointer",
    ),
    "NaN": (
        lambda p: torch.save(edited(**{"ln_final.bias": torch.full((64,), torch.nan)}), p),
        "has NaN or infinity in ln_final.bias",
    ),
    "whole numbers": (
        lambda p: torch.save(edited(**{"ln_final.bias": torch.zeros(64, dtype=torch.int64)}), p),
        "has whole numbers in ln_final.bias",
    ),
    "a weight too few": (lambda p: torch.save(edited(**{"ln_final.bias": None}), p), "lacks ln_final.bias"),
    "a weight too many": (lambda p: torch.save(edited(more=torch.zeros(1)), p), "holds the unknown more"),
    "one number stretched": (
        lambda p: torch.save(edited(positional_embedding=torch.zeros(1).expand(1 << 30, 64)), p),
        "has fewer numbers than it says",
    ),
    "a CLIP of transformers": (
        lambda p: torch.save({"vision_model.embeddings.class_embedding": torch.zeros(1)}, p),
        "holds a CLIP in transformers' layout",
    ),
    "an EVA": (
        lambda p: torch.save({"visual.trunk.rope.freqs": torch.zeros(1)}, p),
        "image tower is another one of timm",
    ),
    "no weights in the folder": (lambda p: p.mkdir(), "holds no open_clip_model.safetensors or"),
    "sizes of another model": (folder_of(vision(layers=4)), r"don't fit open_clip_config.json: the file has layers 3"),
    "absurd sizes": (folder_of(vision(layers=10**9)), "layers is '1000000000'"),
    "negative sizes": (folder_of(vision(width=-64)), "width is '-64'"),
    "sizes of text": (folder_of(vision(width="wide")), "width is 'wide'"),
    "no sizes": (folder_of([1]), 'expected "model_cfg"'),
    "half the sizes": (folder_of({"embed_dim": 32}), "expected vision_cfg and text_cfg"),
    "a tower to be fetched": (folder_of(vision(timm_model_name="hf-hub:who/ever")), "timm's 'hf-hub:who/ever'"),
    "a text tower to be fetched": (
        folder_of(SIZES | {"text_cfg": {"hf_model_name": "who/ever"}}),
        "with a text tower of transformers",
    ),
    "an unknown part": (folder_of(vision(wormhole=3)), "with 'wormhole'"),
    "another activation": (folder_of(SIZES | {"quick_gelu": "yes"}), "quick_gelu is 'yes'"),
    "heads that do not divide": (folder_of(vision(head_width=48)), "width must be a multiple of head_width"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_or_folder_that_is_no_such_clip_ends_in_one_sentence(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write, told = FILES[case]
    write(tmp_path / "clip.pt")

    assert_refused(tmp_path / "clip.pt", told, capfd)


def test_the_same_folder_without_lies_is_read(tmp_path: Path) -> None:
    folder_of(SIZES)(tmp_path / "clip")

    assert read_clip(tmp_path / "clip").config == CONFIG
    archive(tmp_path / "x.pt", {"visual": one(), "inner": {"deep": one()}}, {"0": FLOATS})
    with pytest.raises(ValueError, match="image tower of an unknown kind"):
        read_clip(tmp_path / "x.pt")
