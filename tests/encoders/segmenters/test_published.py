"""MaskFormer, OneFormer and EoMT: what transformers computes comes out, and other models are named."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    DetrConfig,
    EomtConfig,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessor,
    OneFormerConfig,
    OneFormerForUniversalSegmentation,
    ResNetConfig,
    SwinConfig,
)

from lexiseg.core.structures import MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.segmenters.published import build_segmenter, read_closed_set
from lexiseg.encoders.segmenters.published_kinds import PublishedConfig
from lexiseg.io.models import load_model, save_model
from lexiseg.layers.heads import AssembledHead
from lexiseg.models.assemble import assemble
from tiny import CLIP, pictures, same, seeded, state

STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
SWIN = SwinConfig(embed_dim=16, depths=[1] * 4, num_heads=[1, 2, 2, 4], window_size=4, image_size=64, **STAGES)
RESNET = ResNetConfig(
    embedding_size=16, hidden_sizes=[16, 32, 32, 32], depths=[1] * 4, layer_type="basic", **STAGES
)  # fmt: skip
DETR = DetrConfig(d_model=32, decoder_layers=2, decoder_ffn_dim=64, decoder_attention_heads=4, num_queries=8)
WIDE: dict[str, Any] = {"hidden_dim": 32, "mask_dim": 32, "encoder_feedforward_dim": 64, "dim_feedforward": 64}
LAYERS: dict[str, Any] = {"encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 4, "num_queries": 8}
LABELS = {"id2label": dict(enumerate(("cat", "dog", "a very odd word", "sky", "grass")))}
SIZES: dict[str, Any] = {"fpn_feature_size": 32, "mask_feature_size": 32}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A published model at a tiny size, how its processor prepares pictures, and its class in transformers."""

    config: Any
    model: type[Any]
    process: Callable[[list[np.ndarray]], Tensor]


def plain(pictures: list[np.ndarray]) -> Tensor:
    """OneFormer's processor: normalised, nothing is padded to a multiple of 32."""
    scaled = torch.stack([torch.from_numpy(one).permute(2, 0, 1) for one in pictures]).float() / 255
    return colours.IMAGENET.normalise(scaled)


def by(processor: Any) -> Callable[[list[np.ndarray]], Tensor]:
    return lambda pictures: processor(pictures, return_tensors="pt")["pixel_values"]


KINDS = {
    "mask2former": Kind(
        config=Mask2FormerConfig(
            backbone_config=SWIN, feature_size=32, mask_feature_size=32, **LABELS, **LAYERS, **WIDE
        ),
        model=Mask2FormerForUniversalSegmentation,
        process=by(Mask2FormerImageProcessor(do_resize=False)),
    ),
    "maskformer": Kind(
        config=MaskFormerConfig(backbone_config=SWIN, decoder_config=DETR, **SIZES, **LABELS),
        model=MaskFormerForInstanceSegmentation,
        process=by(MaskFormerImageProcessor(do_resize=False)),
    ),
    "maskformer resnet": Kind(
        config=MaskFormerConfig(backbone_config=RESNET, decoder_config=DETR, **SIZES, **LABELS),
        model=MaskFormerForInstanceSegmentation,
        process=by(MaskFormerImageProcessor(do_resize=False)),
    ),
    "oneformer": Kind(
        config=OneFormerConfig(backbone_config=SWIN, conv_dim=32, **LABELS, **LAYERS, **WIDE),
        model=OneFormerForUniversalSegmentation,
        process=plain,
    ),
    "eomt": Kind(
        config=EomtConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=128, num_queries=8, num_blocks=2,
            **LABELS,
        ),
        model=EomtForUniversalSegmentation,
        process=by(EomtImageProcessor(size={"shortest_edge": 128, "longest_edge": 128}, do_pad=True, do_resize=False)),
    ),
}  # fmt: skip
TASK = torch.tensor([[49406.0, 518, 10549, 533, 1072, 24755, 49407] + [0] * 70])
"""What OneFormer's processor makes of "the task is panoptic" at its 77 tokens."""


def random_model(kind: Kind) -> Any:
    """With biases around zero, so that masks are neither empty nor the whole picture."""
    model = seeded(kind.model(kind.config)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") and weight.ndim == 1:
                weight -= 1
        for name, probs in model.named_buffers():
            if name == "attn_mask_probs":  # of an EoMT: between 0 and 1 it would attend by chance
                probs.copy_(torch.tensor([1.0, 0.0]))
    return model


CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def folder(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that transformers itself has written."""
    folder = tmp_path_factory.mktemp("published")
    random_model(kind).save_pretrained(folder)
    return folder


@torch.no_grad()
def answers(folder: Path, kind: Kind, normalised: Tensor) -> Any:
    model = kind.model.from_pretrained(folder).eval()
    inputs = {"task_inputs": TASK.expand(len(normalised), -1)} if kind.config.model_type == "oneformer" else {}
    return model(pixel_values=normalised, **inputs)


@torch.no_grad()
def proposals_of(folder: Path, pixel_values: Tensor) -> tuple[MaskProposals, Tensor]:
    """Our proposals, and class probabilities by a linear layer on their queries."""
    closed = read_closed_set(folder)
    segmenter = build_segmenter(closed.config).eval()
    segmenter.load_state_dict(dict(closed.segmenter))
    head = AssembledHead(closed.config.hidden_dim, 8, len(closed.names))
    head.classify.load_state_dict({"weight": closed.class_weight, "bias": closed.class_bias})
    proposals = segmenter(pixel_values)
    return proposals, head.probs(proposals.query_embed)


def assert_close(found: MaskProposals, probs: Tensor, expected: Any) -> None:
    masks, classes = expected.masks_queries_logits, expected.class_queries_logits.softmax(-1)
    largest = masks.abs().max()
    torch.testing.assert_close(found.mask_logits / largest, masks / largest, **CLOSE)
    torch.testing.assert_close(found.mask_logits.sigmoid(), masks.sigmoid(), **CLOSE)
    torch.testing.assert_close(probs, classes, **CLOSE)
    assert classes.std() > 1e-2  # not a model that answers the same for everything
    assert 0.02 < (masks > 0).float().mean() < 0.98


def test_masks_and_class_probabilities_are_those_of_transformers_from_its_own_preprocessor(
    folder: Path, kind: Kind
) -> None:
    """At sides that are no multiples of 32."""
    picture = np.random.default_rng(0).integers(0, 256, (99, 118, 3), dtype=np.uint8)
    normalised = kind.process([picture])
    canvas = torch.zeros(1, 3, *normalised.shape[-2:])
    if kind.config.model_type != "eomt":  # whose canvas is black before it is normalised
        canvas[:] = torch.tensor(colours.IMAGENET.mean)[:, None, None]
    canvas[0, :, :99, :118] = torch.from_numpy(picture).permute(2, 0, 1) / 255

    found, probs = proposals_of(folder, canvas)

    torch.testing.assert_close(colours.IMAGENET.normalise(canvas), normalised, atol=1e-5, rtol=0)
    assert_close(found, probs, answers(folder, kind, normalised))


STORED: dict[str, Callable[[Any, Path], object]] = {
    "shards": lambda model, folder: model.save_pretrained(folder, max_shard_size="60KB"),
    "half": lambda model, folder: model.half().save_pretrained(folder),
    ".bin": lambda model, folder: (
        model.save_pretrained(folder),
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin"),
        (folder / "model.safetensors").unlink(),
    ),
}


@pytest.mark.parametrize("stored", STORED)
def test_weights_are_read_however_they_are_stored(kind: Kind, stored: str, tmp_path: Path) -> None:
    model = random_model(kind)
    STORED[stored](model, tmp_path)
    images = torch.cat([pictures().pixel_values] * 2, -1)[..., :128]
    images = torch.nn.functional.pad(images, (0, 0, 0, 128 - images.shape[-2]))
    expected = answers(tmp_path, kind, colours.IMAGENET.normalise(images).to(next(model.parameters()).dtype))

    found, probs = proposals_of(tmp_path, images)

    if stored == "half":
        assert (probs - expected.class_queries_logits.float().softmax(-1)).abs().max() < 0.2
    else:
        assert_close(found, probs, expected)


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.pt"
    torch.save(seeded(Clip(CLIP)).clip.state_dict(), path)
    return path


def test_an_assembled_model_is_saved_and_loaded_as_it_is(
    folder: Path, kind: Kind, clip_weights: Path, tmp_path: Path
) -> None:
    opsnet = assemble(folder, CLIP, clip_weights)
    again = load_model(save_model(opsnet, tmp_path / "model"))

    assert again.config == opsnet.config
    assert same(state(again), state(opsnet))
    assert opsnet.config.training_vocabulary.names == tuple(LABELS["id2label"].values())
    assert opsnet.untrainable_because
    side = 128
    images = pictures()
    if kind.config.model_type == "eomt":
        pixel_values = torch.zeros(1, 3, side, side)
        pixel_values[..., : images.pixel_values.shape[-2], : images.pixel_values.shape[-1]] = images.pixel_values[:1]
        with torch.no_grad():
            assert again.segmenter(pixel_values).mask_logits.shape[-2:] == (32, 32)  # pyright: ignore
        with pytest.raises(ValueError, match="canvas of 128 x 128"):
            again.segmenter(images.pixel_values)  # pyright: ignore


@pytest.mark.parametrize(("name", "told"), [("x-coco-instance", "knows no stuff"), ("x-ade-semantic", "does not tell")])
def test_what_a_segmenter_was_not_trained_for_is_told(
    name: str, told: str, clip_weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    KINDS["maskformer"].model(KINDS["maskformer"].config).save_pretrained(tmp_path / name)

    assemble(tmp_path / name, CLIP, clip_weights, vocabulary=Vocabulary.of("a, b, c, d, e"))

    assert [told in record.getMessage() for record in caplog.records if "trained for" in record.getMessage()] == [True]


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return edit


def reweighted(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return edit


MASKS = "mask_embedder.0.0.weight"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "cut": (lambda f: (f / "model.safetensors").write_bytes(b"\x10" * 99), "is damaged"),
    "a pointer": (lambda f: (f / "model.safetensors").write_bytes(b"version https://git-lfs"), "Git-LFS pointer"),
    "a web page": (lambda f: (f / "config.json").write_text("<html>"), "this is no JSON"),
    "a weight is missing": (reweighted(lambda w: w.pop(MASKS)), f"lacks {MASKS}"),
    "an unknown weight": (reweighted(lambda w: w.update(silly=torch.zeros(1))), "holds the unknown silly"),
    "another shape": (reweighted(lambda w: w.update({MASKS: torch.zeros(3)})), f"has another shape in {MASKS}"),
    "no number": (reweighted(lambda w: w[MASKS].fill_(float("nan"))), f"has no numbers in {MASKS}"),
    "whole numbers": (reweighted(lambda w: w.update({MASKS: w[MASKS].long()})), f"has no numbers in {MASKS}"),
    "no names": (edited(id2label=None), "no class names"),
    "other names": (edited(id2label={"0": "a", "1": "b"}), "has another shape in class_predictor"),
    "a size that is a text": (edited(mask_feature_size="wide"), "can't be read"),
    "a backbone that is a number": (edited(backbone_config=3), "can't be read|can be built|expected a"),
    "layers for ever": (edited(decoder_config={"decoder_layers": 10**9}), "decoder_layers = 1000000000"),
    "another backbone": (edited(backbone_config={"model_type": "convnext"}), "ResNet or Swin backbone, got 'convnext'"),
    "no model": (edited(model_type=None, architectures=None), "no model of transformers"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_folders_end_in_one_sentence(name: str, tmp_path: Path) -> None:
    seeded(KINDS["maskformer"].model(KINDS["maskformer"].config)).save_pretrained(tmp_path)
    damage, complaint = DAMAGES[name]
    damage(tmp_path)

    with pytest.raises(ValueError, match=complaint) as refused:
        read_closed_set(tmp_path)

    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).endswith(".")


OTHERS = {
    "an image classifier": ("vit", "ViTForImageClassification"),
    "a detection model": ("detr", "DetrForObjectDetection"),
    "a SAM, whose masks have no classes": ("sam", "SamModel"),
    "a model that names pixels, not masks": ("segformer", "SegformerForSemanticSegmentation"),
    "a CLIP, which --clip takes": ("clip", "CLIPModel"),
    "a text model": ("bert", "BertForMaskedLM"),
    "a model of another kind": ("wav2vec2", "Wav2Vec2ForCTC"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_model_of_another_kind_is_named(other: str, tmp_path: Path) -> None:
    kind, architecture = OTHERS[other]
    (tmp_path / "model.safetensors").touch()
    for document in ({"model_type": kind, "architectures": [architecture]}, {"model_type": kind}):
        (tmp_path / "config.json").write_text(json.dumps(document))
        with pytest.raises(ValueError, match=f"is {other}"):
            read_closed_set(tmp_path)


def test_the_first_eomts_are_told_from_those_in_transformers_layout(shared: Path, tmp_path: Path) -> None:
    (file,) = (shared / "published").glob("config__tue-mps*")
    (tmp_path / "config.json").write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").touch()

    with pytest.raises(ValueError, match="EoMT in the layout of its authors' own program"):
        read_closed_set(tmp_path)


def test_configurations_of_every_published_era_build_the_published_sizes(shared: Path) -> None:
    expected = {"maskformer-swin-base-coco": (256, 100, None, 101), "oneformer_swin_tiny": (256, 150, None, 50)}
    expected |= {"eomt_small": (384, 200, 640, 23)}
    for name, sizes in expected.items():
        (file,) = (shared / "published").glob(f"config__RECONSTRUCTED_*{name}.json")
        config = PublishedConfig.of(json.loads(file.read_text()))
        with torch.device("meta"):
            network: nn.Module = build_segmenter(config)
        millions = sum(weight.numel() for weight in network.parameters()) // 10**6

        assert (config.hidden_dim, config.num_queries, config.canvas, millions) == sizes, name
