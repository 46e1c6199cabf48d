import pytest
import torch
from torch import Tensor

from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, MASKFORMER_ONLY, EnsembleConfig, ensemble_scores

B, Q, K = 2, 5, 4
SEEN = torch.tensor([True, False, True, False])


def logits(columns: int, seed: int, scale: float = 3.0) -> Tensor:
    return torch.randn(B, Q, columns, generator=torch.Generator().manual_seed(seed)) * scale


QUERY, CLIP = logits(K + 1, 0), logits(K, 1)
EVERYWHERE = torch.ones(B, Q, dtype=torch.bool)


def scores(config: EnsembleConfig, has_region: Tensor = EVERYWHERE, is_seen: Tensor = SEEN) -> Tensor:
    return ensemble_scores(QUERY, CLIP, has_region, is_seen, config).exp()


def test_the_ensemble_is_the_weighted_geometric_mean_with_void_on_the_query_side_alone() -> None:
    p = QUERY.softmax(-1)[..., :-1]
    p_hat = CLIP.softmax(-1)
    torch.testing.assert_close(scores(EnsembleConfig(clip_weight=0.7)), p**0.3 * p_hat**0.7)


def test_weights_of_zero_and_one_are_the_two_branches_to_the_last_bit() -> None:
    assert torch.equal(scores(MASKFORMER_ONLY), QUERY.log_softmax(-1)[..., :-1].exp())
    assert torch.equal(scores(CLIP_BRANCH_ONLY), CLIP.log_softmax(-1).exp())


def test_an_empty_proposal_keeps_the_querys_share_and_has_no_say_without_the_query() -> None:
    has_region = EVERYWHERE.clone()
    has_region[0, 2] = False
    p = QUERY.softmax(-1)[..., :-1]
    found = scores(EnsembleConfig(clip_weight=0.7), has_region)
    torch.testing.assert_close(found[0, 2], p[0, 2] ** 0.3)
    torch.testing.assert_close(found[1], scores(EnsembleConfig(clip_weight=0.7))[1])
    assert (scores(CLIP_BRANCH_ONLY, has_region)[0, 2] == 0).all()
    assert torch.equal(scores(MASKFORMER_ONLY, has_region), scores(MASKFORMER_ONLY))


def test_seen_words_have_a_weight_of_their_own() -> None:
    p, p_hat = QUERY.softmax(-1)[..., :-1], CLIP.softmax(-1)
    found = scores(EnsembleConfig(clip_weight=0.8, seen_clip_weight=0.2))
    torch.testing.assert_close(found[..., SEEN], (p**0.8 * p_hat**0.2)[..., SEEN])
    torch.testing.assert_close(found[..., ~SEEN], (p**0.2 * p_hat**0.8)[..., ~SEEN])


def test_zegformer_averages_what_clip_says_of_seen_words_and_borrows_the_querys_void() -> None:
    config = EnsembleConfig(clip_weight=2 / 3, seen_clip_weight=1 / 3, averages_seen=True, borrows_void=True)
    p = QUERY.softmax(-1)[..., :-1]
    p_prime = torch.cat([CLIP, QUERY[..., -1:]], -1).softmax(-1)[..., :-1]
    mean = p_prime[..., SEEN].mean(-1, keepdim=True)
    found = scores(config)
    torch.testing.assert_close(found[..., SEEN], (p ** (2 / 3) * mean ** (1 / 3))[..., SEEN])
    torch.testing.assert_close(found[..., ~SEEN], (p ** (1 / 3) * p_prime ** (2 / 3))[..., ~SEEN])


def test_without_seen_words_there_is_nothing_to_average() -> None:
    nothing = torch.zeros(K, dtype=torch.bool)
    averaged = EnsembleConfig(clip_weight=0.5, averages_seen=True)
    assert torch.equal(scores(averaged, is_seen=nothing), scores(EnsembleConfig(clip_weight=0.5), is_seen=nothing))


def test_scores_stay_finite_where_one_side_is_certain() -> None:
    sure = torch.tensor([[[900.0, -900.0, 0.0, 0.0, 0.0]]])
    other = torch.tensor([[[-900.0, 900.0, 0.0, 0.0]]])
    found = ensemble_scores(sure, other, torch.ones(1, 1, dtype=torch.bool), SEEN, EnsembleConfig())
    assert found.isfinite().all()


@pytest.mark.parametrize(
    "wrong", [{"clip_weight": 1.5}, {"clip_weight": -0.1}, {"seen_clip_weight": 2.0}, {"calibration": -1.0}]
)
def test_weights_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EnsembleConfig(**wrong)
