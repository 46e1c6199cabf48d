from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import Mask2FormerModel

from lexiseg.encoders.segmenters.mask2former import to_transformers
from lexiseg.layers.deformable_attention import gathered_by_grid, gathered_from_table
from lexiseg.layers.pixel_decoder import DecoderConfig, PixelDecoder, PixelFeatures, Stages
from lexiseg.layers.query_decoder import QueryDecoder
from tiny import RESNET, SIZES, pictures, seeded

CONFIG = DecoderConfig(**SIZES | {"decoder_layers": 4, "encoder_layers": 2})


def theirs() -> Mask2FormerModel:
    """transformers' Mask2Former, with random weights everywhere; in float64: no rounding opens or blocks a cell."""
    return (
        seeded(Mask2FormerModel(to_transformers(replace(RESNET, decoder_layers=4, encoder_layers=2)))).eval().double()
    )


def own(published: Mask2FormerModel) -> tuple[PixelDecoder, QueryDecoder]:
    """Our decoders with its weights, loaded name by name."""
    assert RESNET.resnet is not None
    pixels, queries = PixelDecoder(RESNET.resnet.hidden_sizes, CONFIG), QueryDecoder(CONFIG)
    pixels.load_state_dict(published.pixel_level_module.decoder.state_dict())
    queries.load_state_dict(published.transformer_module.state_dict())
    return pixels.eval().double(), queries.eval().double()


def stages_of(published: Mask2FormerModel, pixel_values: Tensor) -> Stages:
    return tuple(published.pixel_level_module.encoder(pixel_values).feature_maps)


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (160, 32)])
def test_masks_and_queries_of_every_layer_are_those_of_transformers(size: tuple[int, int]) -> None:
    published = theirs()
    pixels, queries = own(published)
    pixel_values = pictures(*size, 2).pixel_values.double()
    expected = published(pixel_values, output_hidden_states=True)

    features = pixels(stages_of(published, pixel_values))
    found = queries(features, every_layer=True)

    layers = (*found.aux, found)
    assert len(layers) == 5
    for ours, masks, states in zip(
        layers, expected.masks_queries_logits, expected.transformer_decoder_intermediate_states, strict=True
    ):
        torch.testing.assert_close(ours.mask_logits, masks, atol=1e-8, rtol=1e-8)
        torch.testing.assert_close(ours.query_embed, states.transpose(0, 1), atol=1e-8, rtol=1e-8)
    masks = found.mask_logits
    assert 0.1 < (masks > 0).float().mean() < 0.9  # attention was masked, and not everywhere
    alone = queries(features)
    assert alone.aux == ()
    torch.testing.assert_close(alone.mask_logits, masks)


@torch.no_grad()
def test_a_picture_gets_the_same_masks_alone_and_in_a_batch() -> None:
    published = theirs()
    pixels, queries = own(published)
    stages = stages_of(published, pictures(64, 96, 3).pixel_values.double())

    together = queries(pixels(stages)).mask_logits
    alone = queries(pixels(tuple(stage[1:2] for stage in stages))).mask_logits

    torch.testing.assert_close(together[1:2], alone, atol=1e-8, rtol=1e-8)


@torch.no_grad()
def test_a_query_whose_mask_is_empty_may_attend_everywhere() -> None:
    _, queries = own(theirs())
    normed = torch.randn(1, 2, CONFIG.hidden_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    opposite = -queries.decoder.mask_predictor.mask_embedder(normed)[:, 0, :, None, None]
    empty = opposite.expand(-1, -1, 8, 8)
    half = torch.cat([-empty[..., :4], empty[..., 4:]], -1)

    _, mask_embed = queries.predict(normed)
    levels = [
        queries.level(PixelFeatures(mask_features=maps, memory=(maps, maps[..., ::2, ::2], maps)), 1)
        for maps in (half, empty)
    ]
    blocked = [queries.blocked(mask_embed, level)[0, 0] for level in levels]

    assert blocked[0].view(4, 4).tolist() == [[False, False, True, True]] * 4
    assert not blocked[1].any()


def test_gradients_are_those_of_transformers() -> None:
    published = theirs()
    pixels, queries = own(published)
    pixel_values = pictures(64, 96, 1).pixel_values.double()
    pixels.requires_grad_(True)
    published(pixel_values, output_hidden_states=True).masks_queries_logits[-1].square().mean().backward()
    with torch.no_grad():
        stages = stages_of(published, pixel_values)

    queries(pixels(stages)).mask_logits.square().mean().backward()

    both = (
        (pixels, published.pixel_level_module.decoder),
        (queries, published.transformer_module),
    )
    for ours, whole in both:
        expected = dict(whole.named_parameters())
        for name, parameter in ours.named_parameters():
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-6, rtol=1e-6, msg=name)


def test_both_ways_of_gathering_agree_inside_and_outside_of_the_maps_with_their_gradients() -> None:
    rng = torch.Generator().manual_seed(0)
    sizes, num_heads = [(2, 3), (4, 5), (8, 10)], 4
    cells = sum(height * width for height, width in sizes)
    x, y = (torch.rand(2, cells, num_heads * 3 * 4, generator=rng, dtype=torch.float64) * 30 - 10 for _ in range(2))
    x[0, 0, :4] = torch.tensor([-1.0, 3.0, -1e9, 1e9])  # on the border, and far away
    given = torch.randn(2, cells, 16, generator=rng, dtype=torch.float64), x, y, torch.rand_like(x)

    found = []
    for gather in (gathered_from_table, gathered_by_grid):
        leaves = [value.clone().requires_grad_() for value in given]
        gathered = gather(*leaves, sizes, num_heads)
        gathered.square().sum().backward()
        found.append([gathered, *(leaf.grad for leaf in leaves)])

    assert 0.2 < (found[0][1] != 0).double().mean() < 1  # some cells are looked at, and not all
    for ours, expected in zip(*found, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, expected, atol=1e-10, rtol=1e-10)


def test_what_is_no_number_stays_none_and_reads_nothing_else() -> None:
    sizes, values = [(2, 2), (2, 2), (2, 2)], torch.ones(1, 12, 8)
    x = torch.zeros(1, 12, 2 * 3 * 4)
    x[0, 3, 5] = torch.nan

    gathered = gathered_from_table(values, x, torch.zeros_like(x), torch.ones_like(x), sizes, 2)

    assert gathered[0, 3, :4].isnan().all()
    assert gathered.isnan().sum() == 4


def test_a_new_decoder_starts_with_every_query_in_use_and_points_on_rays() -> None:
    assert RESNET.resnet is not None
    pixels, queries = PixelDecoder(RESNET.resnet.hidden_sizes, CONFIG), QueryDecoder(CONFIG)
    offsets = pixels.get_parameter("encoder.layers.0.self_attn.sampling_offsets.bias").view(4, 3, 4, 2)

    torch.testing.assert_close(offsets[1, 0], torch.tensor([[0.0, 1], [0, 2], [0, 3], [0, 4]]), atol=1e-5, rtol=0)
    assert queries.queries_features.weight.std() > 0.5
