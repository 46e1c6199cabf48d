"""Recipes of OPSNet at the paper's size, on COCO panoptic (ICCV 2023; hyper-parameters follow Mask2Former).

What the paper leaves open, and what is done here:

- Frozen CLIP: "CLIP RN50" is OpenAI's, hence QuickGELU; it sees the segmenter's own input, at stride 32.
- Initial weights: Mask2Former's backbones from ImageNet; --start takes a whole Mask2Former just as well.
- Which query: the text says "initial", Mask2Former's own class head reads the updated one, and so do we.
- Query enhancer: keys and values each have a 1024 to 256 projection, which gives the 26.5 M parameters that the paper
  adds; its 8 heads, its place and its mask are ours (`QueryEnhancer`); `enhancer_is_masked=False` is the paper's row.
- Fusion: both embeddings are normalised before they are added; no-object's probability is the query's alone.
- IoU loss: weight 1 (5 in the tiny recipes); matched and unmatched queries count one half each (`losses.iou_loss`).
- Words: VILD's 14 templates, averaged, for training names and asked ones alike.
- Crowd and void pixels: as in Mask2Former, the target of a query that finds nothing else there is no-object.
- Weight decay: none on vectors (norms, biases); Mask2Former spares the query embeddings too.
- Use: shorter side 800, longer at most 1333, as Mask2Former is tested on COCO; padded with the mean colour, as it is.
"""

from dataclasses import replace

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SegmenterConfig, SwinBackbone
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.recipe import Published

CLIP_RN50 = "timm/resnet50_clip.openai"


def opsnet_r50(*, seed: int = 0) -> OPSNetRecipe:
    """OPSNet with a ResNet-50 on COCO panoptic: 368,750 steps of 16 pictures, 50 epochs."""
    return OPSNetRecipe(
        segmenter=SegmenterConfig(resnet=ResNetBackbone(), num_queries=100),
        clip=ClipConfig.named("RN50-quickgelu"),
        vocabulary=Vocabulary.of("coco"),
        enhancer_shares_projection=False,
        padding="mean",
        framing=Framing(image_size=1024, scale_range=(0.1, 2.0), flip_probability=0.5, has_fixed_canvas=True),
        test_sides=(800, 1333),
        num_pictures=0,
        steps=368_750,
        batch_size=16,
        optim=OptimConfig(
            lr=1e-4,
            weight_decay=0.05,
            warmup_share=0.0,
            final_share=1.0,  # level: the rate falls at the drops alone
            clip_norm=0.01,
        ),
        rate_drops=(327_778 / 368_750, 355_092 / 368_750),
        backbone_lr_scale=0.1,
        criterion=CriterionConfig(unknown_share=None),
        published=Published(backbone="microsoft/resnet-50", clip=CLIP_RN50),
        seed=seed,
    )


def opsnet_r101(*, seed: int = 0) -> OPSNetRecipe:
    """OPSNet with a ResNet-101 on COCO panoptic: 368,750 steps of 16 pictures, 50 epochs."""
    segmenter = SegmenterConfig(resnet=ResNetBackbone(depths=(3, 4, 23, 3)), num_queries=100)
    return _with_segmenter(segmenter, "microsoft/resnet-101", seed=seed)


def opsnet_swin_s(*, seed: int = 0) -> OPSNetRecipe:
    """OPSNet with a Swin-S (ImageNet-1K) on COCO panoptic: 368,750 steps of 16 pictures, 50 epochs."""
    segmenter = SegmenterConfig(swin=SwinBackbone(), num_queries=100)
    return _with_segmenter(segmenter, "microsoft/swin-small-patch4-window7-224", seed=seed)


def opsnet_swin_l(*, seed: int = 0) -> OPSNetRecipe:
    """OPSNet with a Swin-L (ImageNet-22K), 200 queries, on COCO panoptic: 737,500 steps of 16 pictures, 100 epochs."""
    swin = SwinBackbone(embed_dim=192, num_heads=(6, 12, 24, 48), window_size=12, image_size=384)
    segmenter = SegmenterConfig(swin=swin, num_queries=200)
    recipe = _with_segmenter(segmenter, "microsoft/swin-large-patch4-window12-384-in22k", seed=seed)
    return replace(recipe, steps=737_500)


def _with_segmenter(segmenter: SegmenterConfig, backbone: str, *, seed: int) -> OPSNetRecipe:
    """`opsnet_r50` with another segmenter, whose backbone has this name on the hub."""
    return replace(opsnet_r50(seed=seed), segmenter=segmenter, published=Published(backbone=backbone, clip=CLIP_RN50))
