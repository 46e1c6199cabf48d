"""The published configurations of OVSeg, SimBaseline and ZegFormer, at full size.

Where the papers and their code disagree, the value here is the code's or the paper's as noted beside it.
"""

from dataclasses import replace

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.vit import PromptConfig, VitConfig
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SwinBackbone
from lexiseg.encoders.segmenters.maskformer import DeepResNetBackbone, MaskFormerConfig
from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import CLIP_WEIGHTS, OVSegConfig


def ovseg_swin_base_config() -> OVSegConfig:
    """OVSeg's largest: Swin-B and ViT-L/14 with mask prompts of depth 3 (paper, Table 1, last row)."""
    return OVSegConfig(
        segmenter=MaskFormerConfig(
            swin=SwinBackbone(
                embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12, image_size=384
            )
        ),
        clip=VitConfig.named("ViT-L-14-quickgelu", prompts=PromptConfig(kind="mask", depth=3)),
        training_vocabulary=Vocabulary.of("coco-stuff"),
        longest_side=2560,
        shortest_side=640,
        regions=RegionConfig(mask_threshold=0.4),  # 0.35 in the demo
        ensemble=EnsembleConfig(clip_weight=CLIP_WEIGHTS["ade20k"]),  # the demo is CLIP-only
    )


def ovseg_r101_config() -> OVSegConfig:
    """OVSeg's smaller: R101c, dilated as in its code, and ViT-B/16 with mask prompts of depth 3 (paper, Table 1)."""
    return OVSegConfig(
        segmenter=MaskFormerConfig(deep_resnet=DeepResNetBackbone(depths=(3, 4, 23, 3), multi_grid=(1, 2, 4))),
        clip=VitConfig.named("ViT-B-16-quickgelu", prompts=PromptConfig(kind="mask", depth=3)),
        training_vocabulary=Vocabulary.of("coco-stuff"),
        longest_side=2048,
        shortest_side=512,
        regions=RegionConfig(mask_threshold=0.5),
        ensemble=EnsembleConfig(clip_weight=CLIP_WEIGHTS["ade20k"]),
    )


SIMBASELINE_ENSEMBLE = EnsembleConfig(clip_weight=0.8, seen_clip_weight=0.2)
"""Generalised zero-shot: unseen p^(1 - lambda) p_hat^lambda, seen p^lambda p_hat^(1 - lambda), lambda = 0.8."""
SIMBASELINE_CROSS_DATASET = EnsembleConfig(clip_weight=0.5)
"""Across data sets no concept counts as seen."""
ZEGFORMER_ENSEMBLE = EnsembleConfig(
    clip_weight=2 / 3, seen_clip_weight=1 / 3, averages_seen=True, borrows_void=True, calibration=0.1
)
"""lambda = 2/3 and gamma = 0.1 (code)."""
ZEGFORMER_VIEWS = {
    "crop": RegionConfig(fill="keep", resampling="roi_align"),
    "mask": RegionConfig(extent="picture", resampling="roi_align"),
    "crop and mask": RegionConfig(resampling="roi_align"),
}
"""ZegFormer's three sub-images; its zero after normalisation is our mean colour. "crop and mask" is its default."""


def simbaseline_config(*, learned_prompt: bool = True) -> OVSegConfig:
    """SimBaseline (zsseg): plain CLIP, ViT-B/16, and a learned prompt of 16 vectors or a single sentence."""
    return replace(
        ovseg_r101_config(),
        clip=VitConfig.named("ViT-B-16-quickgelu"),
        longest_side=2560,
        shortest_side=640,
        prompt_length=16 if learned_prompt else 0,
        templates=None if learned_prompt else ("a sculpture of a {}.",),
        regions=RegionConfig(mask_threshold=0.5),  # 0.4 across data sets
        ensemble=SIMBASELINE_ENSEMBLE,
    )


def zegformer_config() -> OVSegConfig:
    """ZegFormer: a linear head, one sentence, sub-images by RoIAlign, averaged seen scores, calibrated stacking.

    Its ResNet-101 is the plain one: a stem of one 7x7 convolution, no dilation.
    """
    return replace(
        ovseg_r101_config(),
        segmenter=MaskFormerConfig(resnet=ResNetBackbone(depths=(3, 4, 23, 3))),
        clip=VitConfig.named("ViT-B-16-quickgelu"),
        longest_side=2560,
        shortest_side=640,
        head_hidden=None,
        has_unit_void=False,
        clip_logit_scale=None,
        templates=("A photo of a {} in the scene",),
        regions=ZEGFORMER_VIEWS["crop and mask"],
        ensemble=ZEGFORMER_ENSEMBLE,
    )
