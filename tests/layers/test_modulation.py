from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.structures import RegionEmbeddings, VocabularyEmbeddings
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY, ModulationConfig, class_cosines, fuse, modulated_logits


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def regions(seed: int = 0) -> RegionEmbeddings:
    return RegionEmbeddings(class_embed=unit(2, 7, 16, seed=seed), clip_embed=unit(2, 7, 16, seed=seed + 100))


def words(similarity: Tensor, seed: int = 5) -> VocabularyEmbeddings:
    return VocabularyEmbeddings(
        text_embed=unit(len(similarity), 16, seed=seed),
        concept_index=torch.arange(len(similarity)),
        num_concepts=len(similarity),
        similarity=similarity,
        domain_similarity=float(similarity.mean()),
    )


def logits(words_: VocabularyEmbeddings, config: ModulationConfig, regions_: RegionEmbeddings | None = None) -> Tensor:
    return modulated_logits(regions_ or regions(), words_, config, logit_scale=100.0)


@given(seed=st.integers(0, 1000), alpha=st.floats(0, 100), beta=st.floats(0, 2))
def test_on_the_training_vocabulary_modulation_is_query_only_in_every_bit(seed: int, alpha: float, beta: float) -> None:
    asked = words(torch.ones(5))
    found = logits(asked, ModulationConfig(alpha=alpha, beta=beta), regions(seed))
    assert torch.equal(found, logits(asked, QUERY_ONLY, regions(seed)))


def test_without_alpha_and_beta_any_vocabulary_is_query_only_in_every_bit() -> None:
    asked = words(torch.tensor([0.3, 0.7, 0.95]))
    assert torch.equal(logits(asked, ModulationConfig(alpha=0.0, beta=0.0)), logits(asked, QUERY_ONLY))
    assert not torch.equal(logits(asked, ModulationConfig()), logits(asked, QUERY_ONLY))


@given(seed=st.integers(0, 1000))
def test_a_large_ratio_ranks_as_clip_alone(seed: int) -> None:
    asked = words(torch.tensor([0.3, 0.7, 0.95, 0.5]))
    alone = logits(asked, CLIP_ONLY, regions(seed))
    for config in (ModulationConfig(clip_ratio=1e6, beta=0.0), ModulationConfig(alpha=1e7, beta=0.0)):
        mixed = logits(asked, config, regions(seed))
        torch.testing.assert_close(mixed, alone, atol=2e-3, rtol=0)
        gap = alone.sort(-1, descending=True).values
        clear = gap[..., 0] - gap[..., 1] > 4e-3
        assert torch.equal(mixed.argmax(-1)[clear], alone.argmax(-1)[clear])


def test_the_ratio_grows_with_the_distance_between_the_vocabularies() -> None:
    given_regions = regions()
    towards_clip = [
        (fuse(given_regions, s, ModulationConfig()) * given_regions.clip_embed).sum(-1).mean().item()
        for s in (1.0, 0.99, 0.9, 0.5)
    ]
    assert towards_clip == sorted(towards_clip)
    assert towards_clip[-1] > towards_clip[0] + 0.1


def test_alpha_times_distance_is_the_fixed_ratio() -> None:
    similarity = torch.tensor([0.5, 0.75])  # s = 0.625, exact in binary
    asked = words(similarity)
    by_distance = logits(asked, ModulationConfig(alpha=8.0, beta=0.5))
    assert torch.equal(by_distance, logits(asked, ModulationConfig(clip_ratio=3.0, beta=0.5)))


@pytest.mark.parametrize("asked", [{"clip_ratio": 0.0}, {"clip_ratio": 2.0}, {"clip_only": True}])
def test_what_stands_in_table_4_is_without_debiasing_unless_beta_is_asked_for(asked: dict[str, float]) -> None:
    assert ModulationConfig().overridden(**asked).beta == 0
    assert ModulationConfig().overridden(**asked, beta=0.25).beta == 0.25
    assert ModulationConfig(beta=0.3).overridden(alpha=2.0).beta == 0.3


def test_a_fixed_ratio_of_zero_is_query_only() -> None:
    assert ModulationConfig(alpha=2.5, beta=0.25).overridden(clip_ratio=0.0) == replace(QUERY_ONLY, alpha=2.5)


@given(beta=st.floats(0.05, 2))
def test_debiasing_divides_each_cosine_by_its_own_power(beta: float) -> None:
    similarity = torch.tensor([0.3, 0.7, 1.0])
    asked = words(similarity)
    plain = logits(asked, ModulationConfig(clip_ratio=1.0, beta=0.0))
    debiased = logits(asked, ModulationConfig(clip_ratio=1.0, beta=beta))
    torch.testing.assert_close(debiased, plain / similarity**beta)
    assert torch.equal(debiased[..., 2], plain[..., 2])  # a training name stays as it is


def test_a_concept_is_as_near_as_its_nearest_name() -> None:
    embed, names = unit(1, 4, 16, seed=1), unit(5, 16, seed=2)
    owners = torch.tensor([0, 0, 1, 2, 2])
    asked = replace(words(torch.ones(3)), text_embed=names, concept_index=owners)
    found = class_cosines(embed, asked)
    whole = embed @ names.T
    expected = torch.stack([whole[..., :2].amax(-1), whole[..., 2], whole[..., 3:].amax(-1)], -1)
    assert torch.equal(found, expected)


def test_fused_embeddings_are_of_unit_length() -> None:
    fused = fuse(regions(), 0.6, ModulationConfig())
    torch.testing.assert_close(fused.norm(dim=-1), torch.ones(2, 7))


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1.0}, {"beta": -0.1}, {"clip_ratio": -2.0}, {"alpha": float("inf")}, {"beta": float("nan")}]
)
def test_negative_and_endless_strengths_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        ModulationConfig(**wrong)
