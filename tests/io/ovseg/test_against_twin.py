"""What the README says of imported checkpoints, held against a slow twin of the official program.

`test_checkpoint.py` holds the same against the official program's own outputs, where the folder of shared data is.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import ovseg_twin
from lexiseg.core.errors import ModelError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.segmenters.maskformer import MaskFormer
from lexiseg.io.models import load_model, save_model
from lexiseg.io.ovseg.checkpoint import config_of, import_ovseg
from lexiseg.io.ovseg.keys import from_official, to_official
from lexiseg.io.ovseg.verify import read_reference, verify
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.presets import ovseg_swin_base_config
from ovseg_twin import PUBLISHED, Sizes

NAMES = ("red fox", "grass", "a very old boat", "sky", "Eiffel tower", "owl")
TRAINED = Vocabulary.of("cat, dog, owl, sky:stuff")
CASES = {
    "the paper's": (Sizes(), 4),
    "odd windows, few pixels in a mask": (Sizes(window=4, threshold=0.99999, clip_weight=0.45), 7),
}
Case = tuple[OVSeg, dict[str, Tensor]]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An imported model, stored and read again, and what the twin returns on the same weights."""
    (sizes, seed), folder = CASES[request.param], tmp_path_factory.mktemp("twin")
    weights = ovseg_twin.checkpoint(sizes, seed)
    torch.save({"model": weights}, folder / "checkpoint.pth")
    reference = ovseg_twin.answer(weights, sizes, ovseg_twin.picture(), NAMES)
    save_file({key: value.contiguous() for key, value in reference.items()}, folder / "io.safetensors")
    imported = import_ovseg(folder / "checkpoint.pth", settings=ovseg_twin.settings(sizes, NAMES), vocabulary=TRAINED)
    model = load_model(save_model(imported.model, folder / "model"))
    assert isinstance(model, OVSeg)
    return model, read_reference(folder / "io.safetensors")


def test_every_stage_is_the_twins(case: Case) -> None:
    model, reference = case

    found = verify(model, reference, NAMES)

    assert len(found.tensors) == 11
    for check in found.tensors:
        assert max(check.values) <= 2e-4, check.name
    for check in found.maps:
        assert min(check.values) >= 0.999, check.name
    assert found.holds


def test_the_twin_asks_something_of_every_stage(case: Case) -> None:
    _, reference = case

    assert len(reference["sem_seg"].argmax(0).unique()) > 1
    assert len(reference["sem_seg_no_ensemble"].argmax(0).unique()) > 1
    assert len(reference["clip_logits"].argmax(1).unique()) > 1
    assert int(reference["valid"].sum()) > 4


def test_a_mask_without_a_pixel_above_the_threshold_is_the_queries_alone() -> None:
    sizes, seed = CASES["odd windows, few pixels in a mask"]
    reference = ovseg_twin.answer(ovseg_twin.checkpoint(sizes, seed), sizes, ovseg_twin.picture(), NAMES)

    assert not reference["valid"].all()


def test_a_wrong_weight_shows_in_its_own_stage_and_in_all_later_ones(case: Case) -> None:
    model, reference = case
    weight = model.segmenter.transformer.decoder.layernorm.weight
    right = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(torch.linspace(0.2, 2, len(weight)))
        found = verify(model, reference, NAMES)
    finally:
        with torch.no_grad():
            weight.copy_(right)

    assert {check.name for check in found.tensors if check.values[0] > 1e-3} == {"mask_logits", "class_embed"}
    assert {"sem_seg", "sem_seg_no_ensemble"} <= {check.name for check in found.tensors if check.overall > 1e-3}
    assert not found.holds


def test_a_reference_of_other_words_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match="made with another model or with other words"):
        verify(*case, ["cat", "dog"])


@pytest.mark.parametrize("gone", ["mask_logits", "clip_logits"])
def test_a_reference_that_lacks_something_is_refused(case: Case, gone: str, tmp_path: Path) -> None:
    save_file({key: value for key, value in case[1].items() if key != gone}, tmp_path / "less.safetensors")

    with pytest.raises(ModelError, match=f"lacks {gone}"):
        read_reference(tmp_path / "less.safetensors")


@torch.no_grad()
def test_masks_come_from_official_weights_alone_without_the_rest_of_the_model() -> None:
    sizes, seed = CASES["the paper's"]
    official = ovseg_twin.checkpoint(sizes, seed)
    config = replace(config_of(official, source="the twin").segmenter, num_heads=sizes.decoder_heads)
    model = MaskFormer(config).eval()
    own = from_official(official, {f"segmenter.{name}": tensor for name, tensor in model.state_dict().items()})
    model.load_state_dict({name.removeprefix("segmenter."): tensor for name, tensor in own.items()})
    features = ovseg_twin.swin(official, sizes, ovseg_twin.picture(64, 96))
    masks, _ = ovseg_twin.decode(official, sizes, features)

    found = model.decode(tuple(feature[None] for feature in features))

    torch.testing.assert_close(found.mask_logits[0], masks, atol=1e-4, rtol=1e-4)


def test_all_keys_and_shapes_of_the_published_layout_are_the_full_size_presets() -> None:
    listed = {key: torch.empty(shape, device="meta") for key, shape in ovseg_twin.layout(PUBLISHED).items()}
    with torch.device("meta"):
        own = to_official(OVSeg(ovseg_swin_base_config()).state_dict())

    assert config_of(listed, source="the layout") == ovseg_swin_base_config()
    assert {key: tensor.shape for key, tensor in own.items()} == {key: listed[key].shape for key in own}
    buffers = {key.rpartition(".")[2] for key in listed if key not in own}
    assert buffers == {"relative_position_index", "empty_weight", "pixel_mean", "pixel_std"}


def test_names_and_values_survive_the_way_there_and_back() -> None:
    sizes, seed = CASES["the paper's"]
    official = ovseg_twin.checkpoint(sizes, seed)
    with torch.device("meta"):
        like = OVSeg(config_of(official, source="the twin")).state_dict()

    there = from_official(official, like)
    back = to_official(there)

    assert there.keys() == like.keys()
    assert all(torch.equal(back[key], official[key]) for key in back)
