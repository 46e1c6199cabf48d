import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    ResNetConfig,
    SwinConfig,
)

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.mask2former import (
    Segmenter,
    SegmenterConfig,
    from_transformers,
    to_transformers,
)
from lexiseg.encoders.segmenters.mask2former_weights import (
    published_names,
    read_mask2former,
    write_mask2former,
)
from lexiseg.encoders.segmenters.preparation import read_preparation
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.heads import AssembledHead
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.alternatives import Alternatives
from lexiseg.models.assemble import assemble, concept_embed
from lexiseg.models.vocabulary_embedding import embed_vocabulary
from miniatures import coco_categories
from tiny import CLIP, RESNET, SWIN, TRAINING, pictures, same, seeded, state

LABELS = ("cat", "dog", "a very odd word", "sky", "grass")


def closed_set(config: SegmenterConfig, labels: tuple[str, ...] = LABELS) -> Mask2FormerForUniversalSegmentation:
    """A random closed-set model as transformers itself builds it."""
    theirs = to_transformers(config)
    theirs.id2label = dict(enumerate(labels))
    theirs.label2id = {label: number for number, label in enumerate(labels)}
    return seeded(Mask2FormerForUniversalSegmentation(theirs)).eval()


def write_random(folder: Path, names: tuple[str, ...] = LABELS) -> None:
    state_dict, weight = Segmenter(RESNET).state_dict(), torch.zeros(6, 32)
    write_mask2former(folder, RESNET, state_dict, class_weight=weight, class_bias=weight[:, 0], names=names)


def save_clip(folder: Path) -> Path:
    path = folder / "clip.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in seeded(Clip(CLIP)).clip.state_dict().items()}}, path)
    return path


@pytest.fixture(scope="module", params=["resnet", "swin"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that transformers itself has written."""
    folder = tmp_path_factory.mktemp(request.param)
    closed_set(RESNET if request.param == "resnet" else SWIN).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@torch.no_grad()
def test_an_assembled_model_gives_the_masks_and_class_probabilities_of_the_published_one(
    folder: Path, clip_weights: Path
) -> None:
    theirs = Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    images = pictures()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (colours.IMAGENET.mean, colours.IMAGENET.std))
    normalised = (images.pixel_values - mean) / std
    expected = theirs(normalised)

    opsnet = assemble(folder, CLIP, clip_weights, longest_side=96)
    proposals = opsnet.propose(images)

    assert isinstance(opsnet.head, AssembledHead)
    probs = opsnet.head.probs(proposals.query_embed)
    rounding = 1e-5 * float(expected.masks_queries_logits.abs().max())
    torch.testing.assert_close(proposals.mask_logits, expected.masks_queries_logits, atol=rounding, rtol=0)
    torch.testing.assert_close(probs, expected.class_queries_logits.softmax(-1), atol=1e-5, rtol=0)
    assert probs.std() > 1e-3  # not a model that answers the same for everything


@torch.no_grad()
def test_pictures_are_padded_as_transformers_pads_them(folder: Path, clip_weights: Path) -> None:
    """After normalisation, with zeros: sides that are no multiples of 32, and a batch of several sizes."""
    theirs = Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    rng = np.random.default_rng(0)
    shapes = [(150, 206), (131, 190), (160, 224)]  # the last is the canvas of all
    drawn = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    expected = theirs(**Mask2FormerImageProcessor(do_resize=False)(drawn, return_tensors="pt"))

    opsnet = assemble(folder, CLIP, clip_weights)
    frames = tuple(Frame(original=shape, resized=shape, padded=(160, 224)) for shape in shapes)
    canvas = torch.stack(
        [f.enter(torch.from_numpy(p).permute(2, 0, 1) / 255) for f, p in zip(frames, drawn, strict=True)]
    )
    images = ImageBatch(pixel_values=canvas, frames=frames)
    found = opsnet.propose(images).mask_logits
    opsnet.config = replace(opsnet.config, padding="black")
    black = opsnet.propose(images).mask_logits

    assert (opsnet.config.padding, assemble(folder, CLIP, clip_weights).config.padding) == ("black", "mean")
    torch.testing.assert_close(found, expected.masks_queries_logits, atol=1e-4, rtol=1e-4)
    assert (black[0] - found[0]).abs().max() > 1e-2
    torch.testing.assert_close(black[2], found[2], atol=1e-4, rtol=1e-4)  # a picture without padding


HUB = {"_max_size": 1333, "size": {"height": 384, "width": 384}, "size_divisor": 32, "num_labels": 133}
PREPARATIONS: dict[str, tuple[dict[str, object] | None, int, tuple[int | None, int]]] = {
    "none, COCO": (None, 133, (800, 1333)),
    "none, ADE20K": (None, 150, (640, 2560)),
    "none, Cityscapes": (None, 19, (1024, 2048)),
    "none, own": (None, 5, (800, 1333)),
    "hub, COCO": (HUB, 133, (800, 1333)),
    "hub, COCO instances": (HUB, 80, (800, 1333)),
    "hub, ADE20K": (HUB | {"_max_size": 2560}, 150, (640, 2560)),
    "hub, small ADE20K": (HUB | {"_max_size": 2048}, 150, (512, 2048)),
    "hub, Cityscapes": (HUB | {"_max_size": 2048}, 19, (1024, 2048)),
    "today's": ({"size": {"shortest_edge": 640, "longest_edge": 2560}}, 133, (640, 2560)),
    "the first": ({"size": 512, "max_size": 2048, "size_divisibility": 32}, 65, (512, 2048)),
    "a shorter side alone": ({"size": 1500}, 5, (1500, 1500)),
    "a longer side alone": ({"size": {"longest_edge": 320}}, 5, (None, 320)),
    "padding left open": (HUB | {"padding": None}, 133, (800, 1333)),
}


@pytest.mark.parametrize("case", PREPARATIONS)
def test_pictures_get_the_published_test_size(case: str, tmp_path: Path, clip_weights: Path) -> None:
    document, num_classes, sides = PREPARATIONS[case]
    if document is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(document))

    found = read_preparation(tmp_path, num_classes=num_classes)

    assert ((found.shortest_side, found.longest_side), found.padding) == (sides, "mean")


def test_an_assembled_model_looks_at_the_folders_size_or_at_that_it_is_told(tmp_path: Path, clip_weights: Path) -> None:
    write_random(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 96, "max_size": 160}))

    configs = [assemble(tmp_path, CLIP, clip_weights, longest_side=told).config for told in (None, 128)]

    assert [(config.shortest_side, config.longest_side) for config in configs] == [(96, 160), (None, 128)]


def test_an_assembled_model_answers_as_it_is_told(tmp_path: Path, clip_weights: Path) -> None:
    write_random(tmp_path)
    mapped = Alternatives(mapped_head=True)

    told = assemble(tmp_path, CLIP, clip_weights, fusion=GeometricConfig(clip_weight=0.6), alternatives=mapped).config
    plain = assemble(tmp_path, CLIP, clip_weights).config

    assert (told.fusion, told.alternatives) == (GeometricConfig(clip_weight=0.6), mapped)
    assert (plain.fusion, plain.alternatives) == (ModulationConfig(), Alternatives())
    with pytest.raises(ValueError, match="modulation can't add CLIP's embedding"):
        assemble(tmp_path, CLIP, clip_weights, alternatives=mapped)


def test_published_files_say_what_is_read_from_them(shared: Path, tmp_path: Path) -> None:
    expected = {
        "mask2former-coco-panoptic-current": (133, (800, 1333)),
        "mask2former-swin-base-coco-panoptic": (133, (800, 1333)),
        "mask2former-swin-large-ade-panoptic": (150, (640, 2560)),
        "mask2former-swin-large-coco-instance": (80, (800, 1333)),
        "mask2former-swin-small-ade-semantic": (150, (512, 2048)),
        "nielsr_maskformer-resnet50-vistas": (65, (800, 1333)),
        "onnx-community_maskformer-resnet50-ade": (150, (800, 1333)),
    }
    for name, (num_classes, sides) in expected.items():
        (file,) = (shared / "published").glob(f"preprocessor__{name}*")
        (tmp_path / "preprocessor_config.json").write_bytes(file.read_bytes())
        found = read_preparation(tmp_path, num_classes=num_classes)
        assert (found.shortest_side, found.longest_side) == sides, name


def test_a_closed_set_model_of_ours_says_how_it_was_trained(tmp_path: Path, clip_weights: Path) -> None:
    segmenter, weight = Segmenter(RESNET).state_dict(), torch.zeros(6, 32)
    head = {"class_weight": weight, "class_bias": weight[:, 0], "names": LABELS}
    write_mask2former(tmp_path, RESNET, segmenter, **head, longest_side=160)

    config = assemble(tmp_path, CLIP, clip_weights).config
    theirs = Mask2FormerImageProcessor.from_pretrained(tmp_path)

    assert (config.shortest_side, config.longest_side, config.padding) == (160, 160, "black")
    resized = theirs(np.zeros((120, 160, 3), np.uint8), return_tensors="pt")["pixel_values"]
    assert resized.shape == (1, 3, 128, 160)


@torch.no_grad()
def test_an_assembled_model_answers_words_outside_its_closed_set(folder: Path, clip_weights: Path) -> None:
    opsnet = assemble(folder, CLIP, clip_weights, longest_side=96)
    training = opsnet.config.training_vocabulary
    words = embed_vocabulary(opsnet.clip, Vocabulary.of("lamp|lantern, tiger"), training, negatives=True)

    prediction = opsnet(pictures(), words)

    assert training.names == LABELS
    assert [concept.is_thing for concept in training.concepts] == [True, True, True, False, False]
    assert prediction.num_concepts == 2
    assert prediction.class_logits.isfinite().all()
    probs = opsnet.head.probs(opsnet.propose(pictures()).query_embed)
    torch.testing.assert_close(prediction.void_probs, probs[..., -1])
    assert not opsnet.training
    assert opsnet.config.merge.rank_by == "class"


def test_the_head_holds_one_text_embedding_per_class_and_the_adapter_the_folded_pool(
    folder: Path, clip_weights: Path
) -> None:
    asked = Vocabulary.of("cat|kitten, dog, odd, sky:stuff, grass:stuff", ("a {}.", "one {}"))

    opsnet = assemble(folder, CLIP, clip_weights, vocabulary=asked)

    texts = [nn.functional.normalize(row, dim=-1) for row in concept_embed(opsnet.clip, asked)]
    assert torch.equal(opsnet.head.class_text, torch.stack(texts))
    both = concept_embed(opsnet.clip, Vocabulary.of("cat, kitten", asked.templates)).sum(0)
    torch.testing.assert_close(opsnet.head.class_text[0], nn.functional.normalize(both, dim=-1))
    pool, cells = opsnet.clip.visual.attnpool, torch.randn(1, CLIP.feature_dim, 2, 2)
    expected = pool.c_proj(pool.v_proj(cells.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(opsnet.adapter(cells), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("source", ["recorded", "miniature"])
def test_published_labels_bring_their_built_in_list(
    source: str, request: pytest.FixtureRequest, tmp_path: Path, clip_weights: Path
) -> None:
    categories = coco_categories()
    if source == "recorded":
        path = request.getfixturevalue("shared") / "classes/coco_panoptic_133.json"
        categories = json.loads(path.read_text())["categories"]
    closed_set(RESNET, tuple(c["name"] for c in categories)).save_pretrained(tmp_path)

    opsnet = assemble(tmp_path, CLIP, clip_weights)

    assert opsnet.config.training_vocabulary == Vocabulary.of("coco")
    things = [concept.is_thing for concept in opsnet.config.training_vocabulary.concepts]
    assert things == [bool(c["isthing"]) for c in categories]


def test_what_is_written_is_read_back_bit_by_bit_and_transformers_reads_it_too(tmp_path: Path) -> None:
    for config in (RESNET, SWIN):
        segmenter, rng = seeded(Segmenter(config)), torch.Generator().manual_seed(3)
        weight, bias = torch.randn(6, 32, generator=rng), torch.randn(6, generator=rng)

        write_mask2former(tmp_path, config, segmenter.state_dict(), class_weight=weight, class_bias=bias, names=LABELS)
        found = read_mask2former(tmp_path)

        assert (found.config, found.names) == (config, LABELS)
        assert torch.equal(found.class_weight, weight)
        assert torch.equal(found.class_bias, bias)
        again = Segmenter(config)
        again.load_state_dict(dict(found.segmenter))
        assert same(state(segmenter), state(again))
        theirs, report = Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path, output_loading_info=True)
        assert set(report["missing_keys"]) <= {"criterion.empty_weight"}
        assert not report["unexpected_keys"]
        assert torch.equal(theirs.class_predictor.weight, weight)
        assert theirs.config.id2label == dict(enumerate(LABELS))
        assert same(theirs.model.state_dict(), segmenter.mask2former.state_dict())


def test_a_class_head_that_does_not_fit_its_names_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="class head of 3 rows"):
        write_random(tmp_path / "out", ("a", "b"))
    assert not (tmp_path / "out").exists()


def test_files_of_older_versions_are_read_as_they_are(tmp_path: Path) -> None:
    """They lack what nothing reads, and hold an index that is no weight."""
    closed_set(SWIN).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if ".swin.layernorm." not in k}
    place = "model.pixel_level_module.encoder.encoder.layers.0.blocks.0.attention.self."
    weights[place + "relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    save_file(weights, path)

    found = read_mask2former(tmp_path)

    assert found.segmenter.keys() == Segmenter(SWIN).state_dict().keys()


FULL_SIZE = {
    "Swin-L": SwinConfig(
        embed_dim=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=12,
        image_size=384,
        drop_path_rate=0.3,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    ),
    "R50": ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"]),
}


@pytest.mark.parametrize("backbone", FULL_SIZE)
def test_full_size_names_and_shapes_are_those_of_the_published_models(backbone: str) -> None:
    theirs = Mask2FormerConfig(backbone_config=FULL_SIZE[backbone], num_queries=200, num_labels=133)
    config = from_transformers(json.loads(theirs.to_json_string()))
    with torch.device("meta"):
        whole = Mask2FormerForUniversalSegmentation(theirs)

    ours = {name: tensor.shape for name, tensor in published_names(config).values()}

    expected = {f"mask2former.{name}": value.shape for name, value in whole.model.state_dict().items()}
    assert ours == expected
    published = set(published_names(config))
    if backbone == "Swin-L":
        block = "pixel_level_module.encoder.encoder.layers.2.blocks.17."
        assert {block + "attention.self.query.weight", block + "output.dense.bias"} <= published
        assert "pixel_level_module.encoder.embeddings.patch_embeddings.projection.weight" in published
        assert sum(value.numel() for value in whole.parameters()) > 210e6
    assert "transformer_module.decoder.mask_predictor.mask_embedder.0.0.weight" in published


@pytest.mark.parametrize("name", ["RN50", "RN101-quickgelu"])
def test_full_size_clip_has_open_clips_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        ours = Clip(ClipConfig.named(name)).clip
        theirs = open_clip.create_model(name, device="meta", pretrained=None)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert type(ours.visual) is type(theirs.visual)


def _edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        document = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(document | changes))

    return edit


def _edit_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return edit


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "cut weights": (_cut, "is damaged"),
    "no JSON": (_write("config.json", b"{"), "this is no JSON"),
    "no UTF-8": (_write("config.json", b"\xff\xfe{"), "this is no JSON"),
    "a list": (_write("config.json", b"[1]"), "must hold an object"),
    "another model": (_edit_config(model_type="detr"), "is a detection model"),
    "another backbone": (_edit_config(backbone_config={"model_type": "vit"}), "backbone 'vit'"),
    "a backbone of text": (_edit_config(backbone_config="resnet"), "backbone 'str'"),
    "another variant": (_edit_config(pre_norm=True), "pre_norm is False, got True"),
    "two widths": (_edit_config(feature_size=64), "feature_size and mask_feature_size agree"),
    "a width of text": (_edit_config(hidden_dim="wide"), "can't be read"),
    "three stages": (_edit_config(backbone_config={"model_type": "resnet", "depths": [1, 1, 1]}), "can't be read"),
    "no names": (_edit_config(id2label={}), "no class names"),
    "odd numbers": (_edit_config(id2label={"one": "cat"}), "not numbered from 0"),
    "too few names": (_edit_config(id2label={"0": "cat", "1": "dog"}), r"class_predictor.weight \[6, 32\]"),
    "names without words": (
        _edit_config(id2label={str(n): f"LABEL_{n}" for n in range(5)}),
        "does not say what its 5 classes are called",
    ),
    "a size of text": (
        _write("preprocessor_config.json", b'{"size": {"shortest_edge": "big"}}'),
        "expected sides of 32",
    ),
    "a size of nothing": (_write("preprocessor_config.json", b'{"size": 0}'), "expected sides of 32 pixels or more"),
    "sides the wrong way": (
        _write("preprocessor_config.json", b'{"size": {"shortest_edge": 640, "longest_edge": 320}}'),
        "got 640 and 320",
    ),
    "another padding": (
        _write("preprocessor_config.json", b'{"padding": "pink"}'),
        "must be black or mean, got 'pink'",
    ),
    "more queries": (_edit_config(num_queries=9), r"queries_embedder.weight \[8, 32\] instead of \[9, 32\]"),
    "a missing weight": (
        _edit_weights(lambda w: w.pop("model.transformer_module.level_embed.weight")),
        "lacks model.transformer_module.level_embed.weight",
    ),
    "no class head": (_edit_weights(lambda w: w.pop("class_predictor.bias")), "lacks class_predictor.bias"),
    "an unknown weight": (
        _edit_weights(lambda w: w.update({"model.extra": torch.zeros(1)})),
        "holds the unknown model.extra",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_ends_in_one_sentence(damage: str, tmp_path: Path, clip_weights: Path) -> None:
    write_random(tmp_path)
    spoil, told = DAMAGES[damage]
    spoil(tmp_path)

    with pytest.raises(ValueError, match=told) as caught:
        assemble(tmp_path, CLIP, clip_weights)

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_weights_of_another_clip_end_in_one_sentence(folder: Path, clip_weights: Path) -> None:
    with pytest.raises(ValueError, match=r"don't fit RN50: .*name the architecture that they belong to\.$"):
        assemble(folder, "RN50", clip_weights)


def test_an_unknown_clip_ends_in_one_sentence(folder: Path, clip_weights: Path) -> None:
    with pytest.raises(ValueError, match="open_clip knows no model 'RN51'; near names: RN50"):
        assemble(folder, "RN51", clip_weights)
    with pytest.raises(ValueError, match="don't fit ViT-B-32: the file holds another kind of image tower"):
        assemble(folder, "ViT-B-32", clip_weights)


def test_openais_weights_are_computed_with_quickgelu_whatever_the_name_says(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks = {"input_resolution": torch.tensor(64), "context_length": torch.tensor(32), "vocab_size": torch.tensor(1)}
    torch.save({**seeded(Clip(CLIP)).clip.state_dict(), **marks}, tmp_path / "RN50.pt")

    opsnet = assemble(folder, CLIP, tmp_path / "RN50.pt")

    assert opsnet.config.clip == replace(CLIP, quick_gelu=True)
    assert "bears OpenAI's marks, and OpenAI trained with QuickGELU: it is computed with it" in caplog.text


def test_a_clip_is_named_by_its_folder_or_by_a_name_and_its_weights(folder: Path, clip_weights: Path) -> None:
    for clip, weights, told in (
        ("RN50", None, "there is no CLIP at 'RN50'"),
        (clip_weights, clip_weights, "is read as a CLIP with its weights"),
        (CLIP, None, "the sizes of a CLIP need weights"),
    ):
        with pytest.raises(ValueError, match=told):
            assemble(folder, clip, weights)
    opsnet = assemble(folder, str(clip_weights))  # heads as wide as all published ones have them
    assert opsnet.config.clip == replace(CLIP, dense_stride=32, head_width=64, text_heads=1)


def test_a_vocabulary_of_another_length_ends_in_one_sentence(folder: Path, clip_weights: Path) -> None:
    with pytest.raises(ValueError, match="has 5 classes, but the vocabulary has 2 concepts"):
        assemble(folder, CLIP, clip_weights, vocabulary="cat, dog")


def test_an_assembled_state_is_whole(folder: Path, clip_weights: Path) -> None:
    """Loading it into a fresh model of the same configuration gives the same model."""
    opsnet = assemble(folder, CLIP, clip_weights, vocabulary=TRAINING)
    again = type(opsnet)(opsnet.config)

    again.load_state_dict(opsnet.state_dict())

    assert same(state(opsnet), state(again))
