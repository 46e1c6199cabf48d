from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lexiseg.core.frames import Resizing
from lexiseg.core.structures import LayerPrediction, MaskPrediction, MaskProposals, Targets
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY, ModulationConfig
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.training.segmentation.criterion import CriterionConfig, segmentation_losses
from tiny import TRAINING, model, pictures, same, state, words

NOVEL = "lamp|lantern, tiger, sea:stuff"


@pytest.fixture(scope="module")
def opsnet() -> OPSNet:
    return model()


def answers(one: MaskPrediction, other: MaskPrediction) -> bool:
    """Whether two predictions agree in every bit."""
    fields = ("mask_logits", "class_logits", "void_probs", "iou_scores")
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in fields)


@torch.no_grad()
def test_asked_for_its_training_vocabulary_modulation_is_query_only_in_every_bit(opsnet: OPSNet) -> None:
    asked = words(opsnet, TRAINING)
    assert asked.domain_similarity == 1.0
    assert torch.equal(asked.similarity, torch.ones(5))
    for alpha, beta in ((10.0, 0.5), (15.0, 1.0)):
        whole = opsnet(pictures(), asked, ModulationConfig(alpha=alpha, beta=beta))
        assert answers(whole, opsnet(pictures(), asked, QUERY_ONLY))


@torch.no_grad()
def test_order_and_number_of_training_words_do_not_bring_clip_in(opsnet: OPSNet) -> None:
    asked = words(opsnet, Vocabulary(TRAINING.concepts[3:0:-1], TRAINING.templates), negatives=True)
    assert answers(opsnet(pictures(), asked), opsnet(pictures(), asked, QUERY_ONLY))


@torch.no_grad()
def test_off_the_training_vocabulary_clip_is_heard(opsnet: OPSNet) -> None:
    asked = words(opsnet, NOVEL)
    assert 0 < asked.domain_similarity < 1
    assert (asked.similarity < 1).all()
    whole, query_only = opsnet(pictures(), asked), opsnet(pictures(), asked, QUERY_ONLY)
    assert not torch.allclose(whole.class_logits, query_only.class_logits, atol=1e-3)
    assert torch.equal(whole.mask_logits, query_only.mask_logits)
    assert torch.equal(whole.void_probs, query_only.void_probs)


@torch.no_grad()
def test_without_alpha_and_beta_it_is_query_only_in_every_bit(opsnet: OPSNet) -> None:
    asked = words(opsnet, NOVEL, negatives=True)
    assert answers(
        opsnet(pictures(), asked, ModulationConfig(alpha=0.0, beta=0.0)), opsnet(pictures(), asked, QUERY_ONLY)
    )


@torch.no_grad()
def test_a_large_fixed_ratio_ranks_as_clip_alone_and_clip_alone_knows_no_void(opsnet: OPSNet) -> None:
    asked = words(opsnet, NOVEL)
    alone = opsnet(pictures(), asked, CLIP_ONLY)
    mixed = opsnet(pictures(), asked, ModulationConfig(clip_ratio=1e6, beta=0.0))
    torch.testing.assert_close(mixed.class_logits, alone.class_logits, atol=1e-3, rtol=0)
    assert torch.equal(mixed.class_logits.argmax(-1), alone.class_logits.argmax(-1))
    assert torch.equal(alone.void_probs, torch.zeros(2, 8))
    assert mixed.void_probs.min() > 0


@torch.no_grad()
def test_void_is_the_last_share_of_the_training_softmax(opsnet: OPSNet) -> None:
    asked = words(opsnet, NOVEL)
    proposals = opsnet.propose(pictures())
    regions = opsnet.embed(proposals, opsnet.clip_map(pictures()))
    logits = opsnet.class_logits_with_void(regions.class_embed, asked)
    assert logits.shape == (2, 8, 4)
    assert logits.abs().max() <= 100 * (1 + 1e-5)
    torch.testing.assert_close(opsnet(pictures(), asked).void_probs, logits.softmax(-1)[..., -1])


@torch.no_grad()
def test_two_vocabularies_leave_the_model_as_it_was(opsnet: OPSNet) -> None:
    before = state(opsnet)
    first = opsnet(pictures(), words(opsnet, TRAINING))
    opsnet(pictures(), words(opsnet, ", ".join(f"word {n}" for n in range(40)), negatives=True))
    assert same(before, state(opsnet))
    assert answers(first, opsnet(pictures(), words(opsnet, TRAINING)))


@torch.no_grad()
def test_the_order_of_words_is_the_order_of_columns_and_nothing_else(opsnet: OPSNet) -> None:
    forth, back = words(opsnet, "lamp, tiger, sea:stuff"), words(opsnet, "sea:stuff, tiger, lamp")
    one, other = opsnet(pictures(), forth), opsnet(pictures(), back)
    torch.testing.assert_close(one.class_logits, other.class_logits.flip(-1), atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_the_adapter_under_the_whole_picture_is_attention_that_looks_everywhere_alike(opsnet: OPSNet) -> None:
    images, pool = pictures(), opsnet.clip.visual.attnpool
    cells = opsnet.clip.trunk(images.pixel_values, stride=16).flatten(2).transpose(1, 2)
    uniform = pool.c_proj(pool.v_proj(cells).mean(1))
    everywhere = MaskProposals(mask_logits=torch.ones(2, 1, 16, 24), query_embed=torch.zeros(2, 1, 32))
    found = opsnet.embed(everywhere, opsnet.clip_map(images)).clip_embed[:, 0]
    torch.testing.assert_close(found, F.normalize(uniform, dim=-1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("clip_scale", [0.5, 1.0, 1.5])
@torch.no_grad()
def test_clip_sees_the_picture_at_its_own_size(clip_scale: float) -> None:
    opsnet = model(clip_scale=clip_scale, positions="resize")
    prediction = opsnet(pictures(), words(opsnet, NOVEL))
    assert opsnet.clip_map(pictures()).shape[-2:] == {0.5: (3, 5), 1.0: (5, 7), 1.5: (7, 9)}[clip_scale]
    assert prediction.class_logits.isfinite().all()
    assert prediction.mask_logits.shape == (2, 8, 16, 24)


@torch.no_grad()
def test_masks_never_see_the_enhancement(opsnet: OPSNet) -> None:
    plain = model(has_enhancer=False)
    plain.load_state_dict({k: v for k, v in opsnet.state_dict().items() if not k.startswith("enhancer.")})
    asked = words(opsnet, TRAINING)
    with_it, without = opsnet(pictures(), asked), plain(pictures(), asked)
    assert torch.equal(with_it.mask_logits, without.mask_logits)
    assert torch.equal(with_it.iou_scores, without.iou_scores)
    assert not torch.allclose(with_it.class_logits, without.class_logits, atol=1e-2)


def test_clip_is_frozen_in_eval_mode_and_a_training_step_changes_none_of_its_bits() -> None:
    opsnet = model().train()
    asked = words(opsnet, TRAINING)
    before, others = state(opsnet.clip) | state(opsnet.adapter), state(opsnet.segmenter)
    trained = [parameter for parameter in opsnet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    masks = torch.zeros(1, 16, 24, dtype=torch.bool)
    masks[:, 4:12, 6:18] = True
    truth = Targets(masks=masks, class_ids=torch.tensor([1]), ignored=torch.zeros(16, 24, dtype=torch.bool))
    images = pictures()

    proposals = opsnet.propose(images, every_layer=True)
    embed = opsnet.class_embed(proposals, opsnet.clip_map(images))
    layer = LayerPrediction(
        mask_logits=proposals.mask_logits,
        class_logits=opsnet.class_logits_with_void(embed, asked),
        iou_scores=opsnet.iou_scores(proposals),
    )
    generator = torch.Generator().manual_seed(0)
    losses = segmentation_losses([layer], (truth, truth), CriterionConfig(num_points=64), generator=generator)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()

    assert opsnet.training
    assert opsnet.segmenter.training
    assert not any(part.training for part in opsnet.clip.modules())
    assert same(before, state(opsnet.clip) | state(opsnet.adapter))
    assert not same(others, state(opsnet.segmenter))
    assert all(parameter.grad is None for parameter in opsnet.clip.parameters())
    learned = ("segmenter.", "enhancer.", "head.", "iou_head.")
    with_gradient = {name for name, p in opsnet.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert {name.split(".")[0] + "." for name in with_gradient} == set(learned)
    assert "head.void_embed" in with_gradient


def duplicates(iou_scores: tuple[float, float]) -> MaskPrediction:
    """Two equally sure masks of one thing: the second is the first and as much again beside it."""
    mask_logits = torch.full((1, 2, 8, 8), -9.0)
    mask_logits[0, 0, 2:6, 1:4] = 9.0
    mask_logits[0, 1, 2:6, 4:7] = 9.0
    class_logits = torch.tensor([[[9.0, 0.0], [9.0, 0.0]]])
    return MaskPrediction(
        mask_logits=mask_logits,
        class_logits=class_logits,
        void_probs=torch.zeros(1, 2),
        iou_scores=torch.tensor([iou_scores]),
        num_concepts=2,
    )


def test_the_product_drops_a_bad_mask_that_the_class_score_alone_keeps() -> None:
    prediction, frame = duplicates((0.9, 0.05)), pictures(64, 64).frames[0]
    frame = replace(frame, original=(32, 32), resized=(32, 32), padded=(32, 32))
    asked = Vocabulary.of("cat, dog")
    by_class = panoptic_map(prediction, 0, frame, asked, MergeConfig(rank_by="class"))
    by_product = panoptic_map(prediction, 0, frame, asked, MergeConfig(rank_by="product"))
    assert len(by_class.segments) == 2
    assert len(by_product.segments) == 1
    assert by_product.segments[0].score == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"longest_side": 16}, {"clip_scale": 0.0}])
def test_impossible_sizes_are_refused(opsnet: OPSNet, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="longest_side must be 32 or more"):
        replace(opsnet.config, **wrong)


def test_other_sides_keep_the_aspect_ratio_and_the_proportion_of_the_models_own() -> None:
    opsnet = model()
    opsnet.config = replace(
        opsnet.config, longest_side=96, shortest_side=48, resizing=Resizing(rule="transformers", fixed=(64, 64))
    )
    before = opsnet.config

    opsnet.set_sides(None, None)
    assert opsnet.config == before
    opsnet.set_sides(None, 100)
    assert (opsnet.config.longest_side, opsnet.config.shortest_side) == (200, 100)
    assert opsnet.resizing == Resizing(rule="transformers")
    opsnet.set_sides(160, None)
    assert (opsnet.config.longest_side, opsnet.config.shortest_side) == (160, None)
    opsnet.set_sides(None, 60)
    assert opsnet.config.longest_side == 100
    for wrong in ((31, None), (64, 65), (None, 16)):
        with pytest.raises(ValueError, match="sides must be 32 pixels or more"):
            opsnet.set_sides(*wrong)


def test_pictures_larger_than_the_canvas_are_refused() -> None:
    opsnet = model()
    opsnet.config = replace(opsnet.config, longest_side=64, resizing=Resizing(canvas=64))
    with pytest.raises(ValueError, match="on the model's canvas of 64 pixels, but their longer side is 96"):
        opsnet.set_sides(96, None)
