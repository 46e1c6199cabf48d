"""Official FC-CLIP checkpoints: a model there and back is the same, and every official key has its place."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lexiseg.core.errors import ModelError
from lexiseg.core.frames import Resizing
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.convnext import ConvNextConfig
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.io.fcclip.checkpoint import NAMES, config_of, export_fcclip, import_fcclip, to_official
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.models.fcclip import FCCLIP
from tiny import CLIP, CONVNEXT, TRAINING, fcclip, pictures, same, state


@pytest.mark.parametrize(
    "clip",
    [CONVNEXT, *(replace(CLIP, dense_stride=32, quick_gelu=quick) for quick in (True, False))],
    ids=["convnext", "resnet", "resnet without QuickGELU"],
)
@torch.no_grad()
def test_an_exported_model_comes_back_and_answers_the_same(clip: Any, tmp_path: Path) -> None:
    """What the golden tests show of true files, for random weights of both kinds."""
    needs_region = isinstance(clip, ClipConfig)
    regime = {"longest_side": 1333, "shortest_side": 800, "resizing": Resizing(rule="detectron2")}
    model = fcclip(clip=clip, fusion=GeometricConfig(needs_region=needs_region), **regime)
    export_fcclip(model, tmp_path / "whole.pth", with_clip=True)
    export_fcclip(model, tmp_path / "published.pth")
    torch.save(model.clip.clip.state_dict(), tmp_path / "clip.pt")
    settings = {"clip": {"open_clip_config": described(clip), "trunk": trunk(clip)}, "mask_former": {"NHEADS": 4}}
    settings["sem_seg_head"] = {"DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS": 4}

    whole = import_fcclip(tmp_path / "whole.pth", settings=settings, vocabulary=TRAINING)
    published = import_fcclip(
        tmp_path / "published.pth", clip=tmp_path / "clip.pt", settings=settings, vocabulary=TRAINING
    )

    assert [one.name for one in published.model.provenance.sources] == ["published.pth", "clip.pt"]
    images = pictures(64, 96, 1)
    words = model.embed_vocabulary(TRAINING, negatives=False)
    for imported in (whole, published):
        assert same(state(imported.model), state(model))
        assert imported.left_over == ("criterion.empty_weight",)
        assert replace(imported.model.config, clip=clip) == model.config
        assert imported.model.provenance.made == "imported from an official checkpoint"
        torch.testing.assert_close(imported.model(images, words).class_logits, model(images, words).class_logits)


def described(clip: Any) -> dict[str, Any]:
    """open_clip's configuration of a CLIP."""
    text = {"context_length": clip.context_length, "width": clip.text_width, "heads": clip.text_heads}
    vision: dict[str, Any]
    if isinstance(clip, ClipConfig):
        vision = {name: getattr(clip, name) for name in ("layers", "width", "head_width", "image_size")}
    else:
        vision = {"timm_model_name": "made_up", "timm_proj": clip.head, "timm_pool": "", "image_size": clip.image_size}
    document = {"embed_dim": clip.embed_dim, "vision_cfg": vision, "text_cfg": text | {"layers": clip.text_layers}}
    return document | {"quick_gelu": clip.quick_gelu}


def trunk(clip: Any) -> dict[str, Any]:
    return {"depths": list(clip.depths), "dims": list(clip.dims)} if isinstance(clip, ConvNextConfig) else {}


FULL_SIZE = {
    "fcclip_convnext_l_cocopan": ConvNextConfig.named("convnext_large_d_320"),
    "fcclip_r50_cocopan": ClipConfig.named("RN50-quickgelu"),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_every_official_key_of_the_full_size_models_has_its_place(name: str, shared: Path) -> None:
    listed = json.loads((shared / "golden" / "official-full-size" / f"{name}.keys.json").read_text())
    there = {key: torch.empty(value["shape"], device="meta") for key, value in listed["keys"].items()}
    clip = {f"backbone.clip_model.{key}": value["shape"] for key, value in listed["clip_keys"].items()}

    config = config_of(there, FULL_SIZE[name], source=name)
    with torch.device("meta"):
        model = FCCLIP(config)
    own = to_official(model, with_clip=True)

    assert {key: list(value.shape) for key, value in own.items()} == {
        key: list(value.shape) for key, value in there.items()
    } | clip
    back = NAMES.from_official(own, model.state_dict())
    assert {key: value.shape for key, value in back.items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert (config.decoder.num_queries, config.decoder.decoder_layers, config.decoder.encoder_layers) == (250, 9, 6)
    assert config.fusion == GeometricConfig(needs_region=isinstance(config.clip, ClipConfig))


def test_settings_that_contradict_the_weights_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    export_fcclip(fcclip(), whole, with_clip=True)
    clip = {"clip": {"open_clip_config": described(CONVNEXT), "trunk": trunk(CONVNEXT)}}
    for settings, complaint in (
        ({"mask_former": {"HIDDEN_DIM": 256}}, "mask_former.HIDDEN_DIM = 256, but the checkpoint"),
        ({"mask_former": {"PRE_NORM": True}}, "mask_former.PRE_NORM = True"),
        ({"mask_former": 3}, "has 3 where a section is expected"),
        ({"fc_clip": {"GEOMETRIC_ENSEMBLE_ALPHA": "much"}}, "'much', where a float is expected"),
        ({"fc_clip": {"GEOMETRIC_ENSEMBLE_ALPHA": 1.5}}, "the configuration is refused"),
        ({"vocabularies": {"train": {"class_names": [3]}}}, "vocabularies.train can't be read"),
    ):
        with pytest.raises(ModelError, match=complaint):
            import_fcclip(whole, settings=clip | settings)
    with pytest.raises(ModelError, match="was trained on 5 classes, but its training vocabulary is to have 2"):
        import_fcclip(whole, settings=clip, vocabulary=Vocabulary.of("cat, dog"))
