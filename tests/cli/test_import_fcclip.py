"""Importing official FC-CLIPs by the command line: the golden sets come out, and what is wrong shows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from command_runs import Run
from lexiseg.io.fcclip.checkpoint import export_fcclip, to_official
from tiny import CONVNEXT, fcclip

GOLDEN = ("fcclip-tiny", "fcclip-rn-tiny")


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("form", ["as published", "as trained"])
def test_the_official_programs_outputs_come_out(name: str, form: str, run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / name
    checkpoint, clip = golden / "checkpoint.pth", ("--clip", golden / "open_clip_pytorch_model.bin")
    if form == "as trained":  # the training program's, with CLIP inside and without the loss's class weights
        weights = torch.load(checkpoint, weights_only=True)["model"]
        inside = torch.load(golden / "open_clip_pytorch_model.bin", weights_only=True)
        whole = weights | {f"backbone.clip_model.{key}": value for key, value in inside.items()}
        del whole["criterion.empty_weight"]
        checkpoint, clip = tmp_path / "whole.pth", ()
        torch.save({"model": whole}, checkpoint)

    files = (checkpoint, *clip, "--verify", golden / "io.safetensors", "--config", golden / "config.json")
    ran = run("import", "fcclip", *files, "--out", tmp_path / "model", "--json")

    found = json.loads(ran.out)["verification"]
    compared = found["differences"].keys() | found["agreements"].keys()
    assert (ran.code, found["holds"]) == (0, True)
    assert load_file(golden / "io.safetensors").keys() - compared == {"image"}
    assert min(value["in_a_row"] for value in found["agreements"].values()) > 0.9999
    assert {
        key: value for key, value in found["agreements"].items() if "panoptic" in key and value["in_a_row"] < 1
    } == {}


def test_a_wrong_weight_shows_where_it_works_and_the_exit_code_tells(run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / GOLDEN[0]
    content = torch.load(golden / "checkpoint.pth", weights_only=True)
    content["model"]["sem_seg_head.predictor.logit_scale"] += 0.1
    torch.save(content, tmp_path / "wrong.pth")
    files = ("--clip", golden / "open_clip_pytorch_model.bin", "--verify", golden / "io.safetensors")

    ran = run("import", "fcclip", tmp_path / "wrong.pth", *files, "--out", tmp_path / "model")

    lines = {line.split()[0]: line for line in ran.out.splitlines() if line.strip()}
    assert ran.code == 1
    assert "differs from the reference" in ran.err
    assert "too large" in lines["other.class_logits"]
    assert "too large" not in lines["decoder.class_embed"]


def broken(tmp_path: Path, **changes: Tensor | None) -> Path:
    weights: dict[str, Any] = to_official(fcclip(), with_clip=True) | {
        k.replace("__", "."): v for k, v in changes.items()
    }
    torch.save({"model": {key: value for key, value in weights.items() if value is not None}}, tmp_path / "broken.pth")
    return tmp_path / "broken.pth"


def test_bad_files_are_refused_in_a_sentence(run: Run, tmp_path: Path) -> None:
    published = tmp_path / "published.pth"
    export_fcclip(fcclip(), published)
    torch.save(fcclip(clip=replace(CONVNEXT, embed_dim=64)).clip.clip.state_dict(), tmp_path / "other.pt")
    lacking = broken(tmp_path, void_embedding__weight=None)
    cases = (
        ((published,), "holds no CLIP, as the published checkpoints don't: give the CLIP that it was trained with"),
        ((published, "--clip", tmp_path / "other.pt"), "give the CLIP that belongs to it"),
        ((lacking,), "is no checkpoint of FC-CLIP: void_embedding.weight is missing"),
        ((tmp_path / "none.pth",), "there are no weights at"),
        ((tmp_path / "other.pt",), "is no checkpoint of FC-CLIP|holds no CLIP"),
    )
    for arguments, expected in cases:
        ran = run("import", "fcclip", *arguments, "--out", tmp_path / "model")
        assert ran.code == 1
        assert any(part in ran.err for part in expected.split("|")), ran.err
        assert not (tmp_path / "model").exists()
