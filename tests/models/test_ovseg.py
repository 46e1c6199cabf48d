from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lexiseg.core.structures import MaskPrediction, MaskProposals, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, MASKFORMER_ONLY, EnsembleConfig
from lexiseg.models import presets
from lexiseg.models.best_regions import best_regions
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.models.postprocess.semantic import soft_semantic_map
from tiny import TRAINING, ovseg, pictures, same, scores, state, words

NOVEL = "lamp|lantern, tiger, sea:stuff"


@pytest.fixture(scope="module")
def model() -> OVSeg:
    return ovseg()


def proposals_with(model: OVSeg, logits: torch.Tensor) -> MaskProposals:
    """The model's own queries with other masks."""
    own = model.propose(pictures())
    return replace(own, mask_logits=logits.expand_as(own.mask_logits).clone())


@torch.no_grad()
def test_a_prediction_holds_the_ensemble_of_both_branches(model: OVSeg) -> None:
    asked = words(model, NOVEL)
    own = model.propose(pictures())
    p = model.class_logits_with_void(model.class_embed(own), asked).softmax(-1)[..., :-1]
    clip_prediction = model(pictures(), asked, CLIP_BRANCH_ONLY)
    p_hat = clip_prediction.class_logits.softmax(-1)
    q = scores(model(pictures(), asked, EnsembleConfig(clip_weight=0.7)))
    torch.testing.assert_close(q, p**0.3 * p_hat**0.7)
    torch.testing.assert_close(scores(model(pictures(), asked, MASKFORMER_ONLY)), p)
    torch.testing.assert_close(clip_prediction.void_probs, torch.zeros(2, 8))


@torch.no_grad()
def test_clip_is_not_asked_where_the_query_decides_alone(model: OVSeg, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = words(model, NOVEL)
    monkeypatch.setattr(model.clip, "encode_regions", lambda *_: pytest.fail("CLIP was asked"))
    assert model(pictures(), asked, MASKFORMER_ONLY).counts.encoded == 0


@torch.no_grad()
def test_clip_embeds_each_masked_crop(model: OVSeg) -> None:
    asked = words(model, NOVEL)
    images = pictures()
    found = model.look(model.encode(images).crops, torch.zeros(2, 8, 4), EnsembleConfig())
    assert found.counts.encoded == int(found.has_pixels.sum())
    torch.testing.assert_close(found.clip_embed[found.has_pixels].norm(dim=-1), torch.ones(found.encoded))
    one_at_a_time = ovseg(regions=RegionConfig(crops_per_pass=1))
    again = one_at_a_time.look(one_at_a_time.encode(images).crops, torch.zeros(2, 8, 4), EnsembleConfig())
    torch.testing.assert_close(again.clip_embed, found.clip_embed)
    assert asked.num_concepts == 3


@torch.no_grad()
def test_a_crop_is_encoded_when_a_question_first_needs_it_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cautious, images = ovseg(regions=RegionConfig(min_object_prob=0.6)), pictures()
    encode, shown = cautious.clip.encode_regions, []
    monkeypatch.setattr(
        cautious.clip, "encode_regions", lambda crops, masks: shown.append(len(crops)) or encode(crops, masks)
    )
    questions = torch.zeros(4, 2, 8, 4)
    questions[0, 0, :5, -1] = questions[1, 0, 3:, -1] = questions[3, 1, :, -1] = 5.0  # no object, nearly surely
    expected = [cautious.look(cautious.encode(images).crops, logits, EnsembleConfig()) for logits in questions]
    shown.clear()

    crops = cautious.encode(images).crops
    assert cautious.look(crops, questions[2], MASKFORMER_ONLY).counts.encoded == sum(shown) == 0
    found, total = [], []
    for logits in questions:
        found.append(cautious.look(crops, logits, EnsembleConfig()))
        total.append(sum(shown))

    assert [one.counts.encoded for one in expected] == [11, 11, 16, 8]
    assert total == [11, 14, 16, 16]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.clip_embed, other.clip_embed)
        assert torch.equal(one.has_pixels, other.has_pixels)
        assert one.counts == other.counts


@torch.no_grad()
def test_an_empty_proposal_changes_no_other_and_takes_no_part_in_the_merge(model: OVSeg) -> None:
    asked = words(model, NOVEL)
    own = model.propose(pictures())
    emptied = replace(own, mask_logits=own.mask_logits.clone())
    emptied.mask_logits[:, 3] = -5.0
    whole = model.classify(pictures(), own, asked)
    found = model.classify(pictures(), emptied, asked)
    others = [0, 1, 2, 4, 5, 6, 7]
    torch.testing.assert_close(scores(found)[:, others], scores(whole)[:, others])
    assert (found.iou_scores[:, 3] == 0).all()
    assert found.counts.empty == 2
    p = model.class_logits_with_void(model.class_embed(own), asked).softmax(-1)[..., :-1]
    torch.testing.assert_close(scores(found)[:, 3], p[:, 3] ** 0.3)  # p_hat is 1, as in the paper's code


@pytest.mark.parametrize("ensemble", [EnsembleConfig(), MASKFORMER_ONLY, CLIP_BRANCH_ONLY])
@torch.no_grad()
def test_a_picture_in_which_no_proposal_survives_is_void_and_never_crashes(
    model: OVSeg, ensemble: EnsembleConfig
) -> None:
    asked = words(model, NOVEL)
    nothing = proposals_with(model, torch.tensor(-9.0))
    prediction = model.classify(pictures(), nothing, asked, ensemble)
    assert prediction.counts.encoded == 0
    panoptic = panoptic_map(
        prediction, 0, pictures().frames[0], Vocabulary.of(NOVEL), MergeConfig(score_threshold=0.0, rank_by="class")
    )
    assert panoptic.segments == ()
    labels = soft_semantic_map(prediction, 0, pictures().frames[0])
    assert labels.min() >= 0
    assert labels.max() < 3


@torch.no_grad()
def test_proposals_below_the_cut_are_skipped_and_counted() -> None:
    cautious = ovseg(regions=RegionConfig(min_object_prob=0.6))
    asked = words(cautious, NOVEL)
    own = cautious.propose(pictures())
    logits = torch.zeros(2, 8, 4)
    logits[0, :3, -1] = 5.0  # no object, nearly surely
    regions = cautious.look(cautious.crops(pictures(), own.mask_logits), logits, EnsembleConfig())
    assert regions.counts.skipped == 3
    prediction = cautious.predict(own, logits, regions, asked, EnsembleConfig())
    assert (scores(prediction)[0, :3] == 0).all()
    assert (scores(prediction)[0, 3:] > 0).all()
    counts = prediction.counts
    assert counts.proposals == counts.encoded + counts.empty + counts.skipped == 16


@torch.no_grad()
def test_calibrated_stacking_takes_from_seen_words_at_every_pixel(model: OVSeg) -> None:
    asked = words(model, "cat, tiger, sea:stuff")
    frame = pictures().frames[0]
    plain = model(pictures(), asked, EnsembleConfig(clip_weight=0.5))
    stacked = model(pictures(), asked, EnsembleConfig(clip_weight=0.5, calibration=100.0))
    assert stacked.pixel_bias is not None
    assert stacked.pixel_bias.tolist() == [100.0, 0.0, 0.0]
    assert torch.equal(stacked.class_logits, plain.class_logits)
    assert 0 not in soft_semantic_map(stacked, 0, frame)
    masks = F.interpolate(plain.mask_logits[:1], frame.padded, mode="bilinear")[0].sigmoid()[:, :64, :96]
    sums = torch.einsum("qk,qhw->khw", scores(plain)[0], masks)
    expected = (sums[1:].argmax(0) + 1).numpy()
    assert (soft_semantic_map(stacked, 0, frame) == expected).mean() > 0.999


@torch.no_grad()
def test_the_models_own_sentences_replace_those_of_the_vocabulary() -> None:
    single = ovseg(templates=("a sculpture of a {}.",))
    asked = single.embed_vocabulary(Vocabulary.of(NOVEL, ("no {}",)), negatives=False)
    row = F.normalize(single.clip.encode_text(["a sculpture of a tiger."]), dim=-1)[0]
    torch.testing.assert_close(asked.text_embed[2], row)


@torch.no_grad()
def test_a_learned_prompt_stands_before_each_word() -> None:
    prompted, plain = ovseg(prompt_length=4), ovseg()
    asked = Vocabulary.of(NOVEL)
    first = prompted.embed_vocabulary(asked, negatives=False).text_embed
    assert not torch.equal(first, plain.embed_vocabulary(asked, negatives=False).text_embed)
    fingerprint = prompted.text_encoder.fingerprint
    assert prompted.prompt is not None
    prompted.prompt.vectors += 1.0
    assert not torch.equal(first, prompted.embed_vocabulary(asked, negatives=False).text_embed)
    assert prompted.text_encoder.fingerprint != fingerprint


@torch.no_grad()
def test_one_word_and_two_thousand_are_answered_and_nothing_is_left_behind(model: OVSeg) -> None:
    before = state(model)
    own, ensemble = model.propose(pictures()), EnsembleConfig(clip_weight=0.7)

    def p(asked: VocabularyEmbeddings) -> torch.Tensor:
        return model.class_logits_with_void(model.class_embed(own), asked).softmax(-1)[..., :-1]

    alone = words(model, "cat")
    one = scores(model(pictures(), alone, ensemble))
    torch.testing.assert_close(one, p(alone) ** 0.3)  # with nothing to compare with, CLIP is sure
    vocabulary = Vocabulary.of([f"word {number}" for number in range(2000)])
    crowd = words(model, vocabulary)
    many = model(pictures(), crowd, ensemble)
    p_hat = model(pictures(), crowd, CLIP_BRANCH_ONLY).class_logits.softmax(-1)
    assert p_hat.shape == (2, 8, 2000)
    torch.testing.assert_close(scores(many), p(crowd) ** 0.3 * p_hat**0.7)
    frame = pictures().frames[1]
    rules = MergeConfig(score_threshold=0.0, mask_threshold=0.0, overlap_threshold=0.0)
    found = panoptic_map(many, 1, frame, vocabulary, rules)
    assert {segment.name for segment in found.segments} <= set(vocabulary.names)
    assert len(found.segments) > 0
    assert soft_semantic_map(many, 1, frame).max() < 2000
    assert same(before, state(model))


@torch.no_grad()
def test_free_words_get_their_best_region_each_unless_background_words_fit_it_better(model: OVSeg) -> None:
    frame = pictures().frames[0]
    own = model.propose(pictures())
    masks = torch.full_like(own.mask_logits, -9.0)
    masks[:, 0, :8] = 9.0
    masks[:, 1, 8:] = 9.0
    asked = Vocabulary.of("cat, dog")
    prepared = model.embed_vocabulary(asked, negatives=True)
    prediction = model.classify(pictures(), replace(own, mask_logits=masks), prepared, CLIP_BRANCH_ONLY)
    chosen = torch.full_like(prediction.class_logits, -9.0)
    chosen[:, 0, 1] = chosen[:, 1, 0] = 9.0  # region 0 is the dog, region 1 the cat
    found = best_regions(replace(prediction, class_logits=chosen), 0, frame, asked)
    assert sorted((segment.name, segment.box) for segment in found.segments) == [
        ("cat", (0, 32, 96, 32)),
        ("dog", (0, 0, 96, 32)),
    ]
    assert all(0.5 < segment.score <= 1 for segment in found.segments)
    chosen[:, 1, 2] = 9.5  # a background word is better in region 1
    found = best_regions(replace(prediction, class_logits=chosen), 0, frame, asked)
    assert [segment.name for segment in found.segments] == ["dog"]
    assert [guess.name for guess in found.segments[0].guesses] == ["dog", "cat"]


def test_two_words_with_one_best_region_leave_it_to_the_better(model: OVSeg) -> None:
    frame = pictures().frames[0]
    prediction = MaskPrediction(
        mask_logits=torch.full((1, 1, 16, 24), 9.0),
        class_logits=torch.tensor([[[2.0, 1.0]]]),
        void_probs=torch.zeros(1, 1),
        iou_scores=torch.ones(1, 1),
        num_concepts=2,
    )
    found = best_regions(prediction, 0, frame, Vocabulary.of("cat, dog"))
    assert [segment.name for segment in found.segments] == ["cat"]
    assert (found.segmentation == 1).all()
    assert found.segmentation.dtype == np.int32


@torch.no_grad()
def test_what_negatives_win_is_nobodys_in_the_soft_map_either(model: OVSeg) -> None:
    prediction = MaskPrediction(
        mask_logits=torch.full((1, 2, 16, 24), 9.0),
        class_logits=torch.tensor([[[0.001, 0.02, 0.90], [0.40, 0.05, 0.01]]]).log(),
        void_probs=1 - torch.tensor([[0.921, 0.46]]),
        iou_scores=torch.ones(1, 2),
        num_concepts=2,
    )
    assert (soft_semantic_map(prediction, 0, pictures().frames[0]) == 0).all()


@torch.no_grad()
def test_a_mask_in_the_padding_alone_is_empty_for_every_ensemble(model: OVSeg) -> None:
    images = pictures(height=40)  # on a canvas of 64 rows
    own = model.propose(images)
    logits = torch.full_like(own.mask_logits, -9.0)
    logits[:, :, -2:] = 9.0
    for ensemble in (EnsembleConfig(), MASKFORMER_ONLY):
        found = model.look(model.crops(images, logits), torch.zeros(2, 8, 4), ensemble)
        assert found.counts.empty == 16


def test_clip_stays_frozen_and_in_eval_mode(model: OVSeg) -> None:
    model.train()
    assert not model.clip.training
    assert not any(parameter.requires_grad for parameter in model.clip.parameters())
    assert model.segmenter.training
    model.eval()


@pytest.mark.parametrize(
    "build",
    [presets.ovseg_swin_base_config, presets.ovseg_r101_config, presets.simbaseline_config, presets.zegformer_config],
)
def test_the_published_sizes_can_be_built(build) -> None:
    with torch.device("meta"):
        whole = OVSeg(build())
    assert whole.config.segmenter.num_queries == 100
    assert sum(p.numel() for p in whole.parameters()) > 100e6


@pytest.mark.parametrize("wrong", [{"longest_side": 16}, {"shortest_side": 200}, {"prompt_length": -1}])
def test_sizes_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ovseg(**wrong)


def test_the_training_vocabulary_is_seen(model: OVSeg) -> None:
    assert words(model, TRAINING).similarity.tolist() == [1.0] * 5
    assert (words(model, NOVEL).similarity < 1).all()
