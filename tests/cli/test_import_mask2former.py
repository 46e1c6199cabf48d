"""Importing official Mask2Formers: the golden sets come out, and a wrong weight shows."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Mask2FormerForUniversalSegmentation

from command_runs import Run
from lexiseg.core.errors import ModelError
from lexiseg.core.frames import Frame
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.segmenters.detectron2 import NAMES
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.io.mask2former import import_mask2former
from lexiseg.io.official_outputs import OfficialSettings, output_checks
from lexiseg.io.verification import Check
from lexiseg.models.assemble import assemble
from tiny import CLIP, SWIN, same, seeded, state

GOLDEN = ("mask2former-swin-tiny", "mask2former-r50-tiny")
FILES = ("checkpoint.pth", "model_final_tiny.pkl")


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("file", FILES)
def test_the_official_programs_outputs_come_out(name: str, file: str, run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / name
    files = (golden / file, "--verify", golden / "io.safetensors", "--config", golden / "config.json")
    ran = run("import", "mask2former", *files, "--out", tmp_path / "model", "--json")
    found = json.loads(ran.out)["verification"]

    compared = found["differences"].keys() | found["agreements"].keys()
    assert (ran.code, found["holds"]) == (0, True)
    assert load_file(golden / "io.safetensors").keys() - compared == {"image"}
    assert {name: value for name, value in found["agreements"].items() if value["in_a_row"] < 1} == {}
    worst = {name: one["in_a_row"] for name, one in found["differences"].items() if one["in_a_row"] > 5e-5}
    assert worst.keys() <= {"resized.sem_seg"}  # stored in half precision
    theirs = Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path / "model")
    assert len(theirs.config.id2label) == 9


def test_a_wrong_weight_shows_and_a_wrong_configuration_is_refused(run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / GOLDEN[0]
    content = torch.load(golden / "checkpoint.pth", weights_only=True)
    content["model"]["sem_seg_head.predictor.decoder_norm.weight"] *= 1.5
    torch.save(content, tmp_path / "wrong.pth")
    files = ("--verify", golden / "io.safetensors", "--out", tmp_path / "model")
    wrong = run("import", "mask2former", tmp_path / "wrong.pth", *files)
    settings = json.loads((golden / "config.json").read_text())
    settings["mask_former"]["NHEADS"] = 4
    (tmp_path / "config.json").write_text(json.dumps(settings))
    refused = run(
        *("import", "mask2former", golden / "checkpoint.pth", "--config", tmp_path / "config.json"),
        *("--out", tmp_path / "other"),
    )

    assert wrong.code == refused.code == 1
    assert "differs from the reference" in wrong.err
    lines = {line.split()[0]: line for line in wrong.out.splitlines() if line.strip()}
    assert "too large" in lines["decoder.final_normed"]
    assert "too" not in lines["pixel_decoder.memory.2"]
    assert "mask_former.NHEADS = 4" in refused.err
    assert not (tmp_path / "other").exists()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A random official checkpoint of six classes' rows, one of them no-object."""
    state = {k: v for k, v in seeded(Segmenter(SWIN)).state_dict().items() if ".swin.layernorm." not in k}
    rng = torch.Generator().manual_seed(1)
    head = {"class_predictor.weight": torch.randn(6, 32, generator=rng), "class_predictor.bias": torch.zeros(6)}
    torch.save({"model": NAMES.to_official(state | head)}, tmp_path / "model_final.pth")
    return tmp_path / "model_final.pth"


def test_an_import_is_a_folder_that_assemble_reads_with_the_names_it_was_told(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    told = run(
        "import", "mask2former", checkpoint, "-v", "cat|kitten, dog, owl, sky:stuff, sea:stuff", "--out", tmp_path / "a"
    )
    untold = run("import", "mask2former", checkpoint, "--out", tmp_path / "b")
    again = run("import", "mask2former", checkpoint, "--out", tmp_path / "a")
    few = run("import", "mask2former", checkpoint, "-v", "cat, dog", "--out", tmp_path / "c")

    found = read_mask2former(tmp_path / "a")
    assert (told.code, found.names) == (0, ("cat", "dog", "owl", "sky", "sea"))
    assert "5 classes (cat, dog, owl and 2 more)" in told.out
    assert (untold.code, read_mask2former(tmp_path / "b").names[0]) == (0, "LABEL_0")
    assert (again.code, few.code) == (1, 1)
    assert "is there already" in again.err
    assert "has 5 classes, but 2 names were given" in few.err
    assert not (tmp_path / "c").exists()


def test_a_checkpoint_is_assembled_as_its_import_is(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    names = ("-v", "cat|kitten, dog, owl, sky:stuff, sea:stuff")
    torch.save(seeded(Clip(CLIP)).clip.state_dict(), tmp_path / "clip.pt")
    assert run("import", "mask2former", checkpoint, *names, "--out", tmp_path / "folder").code == 0

    of_file, of_folder = (
        assemble(place, CLIP, tmp_path / "clip.pt", vocabulary=names[1]) for place in (checkpoint, tmp_path / "folder")
    )

    assert same(state(of_file), state(of_folder))
    assert of_file.config == of_folder.config


def test_a_verified_import_says_how_near_it_comes_and_when_it_does_not(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    """A reference that the model itself made; the twin of the golden sets."""
    imported = import_mask2former(checkpoint)
    segmenter = Segmenter(imported.config).eval()
    segmenter.load_state_dict(dict(imported.segmenter))
    image = torch.randint(0, 256, (3, 64, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixel_values = image[None].float() / 255
    with torch.no_grad():
        proposals = segmenter(pixel_values)
        features = segmenter.backbone(_normalised(pixel_values)).feature_maps
    reference = {f"backbone.res{stage}": map_[0] for stage, map_ in zip((2, 3, 4, 5), features, strict=True)}
    logits = proposals.query_embed @ imported.class_weight.T + imported.class_bias
    reference |= {"image": image, "mask_logits": proposals.mask_logits[0], "class_logits": logits[0]}
    save_file({key: value.contiguous() for key, value in reference.items()}, tmp_path / "io.safetensors")
    reference["class_logits"] = reference["class_logits"] + 1e-3
    save_file({key: value.contiguous() for key, value in reference.items()}, tmp_path / "far.safetensors")

    near = run("import", "mask2former", checkpoint, "--verify", tmp_path / "io.safetensors", "--out", tmp_path / "near")
    far = run("import", "mask2former", checkpoint, "--verify", tmp_path / "far.safetensors", "--out", tmp_path / "far")

    assert (near.code, far.code) == (0, 1)
    assert "mask_logits" in near.out
    assert "too" not in near.out
    assert [line.split()[0] for line in far.out.splitlines() if "too large" in line] == ["class_logits"]


def _normalised(pixel_values: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixel_values - mean[:, None, None]) / std[:, None, None]


def outputs(**changes: torch.Tensor) -> list[Check]:
    """Checks of a scene of two things and a stuff, of which the recorded outputs are made by hand."""
    frame = Frame.fit((32, 32), longest=32)
    masks = torch.full((3, 8, 8), -8.0)
    masks[0, :, :4] = masks[1, :4, 4:] = masks[2, 4:, 4:] = 8.0
    probs = torch.tensor([[0.95, 0.02, 0.02, 0.01], [0.9, 0.05, 0.03, 0.02], [0.01, 0.01, 0.97, 0.01]])
    soft = torch.stack([frame.leave(one[None])[0].sigmoid() for one in masks])
    segments = torch.stack([soft[0], soft[1], soft[2]]).mul(probs.max(-1).values[:, None, None]).argmax(0) + 1
    inside = (soft > 0.5).gather(0, (segments - 1)[None])[0]
    order = torch.tensor([1, 0])
    quality = (soft * (soft > 0.5)).flatten(1).sum(1) / (soft > 0.5).flatten(1).sum(1)
    recorded = {
        "sem_seg": torch.einsum("qk,qhw->khw", probs[:, :3], soft),
        "panoptic_seg": (segments * inside).int(),
        "instances.scores": (probs[:, 0] * quality)[order],
        "instances.classes": torch.tensor([0, 0]),
        "instances.masks": (soft[order] > 0.5).to(torch.uint8),
    } | changes
    settings = OfficialSettings(things=frozenset({0, 1}), num_instances=3)
    return output_checks(probs, masks, frame, settings, recorded, segment_classes={1: 0, 2: 0, 3: 2})


def test_outputs_are_made_by_the_official_rules_whatever_the_order_of_their_parts() -> None:
    checks = outputs()

    assert [check.name for check in checks if not check.holds] == []
    assert len(checks) == 5


@pytest.mark.parametrize(
    "name", ["sem_seg", "panoptic_seg", "instances.scores", "instances.classes", "instances.masks"]
)
def test_each_wrong_output_shows(name: str) -> None:
    sizes = {"sem_seg": (3, 32, 32), "panoptic_seg": (32, 32), "instances.masks": (2, 32, 32)}
    wrong = torch.ones(sizes.get(name, (2,)))
    kinds = {"panoptic_seg": torch.int32, "instances.masks": torch.uint8, "instances.classes": torch.int64}

    checks = outputs(**{name: wrong.to(kinds.get(name, torch.float32))})

    assert name in [check.name for check in checks if not check.holds]


def test_a_damaged_reference_or_configuration_ends_in_one_sentence(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    save_file({"image": torch.zeros(3, 8, 8)}, tmp_path / "less.safetensors")
    (tmp_path / "list.json").write_text('{"mask_former": 3}')
    for more in (
        ("--verify", tmp_path / "none.safetensors"),
        ("--verify", tmp_path / "less.safetensors"),
        ("--config", tmp_path / "list.json"),
        ("--config", tmp_path / "none.json"),
    ):
        ran = run("import", "mask2former", checkpoint, *more, "--out", tmp_path / "model")
        assert (ran.code, len(ran.err.splitlines())) == (1, 1), ran.err
        assert not (tmp_path / "model").exists()
    with pytest.raises(ModelError, match="class_names"):
        import_mask2former(checkpoint, settings={"class_names": 3})
