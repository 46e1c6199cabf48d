import torch
from torch.nn import functional as F

from lexiseg.layers.heads import AssembledHead, ProjectionHead, mean_inside
from lexiseg.layers.query_enhancer import QueryEnhancer


def assembled(rng: torch.Generator) -> AssembledHead:
    head = AssembledHead(8, 16, 3)
    with torch.no_grad():
        head.class_text.copy_(F.normalize(torch.randn(3, 16, generator=rng), dim=-1))
        head.classify.weight.copy_(torch.randn(4, 8, generator=rng))
        head.classify.bias.copy_(torch.randn(4, generator=rng))
    return head


@torch.no_grad()
def test_a_projected_query_is_of_unit_length_and_void_is_a_cosine(rng: torch.Generator) -> None:
    head = ProjectionHead(8, 16)
    embed = head(torch.randn(2, 5, 8, generator=rng))
    void = head.void_cosines(embed)
    torch.testing.assert_close(embed.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close(void[..., 0], F.cosine_similarity(embed, head.void_embed.expand_as(embed), dim=-1))


@torch.no_grad()
def test_a_sure_closed_set_head_means_its_class(rng: torch.Generator) -> None:
    head = assembled(rng)
    head.classify.weight.zero_()
    head.classify.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
    torch.testing.assert_close(head(torch.zeros(1, 1, 8))[0, 0], head.class_text[1])
    torch.testing.assert_close(head.void_probs(torch.zeros(1, 1, 8)), torch.zeros(1, 1))


@torch.no_grad()
def test_void_does_not_change_what_an_assembled_query_means(rng: torch.Generator) -> None:
    head, query = assembled(rng), torch.randn(1, 4, 8, generator=rng)
    before, void_before = head(query), head.void_probs(query)
    head.classify.bias[-1] += 3.0
    assert torch.equal(head(query), before)
    assert (head.void_probs(query) > void_before).all()
    torch.testing.assert_close(head.probs(query)[..., -1], head.void_probs(query))


@torch.no_grad()
def test_an_assembled_query_is_the_weighted_mean_of_its_classes(rng: torch.Generator) -> None:
    head, query = assembled(rng), torch.randn(1, 4, 8, generator=rng)
    probs = head.probs(query)[..., :-1]
    expected = F.normalize((probs / probs.sum(-1, keepdim=True)) @ head.class_text, dim=-1)
    torch.testing.assert_close(head(query), expected)


def test_a_masks_score_is_its_mean_probability_inside(rng: torch.Generator) -> None:
    logits = torch.randn(1, 3, 4, 4, generator=rng)
    logits[0, 2] = -logits[0, 2].abs() - 0.1
    found = mean_inside(logits)
    for query in range(2):
        inside = logits[0, query][logits[0, query] > 0]
        torch.testing.assert_close(found[0, query], inside.sigmoid().mean())
    assert found[0, 2] == 0


@torch.no_grad()
def test_the_enhancer_knows_cells_by_their_weights_and_not_by_their_order(rng: torch.Generator) -> None:
    enhancer = QueryEnhancer(16, 8, num_heads=2).eval()
    query, cells = torch.randn(2, 3, 16, generator=rng), torch.randn(2, 8, 2, 3, generator=rng)
    weights = torch.rand(2, 3, 6, generator=rng)
    order = torch.randperm(6, generator=rng)

    shuffled = enhancer(query, cells.flatten(2)[..., order].unflatten(2, (2, 3)), weights[..., order])

    torch.testing.assert_close(shuffled, enhancer(query, cells, weights))
    assert not torch.allclose(enhancer(query, cells * 2, weights), enhancer(query, cells, weights))


@torch.no_grad()
def test_the_enhancer_hardly_sees_what_lies_outside_the_mask(rng: torch.Generator) -> None:
    enhancer = QueryEnhancer(16, 8, num_heads=2).eval()
    query, cells = torch.randn(1, 3, 16, generator=rng), torch.randn(1, 8, 2, 3, generator=rng)
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).expand(1, 3, 6)
    elsewhere = cells.clone()
    elsewhere[..., 1, :] += 1.0
    inside = cells.clone()
    inside[..., 0, 0] += 1.0

    plain = enhancer(query, cells, weights)

    torch.testing.assert_close(enhancer(query, elsewhere, weights), plain, atol=1e-3, rtol=0.0)
    assert (enhancer(query, inside, weights) - plain).abs().max() > 1e-2
    assert (enhancer(query, elsewhere, None) - enhancer(query, cells, None)).abs().max() > 1e-2  # the paper's layer
