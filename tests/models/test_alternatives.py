"""Every alternative of an assembled model does what its formula says, is off by default, and is refused where it means
nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.io.models import load_model, save_model
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY, ModulationConfig
from lexiseg.models.alternatives import (
    Alternatives,
    SurvivorCrops,
    crops_of,
    lifted_void_probs,
    mapped_log_probs,
    survivors,
    with_crops,
    with_void,
)
from lexiseg.models.crops import RegionConfig, cut_regions
from lexiseg.models.opsnet import OPSNet
from tiny import model, pictures, words

ASKED = "cat|kitten, lamp, sky:stuff, tiger"


def assembled(**changes: object) -> OPSNet:
    """A random model with a closed-set head."""
    trained = model()
    config = replace(trained.config, is_assembled=True, has_enhancer=False, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = OPSNet(config).eval()
        made.head.class_text.data = F.normalize(torch.randn_like(made.head.class_text), dim=-1)
        torch.nn.init.normal_(made.head.classify.weight, std=0.5)
    made.load_state_dict(
        {**made.state_dict(), **{k: v for k, v in trained.state_dict().items() if "head." not in k}}, strict=False
    )
    return made


def asked_of(opsnet: OPSNet) -> VocabularyEmbeddings:
    return words(opsnet, ASKED, negatives=True)


def spread(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_mapped_probabilities_are_each_names_share_of_the_asked_words() -> None:
    probs, class_text = spread(2, 3, 4).softmax(-1), F.normalize(spread(4, 8, seed=1), dim=-1)
    rows = F.normalize(spread(5, 8, seed=2), dim=-1)
    rows[3] = class_text[2]  # asked for by a trained name
    asked = VocabularyEmbeddings(
        text_embed=rows,
        concept_index=torch.tensor([0, 0, 1, 2, 3]),  # the first concept has two names
        num_concepts=3,
        similarity=torch.ones(4),
        domain_similarity=1.0,
    )

    found = mapped_log_probs(probs, class_text, asked, 20.0).exp()

    expected = torch.zeros(2, 3, 4)
    for image in range(2):
        for query in range(3):
            for trained in range(4):
                cosines = [float(class_text[trained] @ row) for row in rows]
                concepts = torch.tensor([max(cosines[:2]), *cosines[2:]]) * 20
                for concept, share in enumerate(concepts.exp() / concepts.exp().sum()):
                    expected[image, query, concept] += probs[image, query, trained] * share
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3))
    alone = mapped_log_probs(torch.eye(4)[None, 2:3], class_text, asked, 100.0).exp()
    assert alone[0, 0].argmax() == 2


def test_the_lift_is_the_authors_formula_in_either_form() -> None:
    void, logits = spread(2, 5).sigmoid(), spread(2, 5, 4, seed=1) * 3
    for gain in (0.0, 0.5, 1.0):
        found = lifted_void_probs(void, logits, gain)
        for image in range(2):
            for query in range(5):
                row = logits[image, query].exp()
                certain, p_object = float(row.max() / row.sum()), 1 - float(void[image, query])
                lifted = 1 - (1 - gain * certain) * (1 - p_object)
                assert float(found[image, query]) == pytest.approx(1 - lifted, abs=1e-6)
    assert torch.equal(lifted_void_probs(void, logits, 0.0), void)


def test_void_is_the_last_share_of_a_softmax() -> None:
    log_probs, void = spread(2, 3, 4).log_softmax(-1), spread(2, 3, seed=1).sigmoid()
    joined = with_void(log_probs, void).softmax(-1)
    torch.testing.assert_close(joined[..., -1], void)
    torch.testing.assert_close(joined[..., :-1], log_probs.exp() * (1 - void)[..., None])


@torch.no_grad()
@pytest.mark.parametrize("mapped", [False, True])
def test_the_geometric_ensemble_weighs_the_querys_answer_and_clips(mapped: bool) -> None:
    fusion = GeometricConfig(clip_weight=0.7, seen_clip_weight=0.2)
    opsnet = assembled(modulation=QUERY_ONLY, alternatives=Alternatives(mapped_head=mapped))
    asked = asked_of(opsnet)
    query, clip = opsnet(pictures(), asked), opsnet(pictures(), asked, CLIP_ONLY)

    found = opsnet(pictures(), asked, fusion)

    assert set(asked.is_seen.tolist()) == {True, False}
    p, p_hat = query.class_logits.softmax(-1), clip.class_logits.softmax(-1)
    for concept, is_seen in enumerate(asked.is_seen.tolist()):
        weight = 0.2 if is_seen else 0.7
        p[..., concept] = p[..., concept] ** (1 - weight) * p_hat[..., concept] ** weight
    torch.testing.assert_close(found.class_logits.softmax(-1), p / p.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)
    assert torch.equal(found.void_probs, query.void_probs)


@torch.no_grad()
def test_a_mapped_head_alone_answers_with_the_mapped_probabilities() -> None:
    opsnet = assembled(modulation=QUERY_ONLY, alternatives=Alternatives(mapped_head=True))
    asked, queries = asked_of(opsnet), opsnet.propose(pictures()).query_embed
    expected = mapped_log_probs(opsnet.head.class_probs(queries), opsnet.head.class_text, asked, 100.0)
    torch.testing.assert_close(opsnet(pictures(), asked).class_logits, expected)


@torch.no_grad()
def test_certainty_lifts_objects_that_clip_is_sure_of_whatever_the_fusion() -> None:
    for fusion in (ModulationConfig(), QUERY_ONLY, GeometricConfig()):
        opsnet = assembled()
        asked = asked_of(opsnet)
        before, clip = opsnet(pictures(), asked, fusion), opsnet(pictures(), asked, CLIP_ONLY)
        opsnet.config = replace(opsnet.config, alternatives=Alternatives(certainty_gain=0.5))
        after = opsnet(pictures(), asked, fusion)
        certain = clip.class_logits.softmax(-1).amax(-1)
        torch.testing.assert_close(1 - after.void_probs, 1 - (1 - 0.5 * certain) * before.void_probs)
        torch.testing.assert_close(after.class_logits, before.class_logits)
        assert not opsnet(pictures(), asked, CLIP_ONLY).void_probs.any()


@torch.no_grad()
def test_crops_of_the_survivors_alone_join_what_is_pooled() -> None:
    opsnet, images = assembled(), pictures()
    asked, encoded = asked_of(opsnet), opsnet.encode(images)
    proposals, pooled = encoded.proposals, encoded.regions
    first = opsnet.predict(encoded, asked, ModulationConfig())
    scores = (1 - first.void_probs) * first.class_logits.softmax(-1).amax(-1)
    config = SurvivorCrops(share=0.3, min_score=float(scores.median()))

    wanted = survivors(first, config.min_score or 0.0)
    crops = crops_of(opsnet.clip, images, proposals.mask_logits, config.regions)
    found = with_crops(pooled, crops, wanted, config.share)

    expected = pooled.clip_embed.clone()
    cut = RegionConfig(resampling="antialiased", crops_per_pass=1)
    for crop in cut_regions(images, proposals.mask_logits, cut, opsnet.clip.config.image_size):
        image, query = int(crop.images), int(crop.queries)
        if scores[image, query] > scores.median():
            seen = F.normalize(opsnet.clip.encode_image(crop.pixel_values)[0], dim=-1)
            expected[image, query] = F.normalize(0.7 * expected[image, query] + 0.3 * seen, dim=-1)
    torch.testing.assert_close(found.clip_embed, expected, atol=1e-5, rtol=1e-4)
    assert 0 < int((found.clip_embed != pooled.clip_embed).any(-1).sum()) <= int(wanted.sum())
    assert torch.equal(found.class_embed, pooled.class_embed)
    opsnet.config = replace(opsnet.config, alternatives=Alternatives(crops=config))
    torch.testing.assert_close(
        opsnet(images, asked).class_logits,
        opsnet.predict(replace(encoded, regions=found), asked, ModulationConfig()).class_logits,
    )


def test_what_means_nothing_is_refused_in_a_sentence() -> None:
    mapped = Alternatives(mapped_head=True)
    with pytest.raises(ValueError, match="only an assembled model has"):
        replace(model().config, alternatives=mapped)
    with pytest.raises(ValueError, match="modulation can't add CLIP's embedding"):
        assembled(alternatives=mapped)
    opsnet = assembled(alternatives=mapped, geometric=GeometricConfig())
    with pytest.raises(ValueError, match="modulation can't add CLIP's embedding"):
        opsnet(pictures(), asked_of(opsnet), ModulationConfig())
    for wrong in ({"certainty_gain": 1.5}, {"crops": {"share": 2.0}}, {"crops": {"min_score": -1.0}}):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            Alternatives(**{k: SurvivorCrops(**v) if isinstance(v, dict) else v for k, v in wrong.items()})


def test_a_model_folder_keeps_its_alternatives(tmp_path) -> None:
    chosen = Alternatives(mapped_head=True, crops=SurvivorCrops(share=0.2), certainty_gain=0.5)
    opsnet = assembled(alternatives=chosen, geometric=GeometricConfig(clip_weight=0.6))

    save_model(opsnet, tmp_path / "model")

    assert load_model(tmp_path / "model").config == opsnet.config
