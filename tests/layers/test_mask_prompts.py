import torch
from torch.nn import functional as F

from lexiseg.layers.mask_prompts import MaskPrompts, PixelPrompt, VisualPrompts, background_patches


def test_a_patch_is_background_only_without_a_single_pixel_of_the_region(rng: torch.Generator) -> None:
    masks = torch.rand(5, 12, 12, generator=rng) < 0.1
    kept = F.avg_pool2d(masks[:, None].float(), 4).ceil().flatten(1).bool()  # the paper's words
    assert torch.equal(background_patches(masks, 4), ~kept)
    assert 0 < kept.sum() < kept.numel()


def test_patches_are_counted_row_by_row() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, 3, 4] = True
    assert background_patches(masks, 4)[0].tolist() == [True, False, True, True]


def test_mask_prompts_replace_background_patches_and_nothing_else(rng: torch.Generator) -> None:
    prompts = MaskPrompts(depth=2, positions=4, width=3)
    tokens = torch.randn(2, 1 + 4, 3, generator=rng)
    background = torch.tensor([[True, False, False, True], [False, True, False, False]])
    for layer in range(2):
        found = prompts(layer, tokens, background)
        assert torch.equal(found[:, 0], tokens[:, 0])
        assert torch.equal(found[:, 1:][~background], tokens[:, 1:][~background])
        expected = prompts.prompt_embed[layer].expand(2, -1, -1)[background]
        assert torch.equal(found[:, 1:][background], expected)
    assert prompts(2, tokens, background) is tokens
    assert prompts(0, tokens, None) is tokens


def test_patches_alone_need_no_class_token(rng: torch.Generator) -> None:
    prompts, tokens = MaskPrompts(depth=1, positions=4, width=3), torch.randn(1, 4, 3, generator=rng)
    background = torch.tensor([[True, False, False, False]])
    found = prompts(0, tokens, background)
    assert torch.equal(found[0, 0], prompts.prompt_embed[0, 0])
    assert torch.equal(found[0, 1:], tokens[0, 1:])


def test_one_mask_token_stands_for_every_background_patch(rng: torch.Generator) -> None:
    token, tokens = MaskPrompts(depth=1, positions=1, width=3), torch.randn(1, 5, 3, generator=rng)
    found = token(0, tokens, torch.ones(1, 4, dtype=torch.bool))
    assert torch.equal(found[0, 1:], token.prompt_embed[0].expand(4, -1))


def test_only_prompts_in_use_receive_gradient() -> None:
    prompts = MaskPrompts(depth=2, positions=3, width=2)
    background = torch.tensor([[False, True, False]])
    prompts(1, torch.ones(1, 4, 2), background).sum().backward()
    assert prompts.prompt_embed.grad is not None
    used = torch.zeros(2, 3, dtype=torch.bool)
    used[1, 1] = True
    assert torch.equal(prompts.prompt_embed.grad != 0, used[..., None].expand(-1, -1, 2))


def test_the_pixel_prompt_hides_whatever_lay_behind_the_region(rng: torch.Generator) -> None:
    prompt, pixels = PixelPrompt(8), torch.randn(2, 3, 8, 8, generator=rng)
    masks = torch.rand(2, 8, 8, generator=rng) < 0.5
    found = prompt(pixels, masks)
    assert torch.equal(torch.where(masks[:, None], found, 0), torch.where(masks[:, None], pixels, 0))
    assert torch.equal(found[1][:, ~masks[1]], prompt.prompt_embed[:, ~masks[1]])
    assert prompt(pixels, None) is pixels


def test_visual_prompts_are_inserted_once_and_replaced_after(rng: torch.Generator) -> None:
    prompts, tokens = VisualPrompts(depth=2, num_tokens=3, width=4), torch.randn(2, 1 + 5, 4, generator=rng)
    first = prompts(0, tokens)
    assert first.shape == (2, 1 + 3 + 5, 4)
    second = prompts(1, first)
    assert second.shape == first.shape
    for found, layer in ((first, 0), (second, 1)):
        assert torch.equal(found[:, 0], tokens[:, 0])
        assert torch.equal(found[1, 1:4], prompts.prompt_embed[layer])
        assert torch.equal(found[:, 4:], tokens[:, 1:])
    assert prompts(2, second) is second


def test_prompts_begin_as_faint_noise() -> None:
    for prompts in (MaskPrompts(3, 49, 32), VisualPrompts(3, 49, 32), PixelPrompt(48)):
        first = prompts.prompt_embed.detach()
        assert abs(float(first.std()) - 0.02) < 1e-3
        assert abs(float(first.mean())) < 2e-3
