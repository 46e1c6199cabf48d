"""Official checkpoints become models of the same function, and nothing else becomes one.

What needs the official program's outputs skips without the folder of shared data; `test_against_twin.py` holds the same
against a slow twin.
"""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.errors import ModelError
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.vit import PromptConfig, VitConfig
from lexiseg.encoders.colours import IMAGENET
from lexiseg.encoders.segmenters.mask2former import SwinBackbone
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormer, MaskFormerConfig
from lexiseg.io.models import load_model, save_model
from lexiseg.io.ovseg import settings as settings_module
from lexiseg.io.ovseg.checkpoint import config_of, import_ovseg
from lexiseg.io.ovseg.keys import from_official, to_official
from lexiseg.io.ovseg.settings import read_settings
from lexiseg.io.ovseg.verify import read_reference, verify
from lexiseg.models.ovseg import OVSeg, OVSegConfig
from lexiseg.models.presets import ovseg_r101_config, ovseg_swin_base_config
from tiny import pictures, seeded

WORDS = Vocabulary.of("cat, dog, sky:stuff")
CLIP = VitConfig(
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
)
SIZES = {
    "pixel_dim": 32,
    "mask_dim": 16,
    "hidden_dim": 32,
    "decoder_layers": 2,
    "feedforward_dim": 48,
    "num_heads": 8,
    "num_queries": 6,
}
SWIN = SwinBackbone(embed_dim=8, depths=(1, 2, 3, 1), num_heads=(1, 2, 2, 4), window_size=3, image_size=384)
DEEP_RESNET = DeepResNetBackbone(stem_width=4, hidden_sizes=(16, 32, 32, 48), depths=(1, 2, 1, 3), multi_grid=(1, 2, 4))
_NORM = ("weight", "bias", "running_mean", "running_var")
CONFIGS = {
    "swin": replace(
        ovseg_swin_base_config(),
        segmenter=MaskFormerConfig(swin=SWIN, **SIZES),
        clip=CLIP,
        head_hidden=24,
        training_vocabulary=WORDS,
    ),
    "deep resnet": replace(
        ovseg_r101_config(),
        segmenter=MaskFormerConfig(deep_resnet=DEEP_RESNET, **SIZES),
        clip=replace(CLIP, prompts=None),
        head_hidden=24,
        training_vocabulary=WORDS,
    ),
}


def official(config: OVSegConfig) -> dict[str, Tensor]:
    """The checkpoint that the official program would have written, with its buffers."""
    weights = to_official(seeded(OVSeg(config)).state_dict())
    buffers = {"criterion.empty_weight": torch.ones(len(WORDS) + 1), "clip_adapter.pixel_mean": torch.ones(1, 3, 1, 1)}
    if config.segmenter.swin is not None:
        buffers["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9, dtype=torch.long)
    return weights | buffers


@pytest.fixture(scope="module")
def checkpoints() -> Mapping[str, dict[str, Tensor]]:
    return {name: official(config) for name, config in CONFIGS.items()}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(weights: object, name: str = "checkpoint.pth") -> Path:
        torch.save({"model": weights, "iteration": 3}, tmp_path / name)
        return tmp_path / name

    return _write


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "ovseg-tiny"


@pytest.fixture(scope="module")
def golden_model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> OVSeg:
    settings = read_settings(golden / "config.json")
    imported = import_ovseg(golden / "checkpoint_fp16.pth", settings=settings)
    model = load_model(save_model(imported.model, tmp_path_factory.mktemp("golden") / "model"))
    assert isinstance(model, OVSeg)
    return model


def test_the_official_programs_outputs_come_out(golden: Path, golden_model: OVSeg) -> None:
    names = read_settings(golden / "config.json")["class_names"]
    found = verify(golden_model, read_reference(golden / "io.safetensors"), names)
    assert [check.name for check in found.tensors] == [
        *(f"backbone.res{stage}" for stage in (2, 3, 4, 5)),
        "mask_logits",
        "class_embed",
        "text_embed",
        "valid",
        "clip_logits",
        "sem_seg",
        "sem_seg_no_ensemble",
    ]
    for check in found.tensors:
        assert max(check.values) <= 1e-4, check.name
    for check in found.maps:
        assert min(check.values) >= 0.999, check.name
    assert found.holds


def test_a_wrong_weight_shows_in_its_own_stage_and_in_all_later_ones(golden: Path, golden_model: OVSeg) -> None:
    names = read_settings(golden / "config.json")["class_names"]
    reference = read_reference(golden / "io.safetensors")
    weight = golden_model.segmenter.transformer.decoder.layernorm.weight
    right = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(1.5)
        found = verify(golden_model, reference, names)
    finally:
        with torch.no_grad():
            weight.copy_(right)
    alone = {check.name for check in found.tensors if check.values[0] > 1e-3}
    assert alone == {"mask_logits", "class_embed"}
    assert {"sem_seg", "sem_seg_no_ensemble"} <= {check.name for check in found.tensors if check.overall > 1e-3}
    assert not found.holds


def test_a_reference_that_fits_not_is_refused(golden: Path, golden_model: OVSeg, tmp_path: Path) -> None:
    reference = load_file(golden / "io.safetensors")
    with pytest.raises(ModelError, match="made with another model or with other words"):
        verify(golden_model, read_reference(golden / "io.safetensors"), ["cat", "dog"])
    save_file({key: value for key, value in reference.items() if key != "mask_logits"}, tmp_path / "less.safetensors")
    with pytest.raises(ModelError, match="lacks mask_logits"):
        read_reference(tmp_path / "less.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="damaged"):
        read_reference(tmp_path / "broken.safetensors")
    with pytest.raises(ModelError, match="there is no reference"):
        read_reference(tmp_path / "none.safetensors")


def test_all_keys_and_shapes_of_the_published_layout_are_the_full_size_presets(shared: Path) -> None:
    listed = json.loads((shared / "golden/ovseg-tiny/official_swinB_vitL14_keys.json").read_text())
    weights = {key: torch.empty(shape, device="meta") for key, shape in listed.items()}
    assert config_of(weights, source="the list") == ovseg_swin_base_config()
    with torch.device("meta"):
        expected = to_official(OVSeg(ovseg_swin_base_config()).state_dict())
    assert {key: tensor.shape for key, tensor in expected.items()} == {
        key: weights[key].shape for key in weights if key in expected
    }
    left_over = {key.rpartition(".")[2] for key in weights if key not in expected}
    assert left_over == {"relative_position_index", "empty_weight", "pixel_mean", "pixel_std"}


def test_the_smaller_presets_sizes_are_read_from_its_official_keys() -> None:
    with torch.device("meta"):
        weights = to_official(OVSeg(ovseg_r101_config()).state_dict())
    stem = [weights[f"backbone.stem.conv{place}.weight"].shape for place in (1, 2, 3)]
    assert stem == [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)]
    assert weights["backbone.res4.22.conv3.norm.running_var"].shape == (1024,)
    assert weights["backbone.res5.0.shortcut.weight"].shape == (2048, 1024, 1, 1)
    assert config_of(weights, source="R101c") == ovseg_r101_config()


@pytest.mark.parametrize("backbone", CONFIGS)
def test_names_and_values_survive_the_way_there_and_back(backbone: str) -> None:
    own = seeded(OVSeg(CONFIGS[backbone])).state_dict()
    there = to_official(own)
    back = from_official(there, own)
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], value) for name, value in own.items())
    again = to_official(back)
    assert again.keys() == there.keys()
    assert all(torch.equal(again[key], value) for key, value in there.items())
    assert all(key.startswith(("backbone.", "sem_seg_head.", "clip_adapter.")) for key in there)


@torch.no_grad()
def test_a_deep_stem_resnet_computes_what_detectron2_does_with_these_keys() -> None:
    """R101c's last stage is dilated 1, 2, 4: the twin widens the kernels with zeros, and knows no dilation."""
    model = seeded(MaskFormer(CONFIGS["deep resnet"].segmenter)).eval()
    own = {f"segmenter.{name}": value for name, value in model.state_dict().items()}
    weights = to_official(own)
    images = pictures(64, 96).pixel_values

    def conv(features: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        dense = weights[f"backbone.{name}.weight"]
        side = dilation * (dense.shape[-1] - 1) + 1
        weight = dense.new_zeros(*dense.shape[:2], side, side)
        weight[..., ::dilation, ::dilation] = dense
        norm = {
            key: weights[f"backbone.{name}.norm.{key}"] for key in ("weight", "bias", "running_mean", "running_var")
        }
        features = F.conv2d(features, weight, stride=stride, padding=weight.shape[-1] // 2)
        return F.batch_norm(features, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"])

    features = (images - torch.tensor(IMAGENET.mean).view(3, 1, 1)) / torch.tensor(IMAGENET.std).view(3, 1, 1)
    for place in (1, 2, 3):
        features = conv(features, f"stem.conv{place}", stride=2 if place == 1 else 1).relu()
    features = F.max_pool2d(features, 3, stride=2, padding=1)
    for stage, (depth, found) in enumerate(zip(DEEP_RESNET.depths, model.features(images), strict=True), 2):
        for block in range(depth):
            name, stride = f"res{stage}.{block}", 2 if block == 0 and stage > 2 else 1
            dilation = 2**block if stage == 5 else 1
            inner = conv(conv(features, f"{name}.conv1").relu(), f"{name}.conv2", stride, dilation).relu()
            shortcut = conv(features, f"{name}.shortcut", stride=stride) if block == 0 else features
            features = (conv(inner, f"{name}.conv3") + shortcut).relu()
        torch.testing.assert_close(found, features, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", CONFIGS)
@pytest.mark.parametrize("form", ["half", "safetensors", "frozen batch norm"])
def test_a_model_of_other_sizes_is_imported_bit_for_bit(
    backbone: str, form: str, checkpoints: Mapping[str, dict[str, Tensor]], write: Any, tmp_path: Path
) -> None:
    weights = checkpoints[backbone]
    if form == "half":
        weights = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    if form == "frozen batch norm":
        weights = {key: value for key, value in weights.items() if "num_batches_tracked" not in key}
    path = write(weights)
    if form == "safetensors":
        path = tmp_path / "checkpoint.safetensors"
        save_file(weights, path)

    imported = import_ovseg(path, vocabulary=WORDS)

    assert imported.model.config == CONFIGS[backbone]
    assert len(imported.left_over) == len(weights) - imported.num_weights == (3 if backbone == "swin" else 2)
    folder = save_model(imported.model, tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    assert stored["clip.clip.visual.proj"].dtype == (torch.float16 if form == "half" else torch.float32)
    loaded = to_official(load_model(folder).state_dict())
    assert all(
        torch.equal(value, weights[key].float() if value.is_floating_point() else weights.get(key, torch.tensor(0)))
        for key, value in loaded.items()
        if key in weights or not key.endswith("num_batches_tracked")
    )


@pytest.mark.parametrize("backbone", CONFIGS)
def test_an_imported_model_answers_before_it_is_saved_as_it_does_after(
    backbone: str, checkpoints: Mapping[str, dict[str, Tensor]], write: Any, tmp_path: Path
) -> None:
    imported = import_ovseg(write(checkpoints[backbone]), vocabulary=WORDS).model
    stored = load_model(save_model(imported, tmp_path / "model"))

    answers: list[MaskPrediction] = []
    for model in (imported, stored):
        with torch.inference_mode():
            answers.append(model(pictures(64, 96), model.embed_vocabulary(WORDS, negatives=False)))

    assert not any(buffer.is_meta for buffer in imported.buffers())
    for name in ("mask_logits", "class_logits", "void_probs"):
        assert torch.equal(getattr(answers[0], name), getattr(answers[1], name)), name


def test_without_prompts_in_use_they_are_left_over(checkpoints: Mapping[str, dict[str, Tensor]], write: Any) -> None:
    settings = {"clip_adapter": {"MASK_PROMPT_FWD": False}}
    imported = import_ovseg(write(checkpoints["swin"]), settings=settings, vocabulary=WORDS)
    assert imported.model.config.clip.prompts is None
    assert "clip_adapter.clip_model.visual.mask_embedding" in imported.left_over


def test_the_official_settings_are_understood(checkpoints: Mapping[str, dict[str, Tensor]], write: Any) -> None:
    path = write(checkpoints["swin"])

    def imported(**adapter: object) -> OVSegConfig:
        settings = {"mask_former": {"NHEADS": 4, "DROPOUT": 0}, "clip_adapter": adapter}
        return import_ovseg(path, settings=settings, vocabulary=WORDS).model.config

    changed = imported(MASK_THR=0.35, MASK_FILL="zero", CLIP_ENSEMBLE=True, CLIP_ENSEMBLE_WEIGHT=0.6)
    assert changed.segmenter == replace(CONFIGS["swin"].segmenter, num_heads=4, dropout=0.0)
    assert (changed.regions.mask_threshold, changed.regions.fill, changed.ensemble.clip_weight) == (0.35, "zero", 0.6)
    assert changed.templates is None
    assert imported(CLIP_ENSEMBLE=False).ensemble.is_query_only
    assert imported(CLIP_ENSEMBLE=True, CLIP_ENSEMBLE_WEIGHT=0.0).ensemble.is_clip_only  # the official special case
    assert imported(MASK_MATTING=True).regions.fill == "soft"
    sentences = ["a photo of a {}.", "a {}"]
    assert imported(TEXT_TEMPLATES="predefined", PREDEFINED_PROMPT_TEMPLATES=sentences).templates == tuple(sentences)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"swin": {"EMBED_DIM": 96}}, "swin.EMBED_DIM = 96, but .* has 8"),
        ({"clip_adapter": {"MASK_PROMPT_DEPTH": 3}}, "MASK_PROMPT_DEPTH = 3, but .* has 2"),
        ({"mask_former": {"PRE_NORM": True}}, "mask_former.PRE_NORM = True"),
        ({"sem_seg_head": {"NUM_CLASSES": 171}}, "NUM_CLASSES = 171, but .* has 3"),
        ({"mask_former": {"NHEADS": "eight"}}, "NHEADS = 'eight', where a int is expected"),
        ({"mask_former": {"NHEADS": 5}}, "hidden_dim must be a multiple of num_heads, got 32 and 5"),
        ({"mask_former": 5}, "mask_former must be a section"),
        ({"clip_adapter": {"MASK_THR": 1.5}}, r"mask_threshold must lie in \[0, 1\]"),
        ({"clip_adapter": {"MASK_FILL": "noise"}}, "MASK_FILL = 'noise'; known are mean, zero"),
        ({"clip_adapter": {"TEXT_TEMPLATES": "imagenet"}}, "TEXT_TEMPLATES = 'imagenet'; known are vild"),
        ({"input": {"FORMAT": "BGR"}}, "input.FORMAT = 'BGR'"),
        ({"input": {"MIN_SIZE_TEST": 3000}}, "the configuration is refused: longest_side and shortest_side"),
        ({"swin": {"DROP_RATE": 0.1}}, "swin.DROP_RATE = 0.1"),
        ({"swin": {"FANCY": 1}, "clip_adapter": {"NEW": 2}}, "not honoured here: 'swin.FANCY', 'clip_adapter.NEW'"),
        ({"MODEL": {"RESNETS": {"RES5_MULTI_GRID": [1, 2, 4]}}}, "not honoured here: 'MODEL.RESNETS'.* without MODEL"),
        ({"panoptic_on": True}, "not honoured here: 'panoptic_on'"),
    ],
)
def test_settings_that_contradict_the_checkpoint_end_in_a_sentence(
    settings: dict[str, Any], said: str, checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    with pytest.raises(ModelError, match=said):
        import_ovseg(write(checkpoints["swin"]), settings=settings, vocabulary=WORDS)


@pytest.mark.parametrize("dilations", [[1, 2, 4], [1, 1, 1], [2, 4, 8]])
def test_the_official_dilations_are_honoured(
    dilations: list[int], checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    resnets = {"STEM_TYPE": "deeplab", "STEM_OUT_CHANNELS": 8, "NORM": "SyncBN", "STRIDE_IN_1X1": False}
    settings = {
        "resnets": {**resnets, "RES5_MULTI_GRID": dilations},
        "swin": {"EMBED_DIM": 96},  # what the official program has no use for here, neither has the model
        "input": {"MIN_SIZE_TEST": 512, "MAX_SIZE_TEST": 2048, "MIN_SIZE_TRAIN": [512]},
    }
    model = import_ovseg(write(checkpoints["deep resnet"]), settings=settings, vocabulary=WORDS).model
    config = model.config.segmenter.deep_resnet

    assert config == replace(DEEP_RESNET, multi_grid=tuple(dilations))
    assert (model.config.shortest_side, model.config.longest_side) == (512, 2048)
    assert [block.conv2.dilation for block in model.segmenter.backbone.resnet.layer4] == [(d, d) for d in dilations]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"RES5_MULTI_GRID": [1, 2]}, "refused: multi_grid must have a positive dilation for each of .* 3 blocks"),
        ({"RES5_MULTI_GRID": [1, 0, 1]}, "refused: multi_grid must have a positive dilation"),
        ({"RES5_MULTI_GRID": "1, 2, 4"}, "RES5_MULTI_GRID = '1, 2, 4', where a list of whole numbers"),
        ({"RES5_DILATION": 2}, "resnets.RES5_DILATION = 2, but"),
        ({"STEM_TYPE": "basic"}, "resnets.STEM_TYPE = 'basic', but"),
        ({"STRIDE_IN_1X1": True}, "resnets.STRIDE_IN_1X1 = True, but"),
        ({"DEPTH": 101}, r"resnets.DEPTH = 101, but .* has \(1, 2, 1, 3\)"),
    ],
)
def test_what_a_dilated_backbone_does_not_do_is_refused(
    settings: dict[str, Any], said: str, checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    with pytest.raises(ModelError, match=said):
        import_ovseg(write(checkpoints["deep resnet"]), settings={"resnets": settings}, vocabulary=WORDS)


def test_without_prompts_the_settings_may_ask_for_none(
    checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    path = write(checkpoints["deep resnet"])
    for adapter in ({"MASK_PROMPT_FWD": True}, {"MASK_PROMPT_DEPTH": 3}):
        with pytest.raises(ModelError, match="MASK_PROMPT"):
            import_ovseg(path, settings={"clip_adapter": adapter}, vocabulary=WORDS)
    off = {"MASK_PROMPT_FWD": False, "MASK_PROMPT_DEPTH": 0}
    assert import_ovseg(path, settings={"clip_adapter": off}, vocabulary=WORDS).model.config.clip.prompts is None


def test_every_official_setting_of_both_published_kinds_is_known() -> None:
    """The table of what is honoured names what is read: nothing in it is unknown, and nothing read is missing."""
    source = Path(settings_module.__file__).read_text()
    read = set(re.findall(r'_(?:get|look_up)\(settings, "([a-zA-Z_0-9.]+)"', source))

    assert read <= settings_module._HONOURED
    assert settings_module._HONOURED - read == {"sem_seg_head.NUM_CLASSES"}


def test_the_trained_words_must_be_as_many_as_the_checkpoint_counted(
    checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    path = write(checkpoints["swin"])
    with pytest.raises(ModelError, match=r"trained on 3 classes, but its training vocabulary is to have 171"):
        import_ovseg(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbone.extra": torch.ones(2)}, "holds the unknown backbone.extra"),
        ({"backbone.norm1.weight": None}, "lacks backbone.norm1.weight"),
        ({"backbone.norm1.weight": torch.ones(7)}, r"backbone.norm1.weight \[7\] instead of \[16\]"),
        ({"backbone.patch_embed.proj.weight": None}, "no checkpoint of OVSeg .*stem.conv3.weight is missing"),
        ({"clip_adapter.clip_model.visual.conv1.weight": None}, "no checkpoint of OVSeg .*conv1.weight is missing"),
        ({"clip_adapter.clip_model.positional_embedding": torch.ones(3)}, "no checkpoint of OVSeg"),
        ({"backbone.patch_embed.proj.weight": torch.tensor(1.0)}, "no checkpoint of OVSeg"),
    ],
)
def test_other_weights_are_named_and_refused(
    change: dict[str, Tensor | None], said: str, checkpoints: Mapping[str, dict[str, Tensor]], write: Any
) -> None:
    changed = {key: value for key, value in {**checkpoints["swin"], **change}.items() if value is not None}
    with pytest.raises(ModelError, match=said):
        import_ovseg(write(changed), vocabulary=WORDS)


class Hostile:
    """Would run code if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_files_that_are_no_checkpoint_end_in_a_sentence(tmp_path: Path, write: Any) -> None:
    touched = tmp_path / "touched"
    (tmp_path / "hostile.pth").write_bytes(pickle.dumps({"model": Hostile(touched)}))
    torch.save({"model": {"w": torch.ones(1)}, "hook": Hostile(touched)}, tmp_path / "hooked.pth")
    (tmp_path / "text.pth").write_text("no pickle")
    (tmp_path / "bytes.safetensors").write_bytes(b"\x00" * 50)
    for name in ("hostile.pth", "hooked.pth", "text.pth", "bytes.safetensors"):
        with pytest.raises(ModelError, match=f"cannot read weights from .*{name}.*download it again"):
            import_ovseg(tmp_path / name)
    assert not touched.exists()
    with pytest.raises(ModelError, match="there are no weights at"):
        import_ovseg(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="holds no tensors by name"):
        import_ovseg(write({"epoch": 3}))
    with pytest.raises(ModelError, match="holds a CLIP alone; import it with 'lexiseg import clip'"):
        import_ovseg(write({"visual.conv1.weight": torch.ones(2, 3, 4, 4)}))
    (tmp_path / "settings.json").write_text("[")
    with pytest.raises(ModelError, match="this is no JSON"):
        read_settings(tmp_path / "settings.json")
    (tmp_path / "settings.json").write_text("[]")
    with pytest.raises(ModelError, match="must hold an object"):
        read_settings(tmp_path / "settings.json")
