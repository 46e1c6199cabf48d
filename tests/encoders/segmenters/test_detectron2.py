"""Official Mask2Former checkpoints: what transformers knows under its own names comes out of detectron2's."""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Mask2FormerForUniversalSegmentation

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.detectron2 import read_detectron2
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig, to_transformers
from tiny import RESNET, SWIN, pictures, seeded

HEAD, LAYERS = "sem_seg_head.", "sem_seg_head.predictor.transformer_"
THEIRS = r"^model\.transformer_module\.decoder\.layers\.(\d+)"
# An independent table: from the names of published files, by regular expressions, to detectron2's of today.
TABLE = [
    (r"^model\.pixel_level_module\.encoder\.encoder\.layers\.", "backbone.layers."),
    (r"^model\.pixel_level_module\.encoder\.embeddings\.patch_embeddings\.projection\.", "backbone.patch_embed.proj."),
    (r"^model\.pixel_level_module\.encoder\.embeddings\.norm\.", "backbone.patch_embed.norm."),
    (r"^model\.pixel_level_module\.encoder\.hidden_states_norms\.stage1\.", "backbone.norm0."),
    (r"^model\.pixel_level_module\.encoder\.hidden_states_norms\.stage2\.", "backbone.norm1."),
    (r"^model\.pixel_level_module\.encoder\.hidden_states_norms\.stage3\.", "backbone.norm2."),
    (r"^model\.pixel_level_module\.encoder\.hidden_states_norms\.stage4\.", "backbone.norm3."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.relative_position_bias_table", ".attn.relative_position_bias_table"),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"^model\.pixel_level_module\.encoder\.embedder\.embedder\.", "backbone.stem.conv1."),
    (
        r"^model\.pixel_level_module\.encoder\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.",
        lambda m: f"backbone.res{int(m[1]) + 2}.{m[2]}.conv{int(m[3]) + 1}.",
    ),
    (
        r"^model\.pixel_level_module\.encoder\.encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.",
        lambda m: f"backbone.res{int(m[1]) + 2}.{m[2]}.shortcut.",
    ),
    (r"^(backbone\..*)\.convolution\.", r"\1."),
    (r"^(backbone\..*)\.normalization\.", r"\1.norm."),
    (r"^model\.pixel_level_module\.decoder\.level_embed", f"{HEAD}pixel_decoder.transformer.level_embed"),
    (r"^model\.pixel_level_module\.decoder\.input_projections\.", f"{HEAD}pixel_decoder.input_proj."),
    (r"^model\.pixel_level_module\.decoder\.mask_projection\.", f"{HEAD}pixel_decoder.mask_features."),
    (r"^model\.pixel_level_module\.decoder\.(adapter_1|layer_1)\.0\.", rf"{HEAD}pixel_decoder.\1."),
    (r"^model\.pixel_level_module\.decoder\.(adapter_1|layer_1)\.1\.", rf"{HEAD}pixel_decoder.\1.norm."),
    (r"^model\.pixel_level_module\.decoder\.encoder\.", f"{HEAD}pixel_decoder.transformer.encoder."),
    (r"(transformer\.encoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.norm1."),
    (r"(transformer\.encoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm2."),
    (r"(transformer\.encoder\.layers\.\d+)\.fc(\d)\.", r"\1.linear\2."),
    (r"^model\.transformer_module\.queries_embedder\.", f"{HEAD}predictor.query_embed."),
    (r"^model\.transformer_module\.queries_features\.", f"{HEAD}predictor.query_feat."),
    (r"^model\.transformer_module\.level_embed\.", f"{HEAD}predictor.level_embed."),
    (r"^model\.transformer_module\.decoder\.layernorm\.", f"{HEAD}predictor.decoder_norm."),
    (
        r"^model\.transformer_module\.decoder\.mask_predictor\.mask_embedder\.(\d)\.0\.",
        rf"{HEAD}predictor.mask_embed.layers.\1.",
    ),
    (rf"{THEIRS}\.self_attn\.", rf"{LAYERS}self_attention_layers.\1.self_attn."),
    (rf"{THEIRS}\.self_attn_layer_norm\.", rf"{LAYERS}self_attention_layers.\1.norm."),
    (rf"{THEIRS}\.cross_attn\.", rf"{LAYERS}cross_attention_layers.\1.multihead_attn."),
    (rf"{THEIRS}\.cross_attn_layer_norm\.", rf"{LAYERS}cross_attention_layers.\1.norm."),
    (rf"{THEIRS}\.fc(\d)\.", rf"{LAYERS}ffn_layers.\1.linear\2."),
    (rf"{THEIRS}\.final_layer_norm\.", rf"{LAYERS}ffn_layers.\1.norm."),
    (r"^class_predictor\.", f"{HEAD}predictor.class_embed."),
]  # fmt: skip
PACKED = [
    (r"\.attention\.self\.{}\.(weight|bias)$", ("query", "key", "value"), r".attn.qkv.\1"),
    (r"self_attn\.{}\.(weight|bias)$", ("q_proj", "k_proj", "v_proj"), r"self_attn.in_proj_\1"),
]


def official(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the official program would have saved."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if "swin.layernorm" in name or name.endswith(("num_batches_tracked", "relative_position_index")):
            continue
        for pattern, new in TABLE:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    for pattern, parts, new in PACKED:
        for name in [name for name in renamed if re.search(pattern.format(parts[0]), name)]:
            thirds = [name.replace(f".{parts[0]}.", f".{part}.") for part in parts]
            renamed[re.sub(pattern.format(parts[0]), new, name)] = torch.cat([renamed.pop(third) for third in thirds])
    renamed["criterion.empty_weight"] = torch.ones(6)
    return renamed


class Case:
    """A random model of transformers', what it answers, and its weights under official names."""

    def __init__(self, config: SegmenterConfig, folder: Path) -> None:
        theirs = to_transformers(config)
        theirs.num_labels = 5
        model = seeded(Mask2FormerForUniversalSegmentation(theirs)).eval()
        model.save_pretrained(folder)
        self.weights = official(load_file(folder / "model.safetensors"))
        self.images = pictures()
        with torch.no_grad():
            self.answer = model(colours.IMAGENET.normalise(self.images.pixel_values))


CLOSE = {"atol": 1e-5, "rtol": 0}
CONFIGS = {"swin": SWIN, "resnet": RESNET}


@pytest.fixture(scope="module", params=CONFIGS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(CONFIGS[request.param], tmp_path_factory.mktemp(request.param))


def pickled(weights: dict[str, Tensor], protocol: int = 4) -> bytes:
    arrays = OrderedDict((name, np.array(tensor.numpy())) for name, tensor in weights.items())
    return pickle.dumps({"model": arrays, "__author__": "nobody", "matching_heuristics": False}, protocol)


def older(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("query_feat", "static_query"): tensor for name, tensor in weights.items()}


WRITERS: dict[str, Callable[[Path, dict[str, Tensor]], object]] = {
    "pth": lambda path, weights: torch.save({"model": weights, "iteration": 9, "optimizer": {"lr": [1.0]}}, path),
    "safetensors": lambda path, weights: save_file(weights, path.with_suffix(".safetensors")),
    "pkl 3": lambda path, weights: path.write_bytes(pickled(older(weights), 3)),
    "pkl 4": lambda path, weights: path.write_bytes(pickled(weights, 4)),
    "pkl 5": lambda path, weights: path.write_bytes(pickled(weights, 5)),
}


@pytest.mark.parametrize("kind", WRITERS)
@torch.no_grad()
def test_masks_and_class_logits_are_those_of_transformers(case: Case, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{kind.split()[0]}"
    WRITERS[kind](path, case.weights)

    found = read_detectron2(path)
    segmenter = Segmenter(found.config).eval()
    segmenter.load_state_dict(dict(found.segmenter))
    proposals = segmenter(case.images.pixel_values)

    logits = proposals.query_embed @ found.class_weight.T + found.class_bias
    expected = case.answer.masks_queries_logits
    torch.testing.assert_close(proposals.mask_logits / expected.abs().max(), expected / expected.abs().max(), **CLOSE)
    torch.testing.assert_close(proposals.mask_logits.sigmoid(), expected.sigmoid(), **CLOSE)
    torch.testing.assert_close(logits.softmax(-1), case.answer.class_queries_logits.softmax(-1), **CLOSE)
    assert logits.softmax(-1).std() > 1e-3


def test_names_are_those_of_the_official_programs_or_given_or_numbers(tmp_path: Path, case: Case) -> None:
    found: dict[int, tuple[str, ...]] = {}
    for classes in (133, 80, 150, 100, 19, 8, 5):
        weights = dict(case.weights)
        weights["sem_seg_head.predictor.class_embed.weight"] = torch.zeros(classes + 1, 32)
        weights["sem_seg_head.predictor.class_embed.bias"] = torch.zeros(classes + 1)
        torch.save(weights, tmp_path / "model.pth")
        found[classes] = read_detectron2(tmp_path / "model.pth").names
    torch.save(case.weights, tmp_path / "model.pth")
    given = read_detectron2(tmp_path / "model.pth", names=["a", "b", "c", "d", "e"]).names

    assert {classes: len(names) for classes, names in found.items()} == {n: n for n in found}
    assert found[133] == Vocabulary.of("coco").names
    assert found[80] == found[133][:80]
    assert (found[150][0], found[100][0], found[19][0], found[8][0]) == ("wall", "bed", "road", "person")
    assert (found[5][4], given[4]) == ("LABEL_4", "e")


class Runs:
    """A pickle of it runs a program."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def edited(**changes: Any) -> Callable[[dict[str, Tensor]], bytes]:
    def edit(weights: dict[str, Tensor]) -> bytes:
        whole = {k: v for k, v in weights.items() if k not in changes} | {
            k: v for k, v in changes.items() if v is not None
        }
        buffer = io.BytesIO()
        torch.save({"model": whole}, buffer)
        return buffer.getvalue()

    return edit


def packed_tight(weights: dict[str, Tensor]) -> bytes:
    """A .pth whose numbers are compressed, which torch.save never does: a few bytes become many."""
    buffer, out = io.BytesIO(), io.BytesIO()
    torch.save({"model": {"a": torch.zeros(1 << 20)}}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return out.getvalue()


def object_array() -> bytes:
    return pickle.dumps({"model": {"backbone.stem.conv1.weight": np.array([{}, None], dtype=object)}}, 3)


def claims_much() -> bytes:
    """An array that says it has 10^12 numbers."""
    data = pickle.dumps({"model": {"w": np.zeros((3, 5), np.float32)}}, 3)
    assert data.count(b"K\x03K\x05\x86") == 1
    return data.replace(b"K\x03K\x05\x86", b"\x8a\x06\x00\x00\x00\x00\x00\x01K\x05\x86")


QUERIES, HEADS = "sem_seg_head.predictor.query_feat.weight", "sem_seg_head.predictor.class_embed.weight"
HOSTILE: dict[str, tuple[Callable[[dict[str, Tensor]], bytes], str]] = {
    "a program in a pickle": (lambda w: pickle.dumps({"model": {"a": Runs()}}), "holds more than arrays"),
    "a program in a .pth": (edited(a=Runs()), "holds more than tensors"),
    "one beside arrays": (lambda w: pickle.dumps({"model": {"a": np.ones(2), "b": Runs()}}, 3), "more than arrays"),
    "an eval": (lambda w: b"\x80\x03cbuiltins\neval\nX\x0e\x00\x00\x00open('ran','w')\x85R.", "holds more than arrays"),
    "an extended name": (lambda w: b"\x80\x04\x8c\x0fnumpy.testing._\x8c\x07_x.eval\x93.", "holds more than arrays"),
    "numbers far off in the memo": (lambda w: b"\x80\x03}r\xff\xff\xff\x7f.", "holds no arrays"),
    "an array of objects": (lambda w: object_array(), "holds more than arrays"),
    "an array that says it is huge": (lambda w: claims_much(), "damaged or cut off"),
    "a cut pickle": (lambda w: pickled(w)[:5000], "damaged or cut off"),
    "a cut .pth": (lambda w: edited()(w)[:5000], "damaged or cut off"),
    "a compressed .pth": (packed_tight, "damaged or cut off"),
    "text": (lambda w: b"never weights", "damaged or cut off"),
    "nothing": (lambda w: b"", "damaged or cut off"),
    "a web page": (lambda w: b"<!DOCTYPE html><html>", "web page"),
    "a pointer": (lambda w: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git-LFS pointer"),
    "no arrays": (lambda w: pickle.dumps([1, 2]), "holds no arrays"),
    "a number that is none": (edited(**{HEADS: torch.full((6, 32), float("nan"))}), "has NaN or infinity in"),
    "whole numbers": (edited(**{HEADS: torch.ones(6, 32, dtype=torch.int64)}), "has whole numbers in"),
    "a missing weight": (edited(**{"sem_seg_head.predictor.decoder_norm.bias": None}), "lacks sem_seg_head.predictor"),
    "an unknown weight": (edited(another=torch.ones(1)), "holds the unknown another"),
    "another shape": (edited(**{QUERIES: torch.ones(8, 64)}), "another shape in|of queries and masks differ"),
    "no shape": (edited(**{QUERIES: torch.ones(())}), "is no checkpoint of detectron2's Mask2Former"),
    "one number said to be many": (edited(**{QUERIES: torch.ones(1, 1).expand(10**7, 10**7)}), "damaged"),
    "an FC-CLIP": (edited(**{"void_embedding.weight": torch.ones(1, 4)}), "lexiseg import fcclip"),
    "a CLIP": (lambda w: edited(**dict.fromkeys(w) | {"visual.proj": torch.ones(2)})(w), "but a CLIP"),
    "another model": (lambda w: edited(**dict.fromkeys(w) | {"fc.bias": torch.ones(2)})(w), "is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_and_hostile_files_end_in_one_sentence_and_run_nothing(
    name: str, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, complaint = HOSTILE[name]
    path = tmp_path / "model_final.pkl"
    path.write_bytes(make(case.weights))

    with pytest.raises(ValueError, match=complaint) as refused:
        read_detectron2(path)

    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).endswith(".")
    assert [file.name for file in tmp_path.iterdir()] == ["model_final.pkl"]
