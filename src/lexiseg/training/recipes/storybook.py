"""Recipes of the drawn world: its CLIPs, its closed-set Mask2Former and its OPSNets."""

from dataclasses import fields, replace

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.clip.vit import VitConfig
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SegmenterConfig, SwinBackbone
from lexiseg.storybook.roles import STRANGER
from lexiseg.training.clip.contrastive import ClipRecipe, Phase
from lexiseg.training.clip.grounding import GroundingRecipe
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.matcher import LossWeights
from lexiseg.training.segmentation.opsnet import OPSNetRecipe

_CLIP_OPTIM = OptimConfig(
    lr=1e-3, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6, warmup_share=0.03, final_share=0.02, clip_norm=1.0
)
"""Of all CLIPs here."""


def clip_tiny(*, seed: int = 0) -> ClipRecipe:
    """The drawn world's CLIP: 8.6 M parameters, 672,000 drawn pictures, about 75 minutes on one core.

    Close-ups come first and pictures of several things last: from captions with several things it would learn the
    stuff at once and the things very late. Captions seldom name colours, patterns and grounds, for the same reason.
    """
    return ClipRecipe(
        model=ClipConfig(
            embed_dim=128,
            layers=(1, 1, 1, 1),
            width=32,
            image_size=96,
            text_width=64,
            text_heads=4,
            text_layers=2,
            context_length=32,
            dense_stride=16,
        ),
        phases=(
            Phase(steps=625, batch_size=256, image_size=64, view_share=0.0, lr=1e-3, smallest=0.5, detail=0.3),
            Phase(steps=900, batch_size=128, image_size=64, view_share=0.0, lr=1e-3, smallest=0.35, detail=0.3),
            Phase(steps=2200, batch_size=128, image_size=96, view_share=0.5, lr=1e-3, smallest=0.3, detail=0.3),
            Phase(steps=900, batch_size=128, image_size=112, view_share=0.7, lr=7e-4, smallest=0.35, detail=0.3),
        ),
        optim=_CLIP_OPTIM,
        seed=seed,
    )


def clip_tiny_words(*, seed: int = 0) -> GroundingRecipe:
    """What follows `clip_tiny` (--start): its cells learn which words they show.

    166,400 drawn pictures, about 35 minutes on one core. Pictures with whole captions teach CLIP's cells by the way
    only, and the stuff around things least of all; here words are looked for cell by cell, and scenes teach as well as
    close-ups do.
    """
    return GroundingRecipe(
        phases=(
            Phase(steps=1000, batch_size=128, image_size=112, view_share=0.7, lr=7e-4, smallest=0.35),
            Phase(steps=600, batch_size=64, image_size=160, view_share=0.3, scene_share=0.7, lr=5e-4),
        ),
        optim=_CLIP_OPTIM,
        seed=seed,
    )


VIT_TINY = VitConfig(
    embed_dim=128,
    width=128,
    layers=4,
    patch_size=8,
    image_size=64,
    text_width=64,
    text_heads=4,
    text_layers=2,
    context_length=32,
)
"""The drawn world's CLIP for crops."""


def clip_vit_tiny(*, seed: int = 0) -> ClipRecipe:
    """The drawn world's ViT CLIP, for crops of OVSeg: 4.1 M parameters, 640,000 pictures, about 50 minutes on one core.

    A Vision Transformer learns drawn things far more slowly than a ResNet, so its text tower is that of `clip_tiny`, in
    the shipped OPSNet, and stays as it is. Close-ups come first; half of the last fifth shows one to four things in a
    place. It sees no mask: it is the "original CLIP" that picks the pairs and that the adaptations start from.
    """
    return ClipRecipe(
        model=VIT_TINY,
        phases=(
            Phase(steps=4000, batch_size=128, image_size=64, view_share=0.0, lr=1e-3, smallest=0.5, detail=0.3),
            Phase(steps=1000, batch_size=128, image_size=64, view_share=0.5, lr=5e-4, smallest=0.4, detail=0.3),
        ),
        optim=_CLIP_OPTIM,
        locks_text=True,
        seed=seed,
    )


def mask2former_tiny(*, seed: int = 0) -> ClosedSetRecipe:
    """A closed-set Mask2Former of 1.1 M parameters on the drawn world's base pictures, about 35 minutes on one core.

    It is the baseline of the paper's Table 9, the start of `opsnet_tiny`, and something that `assemble` can take. The
    loss of the predicted IoU, which an OPSNet adds, weighs 5 in all tiny recipes, which have few steps, and 1 at the
    paper's size; the paper gives no weight.
    """
    return ClosedSetRecipe(
        segmenter=SegmenterConfig(
            resnet=ResNetBackbone(
                embedding_size=32, hidden_sizes=(32, 64, 96, 128), depths=(1, 1, 2, 1), layer_type="basic"
            ),
            hidden_dim=64,
            mask_dim=64,
            encoder_layers=2,
            encoder_feedforward_dim=256,
            decoder_layers=4,
            feedforward_dim=256,
            num_heads=8,
            num_queries=24,
        ),
        vocabulary=Vocabulary.of("storybook"),
        framing=Framing(image_size=160, flip_probability=0.5),
        num_pictures=16_000,
        steps=2400,
        batch_size=16,
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, warmup_share=0.04, final_share=0.02, clip_norm=1.0),
        criterion=CriterionConfig(num_points=512, weights=LossWeights(iou=5.0)),
        seed=seed,
    )


def mask2former_tiny_short(*, seed: int = 0) -> ClosedSetRecipe:
    """`mask2former_tiny` in 500 steps over 8,000 pictures: what trainings that are compared begin from."""
    return replace(mask2former_tiny(seed=seed), steps=500, num_pictures=8000)


def opsnet_tiny(*, seed: int = 0) -> OPSNetRecipe:
    """The drawn world's OPSNet: `clip_tiny` frozen (--clip), from `mask2former_tiny` (--start) or from nothing.

    About 55 minutes on one core.
    """
    same = mask2former_tiny(seed=seed)
    return replace(OPSNetRecipe(**{field.name: getattr(same, field.name) for field in fields(same)}), steps=3700)


def opsnet_tiny_more(*, seed: int = 0) -> OPSNetRecipe:
    """What follows `opsnet_tiny`, or any OPSNet of its size (--start): 7,000 steps over twice the pictures.

    About 100 minutes on one core.
    """
    return replace(opsnet_tiny(seed=seed), steps=7000, num_pictures=32_000)


def opsnet_tiny_strangers(*, seed: int = 0) -> OPSNetRecipe:
    """What follows `opsnet_tiny_more` (--start): masks of strangers count too, 2,400 steps.

    Two in five things of its pictures have a mask and no name, half of them figures made up at random, and some grounds
    and walls are random patterns: what is none of the training words is an object all the same.
    """
    same = opsnet_tiny(seed=seed)
    return replace(same, steps=2400, num_pictures=24_000, nameless=(STRANGER,), optim=replace(same.optim, lr=7e-4))


def opsnet_tiny_short(*, seed: int = 0) -> OPSNetRecipe:
    """`opsnet_tiny` in 500 steps: for several seeds."""
    return replace(opsnet_tiny(seed=seed), steps=500)


def opsnet_tiny_plain(*, seed: int = 0) -> OPSNetRecipe:
    """`opsnet_tiny_short` without the query enhancer (Table 1, rows without the dagger)."""
    return replace(opsnet_tiny_short(seed=seed), has_enhancer=False)


def opsnet_tiny_deep(*, seed: int = 0) -> OPSNetRecipe:
    """`opsnet_tiny_short` with twice the blocks in its ResNet (Table 2, ResNet-101 beside ResNet-50)."""
    recipe = opsnet_tiny_short(seed=seed)
    assert recipe.segmenter.resnet is not None
    return replace(
        recipe, segmenter=replace(recipe.segmenter, resnet=replace(recipe.segmenter.resnet, depths=(2, 2, 4, 2)))
    )


def opsnet_tiny_swin(*, seed: int = 0) -> OPSNetRecipe:
    """`opsnet_tiny_short` with a small Swin as its backbone (Table 2, Swin-S)."""
    recipe = opsnet_tiny_short(seed=seed)
    swin = SwinBackbone(
        embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=5, image_size=160, drop_path_rate=0.0
    )
    return replace(recipe, segmenter=replace(recipe.segmenter, resnet=None, swin=swin))
