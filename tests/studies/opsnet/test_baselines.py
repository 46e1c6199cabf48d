"""Baselines of the tables: mask tokens, a closed set and pixels answer by the interface of a model."""

from dataclasses import replace

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch.nn import functional as F

import tiny
from lexiseg.core.structures import Targets, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSetWeights
from lexiseg.models.postprocess.semantic import soft_semantic_map
from lexiseg.studies.opsnet.baselines import BaselineConfig, ClosedSetNames, LSeg, LSegTask, MaskClip, mask_token_embed
from lexiseg.training.engine.microbatches import Microbatch
from lexiseg.training.segmentation.batches import SegmentBatch

CONFIG = BaselineConfig(training_vocabulary=tiny.TRAINING, longest_side=96)


def vit() -> VitClip:
    return tiny.seeded(VitClip(tiny.VIT)).eval()


def closed_weights() -> ClosedSetWeights:
    rng = torch.Generator().manual_seed(3)
    names = tiny.TRAINING.names
    return ClosedSetWeights(
        config=tiny.RESNET,
        segmenter=tiny.seeded(Segmenter(tiny.RESNET)).state_dict(),
        class_weight=torch.randn(len(names) + 1, 32, generator=rng),
        class_bias=torch.randn(len(names) + 1, generator=rng),
        names=names,
    )


def lseg() -> LSeg:
    clip = tiny.model().clip
    return tiny.seeded(LSeg(CONFIG, Segmenter(tiny.RESNET), clip)).eval()


def words(network: ClosedSetNames | LSeg, asked: Vocabulary) -> VocabularyEmbeddings:
    return network.embed_vocabulary(asked, negatives=False)


@torch.no_grad()
def test_the_token_of_a_mask_of_everything_is_clips_own_class_token() -> None:
    clip, pictures = vit(), tiny.pictures(32, 32).pixel_values

    embed = mask_token_embed(clip, pictures, torch.ones(2, 3, 8, 8, dtype=torch.bool))

    plain = F.normalize(clip.encode_image(pictures), dim=-1)
    torch.testing.assert_close(embed, plain[:, None].expand(-1, 3, -1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_mask_token_sees_nothing_outside_its_mask_but_through_the_pictures_own_tokens() -> None:
    clip = vit()
    for block in clip.visual.transformer.resblocks[:-1]:  # patches then know of themselves alone
        assert isinstance(block, ResidualAttentionBlock)
        for weight in block.attn.out_proj.parameters():
            weight.zero_()
    pictures = tiny.pictures(32, 32).pixel_values
    left = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    left[..., :4] = True
    changed = pictures.clone()
    changed[..., 16:] = 0.5

    kept, other = (mask_token_embed(clip, pixels, left) for pixels in (pictures, changed))

    torch.testing.assert_close(kept, other, rtol=0, atol=1e-6)
    assert not torch.allclose(kept, mask_token_embed(clip, changed, ~left), atol=1e-3)


@torch.no_grad()
def test_a_mask_without_a_whole_patch_looks_at_its_best_one() -> None:
    clip, pictures = vit(), tiny.pictures(32, 32).pixel_values
    dot, patch = (torch.zeros(2, 1, 8, 8, dtype=torch.bool) for _ in range(2))
    dot[..., 2, 4] = True
    patch[..., 2:4, 4:6] = True

    torch.testing.assert_close(mask_token_embed(clip, pictures, dot), mask_token_embed(clip, pictures, patch))


@torch.no_grad()
def test_a_closed_set_scores_as_its_class_layer_and_refuses_other_words() -> None:
    network, images = ClosedSetNames(CONFIG, closed_weights(), vit()).eval(), tiny.pictures()

    prediction = network(images, words(network, tiny.TRAINING))

    logits = network.class_layer(network.propose(images).query_embed)
    torch.testing.assert_close(tiny.scores(prediction), logits.softmax(-1)[..., :-1])
    with pytest.raises(ValueError, match="its own 5 classes"):
        network(images, words(network, Vocabulary.of("owl, sky:stuff")))


@torch.no_grad()
def test_mask_tokens_name_the_closed_sets_masks_by_any_words() -> None:
    network, images = MaskClip(CONFIG, closed_weights(), vit()).eval(), tiny.pictures()
    asked = words(network, Vocabulary.of("owl, sky:stuff"))

    prediction = network(images, asked)

    masks = network.propose(images).mask_logits
    assert torch.equal(prediction.mask_logits, masks)
    embed = mask_token_embed(network.clip, images.pixel_values, masks > 0)
    torch.testing.assert_close(prediction.class_logits, 100 * embed @ asked.text_embed.T)


@torch.no_grad()
def test_lseg_gives_every_pixel_the_nearest_word() -> None:
    network, images = lseg(), tiny.pictures(64, 96)
    encoded = network.encode(images)
    asked = words(network, Vocabulary.of("owl, sky:stuff, cat"))
    asked = replace(asked, text_embed=encoded.embed[1, [0, 150, 380]])  # random words would all be as far

    prediction = network.answer(encoded, asked)

    cosines = (encoded.embed @ asked.text_embed.T).transpose(1, 2).unflatten(2, encoded.size)
    full = F.interpolate(cosines, (64, 96), mode="bilinear", align_corners=False)
    found = torch.from_numpy(soft_semantic_map(prediction, 1, images.frames[1]))
    assert (found == full[1].argmax(0)).float().mean() > 0.999
    assert len(found.unique()) > 1


def test_lseg_learns_from_annotated_pixels_alone() -> None:
    network, images = lseg(), tiny.pictures(64, 96)
    task = object.__new__(LSegTask)
    task.model, task.device = network, "cpu"
    task._words = words(network, tiny.TRAINING)
    task.predict = lambda pictures: network.predict_layers(pictures, task._words)  # type: ignore[method-assign]
    masks = torch.zeros(1, 16, 24, dtype=torch.bool)
    masks[:, :4] = True
    target = Targets(masks=masks, class_ids=torch.tensor([2]), ignored=~masks[0])
    batch = SegmentBatch(images=images, targets=(target,) * 2, microbatch=Microbatch.whole([1, 1]))

    loss = task.losses(batch, 0)["pixels"]
    loss.backward()

    cosines = network.answer(network.encode(images), task._words).mask_logits
    expected = -(cosines / 0.07).log_softmax(1)[:, 2, :4].mean()
    torch.testing.assert_close(loss, expected)
    assert network.project.weight.grad is not None
    assert all(weight.grad is None for weight in network.clip.parameters())
