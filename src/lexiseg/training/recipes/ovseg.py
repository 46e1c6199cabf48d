"""Recipes of OVSeg, SimBaseline and ZegFormer: stage 1, the adaptation of CLIP, and a learned prompt."""

from dataclasses import replace

from lexiseg.core.vocabulary import Vocabulary, label_table
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.vit import PromptConfig
from lexiseg.encoders.segmenters.maskformer import MaskFormerConfig
from lexiseg.models import presets
from lexiseg.models.ovseg import OVSegConfig
from lexiseg.training.clip.adaptation import AdaptationRecipe
from lexiseg.training.clip.learned_prompt import LearnedPromptRecipe
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.recipes.storybook import VIT_TINY, mask2former_tiny
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.matcher import MASKFORMER_LOSSES
from lexiseg.training.segmentation.ovseg import OVSegRecipe
from lexiseg.training.segmentation.recipe import Published


def maskformer_tiny(*, seed: int = 0) -> OVSegRecipe:
    """The drawn world's OVSeg before any adaptation: a MaskFormer of 1.2 M parameters around `clip_vit_tiny` (--clip).

    It sees the base pictures that `mask2former_tiny` sees, with one mask per class. About 50 minutes on one core. It
    should begin with the backbone of an OPSNet or a Mask2Former (--start): from nothing it needs several times the
    steps.
    """
    tiny = mask2former_tiny(seed=seed)
    return OVSegRecipe(
        model=OVSegConfig(
            segmenter=MaskFormerConfig(
                resnet=tiny.segmenter.resnet,
                pixel_dim=64,
                mask_dim=64,
                hidden_dim=64,
                decoder_layers=4,
                feedforward_dim=256,
                num_heads=8,
                num_queries=24,
                decoder_stride=16,  # of drawn things too little is left at 32
                dropout=0.0,  # it learns for minutes, not days
            ),
            clip=VIT_TINY,
            training_vocabulary=tiny.vocabulary,
            longest_side=tiny.framing.image_size,
            shortest_side=None,
            head_hidden=256,
        ),
        framing=tiny.framing,
        num_pictures=tiny.num_pictures,
        steps=6000,
        batch_size=16,
        optim=tiny.optim,
        criterion=CriterionConfig(num_points=None, weights=MASKFORMER_LOSSES),
        seed=seed,
    )


def maskformer_tiny_part(*, seed: int = 0) -> OVSegRecipe:
    """`maskformer_tiny` without masks and names of a fifth of the base names, for figures over seen and unseen names.

    It begins from nothing (no --start): any backbone trained on base pictures has seen those masks.
    """
    recipe = maskformer_tiny(seed=seed)
    return replace(recipe, model=replace(recipe.model, training_vocabulary=Vocabulary.of("storybook-part")))


def ovseg_swin_base(*, seed: int = 0) -> OVSegRecipe:
    """OVSeg's Swin-B on COCO-Stuff, around a ViT-L/14 (--clip): 120,000 steps of 32 pictures."""
    return OVSegRecipe(
        model=presets.ovseg_swin_base_config(),
        framing=_crops_of(640),
        num_pictures=0,
        steps=120_000,
        batch_size=32,
        optim=_adamw(lr=6e-5, weight_decay=1e-2, steps=120_000),
        criterion=_OFFICIAL,
        published=Published(
            backbone="microsoft/swin-base-patch4-window12-384-in22k", clip="timm/vit_large_patch14_clip_224.openai"
        ),
        seed=seed,
    )


def ovseg_r101(*, seed: int = 0) -> OVSegRecipe:
    """OVSeg's ResNet-101 on COCO-Stuff, around a ViT-B/16 (--clip): 120,000 steps of 32 pictures."""
    return replace(
        ovseg_swin_base(seed=seed),
        model=presets.ovseg_r101_config(),
        framing=_crops_of(512),
        optim=_adamw(lr=2e-4, weight_decay=1e-4, steps=120_000),
        backbone_lr_scale=0.1,
        # ImageNet-1K, of the same shapes as the official DeepLab R-103, which is published as a pickle alone
        published=Published(backbone="timm/resnet101s.gluon_in1k", clip="timm/vit_base_patch16_clip_224.openai"),
    )


def simbaseline(*, seed: int = 0, is_zero_shot: bool = True) -> OVSegRecipe:
    """SimBaseline's ResNet-101 on COCO-Stuff's 156 seen classes, around a ViT-B/16 (--clip) and a prompt (--prompt).

    Args:
        seed: of weights, order and augmentation.
        is_zero_shot: leaves the 15 unseen classes out, for 60,000 steps; if not, all 171 for 120,000 (cross-dataset).
    """
    model = presets.simbaseline_config(learned_prompt=is_zero_shot)
    if is_zero_shot:
        model, steps = _seen_only(model), 60_000
    else:
        regions = replace(model.regions, mask_threshold=0.4)
        model = replace(model, templates=None, regions=regions, ensemble=presets.SIMBASELINE_CROSS_DATASET)
        steps = 120_000
    return replace(
        ovseg_r101(seed=seed),
        model=model,
        framing=_crops_of(640),
        steps=steps,
        optim=_adamw(lr=1e-4, weight_decay=1e-4, steps=steps),
    )


def simbaseline_cross(*, seed: int = 0) -> OVSegRecipe:
    """`simbaseline` for other data sets: all 171 classes of COCO-Stuff, no learned prompt, 120,000 steps."""
    return simbaseline(seed=seed, is_zero_shot=False)


def zegformer(*, seed: int = 0) -> OVSegRecipe:
    """ZegFormer's ResNet-101 on COCO-Stuff's 156 seen classes, around a ViT-B/16 (--clip): 60,000 steps."""
    recipe = simbaseline(seed=seed)
    assert recipe.published is not None
    return replace(
        recipe,
        model=_seen_only(presets.zegformer_config()),
        published=replace(recipe.published, backbone="microsoft/resnet-101"),
    )


_OFFICIAL = CriterionConfig(num_points=None, weights=MASKFORMER_LOSSES, unknown_share=None)
"""Masks at stride 4 on both sides; the official code brings predictions up to the picture's size."""


def _crops_of(side: int) -> Framing:
    """Crops of pictures whose shorter side, if they are 4:3, is 0.5 to 2 times the crop's: the longer one is scaled."""
    return Framing(
        image_size=side,
        flip_probability=0.5,
        scale_range=(2 / 3, 8 / 3),
        has_fixed_canvas=True,
        jitters_colour=True,
    )


def _adamw(*, lr: float, weight_decay: float, steps: int) -> OptimConfig:
    """MaskFormer's schedule: 1,500 steps of warm-up (from 0, not from 1e-6 of the rate), then poly to 0."""
    return OptimConfig(
        lr=lr,
        weight_decay=weight_decay,
        schedule="poly",
        warmup_share=1500 / steps,
        final_share=0.0,
        clip_norm=0.01,
    )


def _seen_only(model: OVSegConfig) -> OVSegConfig:
    """The model with the training vocabulary of COCO-Stuff's zero-shot split."""
    vocabulary, unseen = model.training_vocabulary, label_table("coco-stuff").unseen
    seen = tuple(concept for concept in vocabulary.concepts if concept.name not in unseen)
    return replace(model, training_vocabulary=Vocabulary(seen, vocabulary.templates))


MASK_PROMPTS = PromptConfig(kind="mask", depth=3)
"""OVSeg's default: the inputs of three blocks (paper, A.5)."""
VISUAL_PROMPTS = PromptConfig(kind="visual", depth=6, num_tokens=50)
"""VPT, as OVSeg compares with it (paper, A.6)."""


def adapt_tiny_ft(*, seed: int = 0) -> AdaptationRecipe:
    """Full fine-tuning of a tiny CLIP (--start) on pairs (--data): 38,400 of them, about 2 minutes on one core."""
    return AdaptationRecipe(trained="full", optim=_adaptation_optim(lr=6e-4), batch_size=128, steps=300, seed=seed)


def adapt_tiny_mpt(*, seed: int = 0, prompts: PromptConfig = MASK_PROMPTS) -> AdaptationRecipe:
    """Mask prompt tuning of a tiny CLIP (--start) on pairs (--data): 38,400 of them, about 2 minutes on one core.

    Its logit scale learns twenty times more slowly than the prompts, whose rate would throw it about.
    """
    return replace(
        adapt_tiny_ft(seed=seed),
        trained="prompts",
        prompts=prompts,
        optim=_adaptation_optim(lr=2e-2, weight_decay=0.0),
        logit_scale_lr_scale=0.05,
    )


def adapt_tiny_vpt(*, seed: int = 0) -> AdaptationRecipe:
    """`adapt_tiny_mpt` with visual prompts (VPT) instead: 16 tokens at two blocks, whatever the mask."""
    return adapt_tiny_mpt(seed=seed, prompts=PromptConfig(kind="visual", depth=2, num_tokens=16))


def adapt_tiny_pixel(*, seed: int = 0) -> AdaptationRecipe:
    """`adapt_tiny_mpt` with a learned picture behind the mask instead (SimBaseline's comparison)."""
    return adapt_tiny_mpt(seed=seed, prompts=PromptConfig(kind="pixel"))


def adapt_tiny_token(*, seed: int = 0) -> AdaptationRecipe:
    """`adapt_tiny_mpt` with one learned token behind the mask instead (SimBaseline's comparison)."""
    return adapt_tiny_mpt(seed=seed, prompts=PromptConfig(kind="token"))


def adapt_tiny_joint(*, seed: int = 0, prompts: PromptConfig = MASK_PROMPTS) -> AdaptationRecipe:
    """Fine-tuning and mask prompt tuning of a tiny CLIP (--start) at once, as many pairs (--data) as either alone."""
    return _joint(adapt_tiny_ft(seed=seed), prompts)


def adapt_ft(*, seed: int = 0, batch_size: int = 256) -> AdaptationRecipe:
    """OVSeg's full fine-tuning of a ViT-L/14 (--start) on pairs (--data): 5 epochs.

    The paper's batch is 256 for ViT-L/14 and 1,024 for ViT-B/16; its scripts have 128 and 512.
    """
    return AdaptationRecipe(
        trained="full", optim=_adaptation_optim(lr=5e-6, clip_norm=None), batch_size=batch_size, seed=seed
    )


def adapt_mpt(*, seed: int = 0, batch_size: int = 256, prompts: PromptConfig = MASK_PROMPTS) -> AdaptationRecipe:
    """OVSeg's mask prompt tuning of a ViT (--start) on pairs (--data): 5 epochs.

    The paper's rate is 2e-2 and its batch 256; the released script has 5e-2 and 128. The released weights are those of
    the second epoch.
    """
    optim = _adaptation_optim(lr=2e-2, weight_decay=0.0, clip_norm=None)
    return replace(adapt_ft(seed=seed, batch_size=batch_size), trained="prompts", prompts=prompts, optim=optim)


def adapt_vpt(*, seed: int = 0, batch_size: int = 256) -> AdaptationRecipe:
    """`adapt_mpt` with visual prompts (VPT) instead, 50 tokens at six blocks, as the paper compares (A.6): 5 epochs."""
    return adapt_mpt(seed=seed, batch_size=batch_size, prompts=VISUAL_PROMPTS)


def adapt_joint(*, seed: int = 0, batch_size: int = 256, prompts: PromptConfig = MASK_PROMPTS) -> AdaptationRecipe:
    """Both of OVSeg's adaptations at once (paper, A.5), each part at its own rate: 5 epochs."""
    return _joint(adapt_ft(seed=seed, batch_size=batch_size), prompts)


def _joint(tower: AdaptationRecipe, prompts: PromptConfig) -> AdaptationRecipe:
    """Prompts at the rate that they have alone, beside the image tower at its own."""
    return replace(tower, trained="joint", prompts=prompts, prompt_lr_scale=2e-2 / tower.optim.lr)


def _adaptation_optim(*, lr: float, weight_decay: float = 0.2, clip_norm: float | None = 1.0) -> OptimConfig:
    """CLIP's AdamW, 100 steps of warm-up or a tenth of a short run, a cosine to 0."""
    return OptimConfig(
        lr=lr,
        weight_decay=weight_decay,
        betas=(0.9, 0.98),
        eps=1e-6,
        warmup_share=0.1,
        warmup_limit=100,
        final_share=0.0,
        clip_norm=clip_norm,
    )


def prompt_simbaseline(*, seed: int = 0) -> LearnedPromptRecipe:
    """SimBaseline's learned prompt: 16 vectors before each class name of labelled pairs (--data), for a CLIP (--start).

    In the official code the background is filled after normalisation; here, as everywhere, before it.
    """
    return LearnedPromptRecipe(
        optim=OptimConfig(lr=0.02, weight_decay=5e-4, warmup_share=0.0, final_share=0.0, clip_norm=None),
        steps=16_000,
        seed=seed,
    )


def prompt_tiny(*, seed: int = 0) -> LearnedPromptRecipe:
    """`prompt_simbaseline` in 500 steps, for a tiny CLIP (--start) and labelled pairs (--data)."""
    return replace(prompt_simbaseline(seed=seed), steps=500)
