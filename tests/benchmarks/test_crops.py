"""The benchmark of crops counts and encodes what it says."""

import sys
from pathlib import Path

import pytest
import torch

import tiny
from lexiseg.encoders.clip.vit import VitClip

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import crops


@pytest.fixture(autouse=True)
def tiny_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ViT of any name is the smallest one."""
    monkeypatch.setattr(crops, "build_vit", lambda name: VitClip(tiny.VIT).eval())


def test_every_25th_proposal_is_empty_and_the_rest_have_pixels() -> None:
    masks = crops.propose(50, (96, 128))[0]
    assert [place for place, mask in enumerate(masks) if (mask < 0).all()] == [24, 49]
    shares = [(mask > 0).float().mean().item() for mask in masks]
    assert max(shares) > 0.2


@pytest.mark.parametrize(("passes", "encoded"), [(None, 24), (2, 10)])
def test_a_job_encodes_each_mask_that_has_a_pixel_up_to_its_passes(passes: int | None, encoded: int) -> None:
    job = crops.Job("any", proposals=25, crops_per_pass=5, shortest=96, threads=torch.get_num_threads(), passes=passes)
    found = crops.encode(job)
    assert found.crops == encoded
    assert found.total.wall >= 0.9 * found.per_crop.wall * encoded
    assert found.peak > found.weights > 0


def test_a_line_has_the_ratio_of_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    job = crops.Job("any", proposals=10, crops_per_pass=5, shortest=64, threads=torch.get_num_threads(), passes=None)
    encoding = crops.encode(job)
    crops.compare("any", [10], crops.one_picture(64), encoding, rounds=1)
    cells = capsys.readouterr().out.split()
    assert cells[:3] == ["any", "10", str(encoding.crops)]
    assert "measured" in cells
    assert cells[-1].endswith("%")
