"""`lexiseg import`: official weights in, folders out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import ovseg_twin
from command_runs import Run
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.vit import PromptConfig, VitClip, VitConfig
from lexiseg.encoders.segmenters.mask2former import SwinBackbone
from lexiseg.encoders.segmenters.maskformer import MaskFormerConfig
from lexiseg.io.models import load_model, save_model
from lexiseg.io.ovseg.keys import to_official
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.presets import ovseg_swin_base_config
from lexiseg.training.clip.folders import read_clip
from tiny import same, seeded, state

CONFIG = replace(
    ovseg_swin_base_config(),
    segmenter=MaskFormerConfig(
        swin=SwinBackbone(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=3, image_size=384),
        pixel_dim=32,
        mask_dim=16,
        hidden_dim=32,
        decoder_layers=1,
        feedforward_dim=48,
        num_queries=6,
    ),
    clip=VitConfig(
        embed_dim=32,
        width=64,
        layers=2,
        patch_size=16,
        image_size=32,
        text_width=64,
        text_heads=1,
        text_layers=1,
        context_length=24,
        quick_gelu=True,
        prompts=PromptConfig(kind="mask", depth=2),
    ),
    training_vocabulary=Vocabulary.of("cat, dog, sky:stuff"),
    head_hidden=24,
)


@pytest.fixture(scope="module")
def model() -> OVSeg:
    return seeded(OVSeg(CONFIG)).eval()


@pytest.fixture
def checkpoint(model: OVSeg, tmp_path: Path) -> Path:
    weights = {**to_official(model.state_dict()), "criterion.empty_weight": torch.ones(4)}
    torch.save({"model": weights, "iteration": 3}, tmp_path / "ovseg.pth")
    return tmp_path / "ovseg.pth"


def open_clip_state(clip: VitClip) -> dict[str, torch.Tensor]:
    """What the authors' training of CLIP leaves."""
    prompts = {} if clip.prompts is None else {"visual.mask_embedding": clip.prompts.prompt_embed.detach()}
    return {f"module.{name}": value for name, value in (clip.clip.state_dict() | prompts).items()}


def test_a_checkpoint_becomes_a_model_folder(run: Run, checkpoint: Path, model: OVSeg, tmp_path: Path) -> None:
    out = tmp_path / "model"
    ran = run("import", "ovseg", checkpoint, "--out", out, "--vocabulary", "cat, dog, sky:stuff")
    assert ran.code == 0
    assert "tensors of weights; left over, as known buffers: empty_weight." in " ".join(ran.out.split())
    loaded = load_model(out)
    assert loaded.config == CONFIG
    assert same(state(loaded), state(model))

    again = run("import", "ovseg", checkpoint, "--out", out, "--vocabulary", "cat, dog, sky:stuff")
    assert again.code == 1
    assert "is there already; choose another folder or pass --overwrite" in again.err
    replaced = run("import", "ovseg", checkpoint, "-o", out, "-v", "cat, dog, sky:stuff", "--overwrite", "--json")
    num_weights = len(to_official(model.state_dict()))
    assert json.loads(replaced.out) == {
        "model": str(out),
        "weights": num_weights,
        "left_over": ["criterion.empty_weight"],
    }


def test_a_checkpoint_is_verified_against_the_slow_twin(run: Run, tmp_path: Path) -> None:
    """As the next test does against the official program's own outputs, where the shared data is."""
    sizes, names = ovseg_twin.Sizes(), ("red fox", "grass", "a very old boat", "sky", "Eiffel tower", "owl")
    weights = ovseg_twin.checkpoint(sizes, 4)
    torch.save({"model": weights}, tmp_path / "checkpoint.pth")
    reference = ovseg_twin.answer(weights, sizes, ovseg_twin.picture(), names)
    save_file({key: value.contiguous() for key, value in reference.items()}, tmp_path / "io.safetensors")
    files = (tmp_path / "checkpoint.pth", "--verify", tmp_path / "io.safetensors", "-v", "cat, dog, owl, sky:stuff")

    asks = run("import", "ovseg", *files, "--out", tmp_path / "none")
    assert asks.code == 1
    assert 'list them as "class_names"' in asks.err
    (tmp_path / "config.json").write_text(json.dumps(ovseg_twin.settings(sizes, names)))
    ran = run("import", "ovseg", *files, "--config", tmp_path / "config.json", "--out", tmp_path / "model")
    assert ran.code == 0
    assert "clip_logits" in ran.out
    assert "100.000" in ran.out


def test_the_golden_checkpoint_is_verified(run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "ovseg-tiny"
    files = (golden / "checkpoint_fp16.pth", "--verify", golden / "io.safetensors")
    ran = run("import", "ovseg", *files, "--config", golden / "config.json", "--out", tmp_path / "model")
    assert ran.code == 0
    assert "clip_logits" in ran.out
    assert "100.000" in ran.out
    assert "too" not in ran.out

    # Without the configuration the published model's eight heads are assumed, where this one has four.
    wrong = run("import", "ovseg", *files, "--out", tmp_path / "wrong", "--json")
    assert wrong.code == 1
    assert "differs from the reference" in wrong.err
    found = json.loads(wrong.out)["verification"]
    assert not found["holds"]
    assert found["differences"]["backbone.res5"]["alone"] <= 1e-3 < found["differences"]["mask_logits"]["alone"]
    assert found["agreements"].keys() == {"sem_seg", "sem_seg_no_ensemble"}


def test_what_cannot_be_imported_leaves_nothing_behind(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "reference.safetensors").write_bytes(b"none")
    for arguments in (
        (tmp_path / "none.pth",),
        (checkpoint,),  # three classes, not COCO-Stuff's 171
        (checkpoint, "--config", tmp_path / "none.json"),
        (checkpoint, "--vocabulary", "cat, dog, sky", "--verify", tmp_path / "reference.safetensors"),
    ):
        ran = run("import", "ovseg", *arguments, "--out", tmp_path / "model")
        assert ran.code == 1
        assert ran.err.startswith("lexiseg: ")
        assert len(ran.err.splitlines()) == 1
        assert not (tmp_path / "model").exists()


def test_a_reference_without_words_asks_for_them(run: Run, shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "ovseg-tiny"
    (tmp_path / "io.safetensors").write_bytes((golden / "io.safetensors").read_bytes())
    ran = run(
        *("import", "ovseg", golden / "checkpoint_fp16.pth", "--verify", tmp_path / "io.safetensors"),
        *("--out", tmp_path / "model"),
    )
    assert ran.code == 1
    assert 'list them as "class_names"' in ran.err


def test_an_adapted_clip_becomes_a_clip_folder(run: Run, model: OVSeg, tmp_path: Path) -> None:
    torch.save({"state_dict": open_clip_state(model.clip), "epoch": 5}, tmp_path / "clip.pt")
    ran = run("import", "clip", tmp_path / "clip.pt", "--out", tmp_path / "clip")
    assert ran.code == 0
    found = read_clip(tmp_path / "clip")
    assert found.config == CONFIG.clip
    assert same(state(found), state(model.clip))


def test_an_adapted_clip_takes_the_place_of_a_models_own(run: Run, model: OVSeg, tmp_path: Path) -> None:
    folder = save_model(model, tmp_path / "model")
    adapted = VitClip(replace(CONFIG.clip, prompts=None))
    adapted.load_state_dict(state(model.clip), strict=False)
    with torch.no_grad():
        adapted.visual.proj.mul_(2)
    torch.save(open_clip_state(adapted), tmp_path / "full.pt")
    prompts = torch.full((1, CONFIG.clip.num_patches, CONFIG.clip.width), 0.5)
    torch.save({"visual.mask_embedding": prompts}, tmp_path / "prompts.pt")

    first = run("import", "clip", tmp_path / "full.pt", "--model", folder, "--out", tmp_path / "first")
    assert first.code == 0
    found = load_model(tmp_path / "first")
    assert isinstance(found, OVSeg)
    assert found.clip.prompts is None
    assert same(state(found.clip), state(adapted))
    assert same(state(found.segmenter), state(model.segmenter))

    second = run("import", "clip", tmp_path / "prompts.pt", "--model", tmp_path / "first", "--out", tmp_path / "second")
    assert second.code == 0
    found = load_model(tmp_path / "second")
    assert isinstance(found, OVSeg)
    assert torch.equal(found.clip.prompt_parameters[0], prompts)
    assert same(state(found.clip.clip), state(adapted.clip))


def test_a_clip_that_does_not_fit_ends_in_a_sentence(
    run: Run, model: OVSeg, checkpoint: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = save_model(model, tmp_path / "model")
    torch.save({"visual.mask_embedding": torch.zeros(1, 9, 64)}, tmp_path / "prompts.pt")
    torch.save(open_clip_state(seeded(VitClip(CONFIG.clip), seed=5)), tmp_path / "other.pt")
    for arguments, said in (
        ((tmp_path / "prompts.pt",), "name a model that has it with --model"),
        ((tmp_path / "prompts.pt", "--model", folder), "for 9 patches of width 64, but the CLIP has 4"),
        ((tmp_path / "other.pt", "--model", folder), "the text tower that the model was trained with"),
        ((tmp_path / "other.pt", "--model", tiny_folder), "must name a model whose CLIP sees masked crops"),
        ((checkpoint,), "expected an open_clip checkpoint"),
    ):
        ran = run("import", "clip", *arguments, "--out", tmp_path / "out")
        assert ran.code in (1, 2)
        assert said in ran.err
        assert not (tmp_path / "out").exists()
