"""OPSNet's tables whose rows need a training or another model, 2, 3, 8 and 9; its costs; claims O4 and O11 to O15.

Rows of models that are not tried here have the paper's figures alone. At equal training means: from the same start, as
many steps, on the same pictures in the same order.
"""

from collections.abc import Mapping

from lexiseg.studies.opsnet import costs
from lexiseg.studies.opsnet.trainings import (
    BOTH,
    CLASSES,
    CLOSED,
    DEEP,
    FURTHER,
    GIVEN,
    LESS,
    LSEG,
    MASKCLIP,
    OPSNET,
    PLAIN,
    PLAIN_CLASS,
    PLAIN_MODULATED,
    QUERY,
    SIMBASELINE,
    STARTS,
    SWIN,
)
from lexiseg.studies.tables import NOT_TRIED, PaperRow, PaperTable
from lexiseg.studies.verdicts import Claim, Contrast, above, rising

COCO, ADE, CITY, PC = "COCO PQ", "ADE20K PQ", "Cityscapes PQ", "Pascal Context mIoU"
_PANOPTIC = ("PQ", "PQ things", "PQ stuff")
_WHOLE = (*_PANOPTIC, "SQ", "RQ")
_THREE = tuple(f"{data} {figure}" for data in ("COCO", "ADE20K", "Cityscapes") for figure in _WHOLE)
_TWO = tuple(f"{data} {figure}" for data in ("ADE20K", "COCO") for figure in _PANOPTIC)
_SEMANTIC = ("ADE20K mIoU", PC, "COCO mIoU")
_COCO = tuple(f"COCO {figure}" for figure in _PANOPTIC)
_COVERED = "ImageNet pixels under one mask"


def _rows(
    columns: tuple[str, ...], rows: Mapping[str, tuple[str | None, tuple[float | None, ...]]]
) -> tuple[PaperRow, ...]:
    """Rows as a name, the arm, and the paper's numbers; of no arm: a model that is not tried."""
    return tuple(
        PaperRow(name=name, arm=arm or f"{NOT_TRIED}{name}", figures=dict(zip(columns, numbers, strict=False)))
        for name, (arm, numbers) in rows.items()
    )


_NONE = (None,) * 5
TABLE_1_SHORT = _rows(
    tuple(f"{data} {figure}" for data in ("COCO", "ADE20K") for figure in _WHOLE),
    {
        "short training: Mask2Former": (CLOSED, (51.9, 57.7, 43.0, 83.1, 61.6)),
        "short training: query-only without enhancer, Cls": (
            PLAIN_CLASS,
            (51.5, 57.3, 42.8, 83.2, 61.1, 13.6, 11.3, 18.0, 29.8, 16.8),
        ),
        "short training: query-only without enhancer, Cls.IoU": (
            PLAIN,
            (51.9, 57.4, 43.4, 83.3, 61.5, 14.5, 12.4, 19.3, 37.7, 17.6),
        ),
        "short training: query-only, Cls.IoU": (QUERY, (52.4, 58.0, 44.0, 83.5, 62.1, 14.6, 13.2, 17.6, 33.8, 17.1)),
        "short training: modulated, Cls.IoU": (OPSNET, (52.4, 58.0, 44.0, 83.5, 62.1, 17.7, 15.6, 21.9, 54.9, 21.6)),
    },
)
"""Rows of Table 1 at equal training, beside those of the given model."""

TABLE_2 = PaperTable(
    name="Table 2",
    paper="OPSNet",
    says="Panoptic segmentation across data sets, against MaskCLIP and over backbones. Ours are trained shortly: a "
    "tiny ResNet, one with twice the blocks and a tiny Swin from closed sets of their own. MaskCLIP here has mask "
    "tokens in OVSeg's original ViT CLIP, without its trained relative attention; its masks are those of a closed set "
    "at equal training.",
    columns=_THREE,
    rows=_rows(
        _THREE,
        {
            "MaskCLIP-Base, ResNet-50": (None, (*_NONE, 9.6, 8.9, 10.9, 62.5, 12.6)),
            "MaskCLIP-RCNN, ResNet-50": (None, (*_NONE, 12.9, 11.2, 16.1, 64.0, 16.8)),
            "MaskCLIP-Full, ResNet-50": (MASKCLIP, (30.9, 34.8, 25.2, None, None, 15.1, 13.5, 18.3, 70.5, 19.2)),
            "the given OPSNet": (GIVEN, ()),
            "OPSNet, ResNet-50": (
                OPSNET,
                (52.4, 58.0, 44.0, 83.5, 62.1, 17.7, 15.6, 21.9, 54.9, 21.6, 37.8, 35.5, 39.5, 64.2, 45.8),
            ),
            "OPSNet, ResNet-101": (
                DEEP,
                (53.9, 59.6, 45.3, 83.6, 63.7, 18.2, 16.0, 22.6, 52.1, 22.0, 40.2, 37.0, 42.5, 64.3, 48.5),
            ),
            "OPSNet, Swin-S": (
                SWIN,
                (54.8, 60.5, 46.2, 83.7, 64.8, 18.3, 16.8, 21.3, 59.4, 22.3, 41.1, 36.0, 44.8, 66.9, 49.6),
            ),
            "OPSNet, Swin-L": (
                None,
                (57.9, 64.1, 48.5, 84.1, 68.2, 19.0, 16.6, 23.8, 52.4, 23.0, 41.5, 36.9, 44.8, 67.5, 50.0),
            ),
        },
    ),
)
TABLE_3 = PaperTable(
    name="Table 3",
    paper="OPSNet",
    says="Decoupled supervision, OPSNet+: labels of pictures without masks teach names (Cls Sup) and masks (Mask Sup). "
    "All of ours go on from the given model for as many steps, the first with masks alone.",
    columns=_TWO,
    more=(
        *("ADE20K PQ unseen", CITY, "ADE20K mIoU", "Pascal Context mIoU unseen"),
        *(f"ImageNet pixels under {what}" for what in ("nothing", "one mask", "several masks")),
    ),
    rows=_rows(
        _TWO,
        {
            "the given OPSNet": (GIVEN, ()),
            "OPSNet, further": (FURTHER, (17.7, 15.6, 21.9, 52.4, 58.0, 44.0)),
            "+ Cls Sup": (CLASSES, (18.2, 15.0, 24.4, 51.3, 56.9, 42.9)),
            "+ Cls Sup + Mask Sup": (BOTH, (19.0, 16.6, 23.9, 51.7, 57.2, 43.4)),
            "+ Cls Sup + Mask Sup at 0.1 instead of 0.4": (LESS, ()),
            "+ Cls Sup + Mask Sup, Swin-L": (None, (20.5, 18.5, 24.5, 56.2, 61.7, 47.7)),
        },
    ),
)
TABLE_8 = PaperTable(
    name="Table 8",
    paper="OPSNet",
    says="Semantic segmentation by panoptic maps merged by class. OPSNet and LSeg at equal training; SimBaseline is "
    "the shipped OVSeg's MaskFormer with its ensemble across data sets and the original CLIP (of quick: the adapted "
    "one, trained on plain pictures again), and stands beside the given OPSNet.",
    columns=_SEMANTIC,
    more=("ADE20K mIoU unseen", "Pascal Context mIoU unseen"),
    rows=_rows(
        _SEMANTIC,
        {
            "ALIGN": (None, (9.7, 18.5, 15.6)),
            "ALIGN+": (None, (12.9, 22.4, 17.9)),
            "LSeg+": (LSEG, (18.0, 46.5, 55.1)),
            "SimBaseline": (SIMBASELINE, (20.5, 47.7, None)),
            "OPSNet, ResNet-101": (OPSNET, (21.7, 52.2, 55.2)),
            "the given OPSNet": (GIVEN, ()),
            "OpenSeg, ResNet-101": (None, (17.5, 40.1, None)),
            "OpenSeg, Efficient-B7": (None, (24.8, 45.9, 38.1)),
            "the given OPSNet, as many steps further as OPSNet+": (FURTHER, ()),
            "OPSNet+, ResNet-101": (BOTH, (24.5, 54.3, 61.4)),
            "OPSNet+, Swin-L": (None, (25.4, 57.5, 64.8)),
        },
    ),
)
TABLE_9 = PaperTable(
    name="Table 9",
    paper="OPSNet",
    says="COCO panoptic: OPSNet against the Mask2Former that it is made of, at equal training, heads from nothing.",
    columns=_COCO,
    more=("COCO SQ", "COCO RQ"),
    rows=_rows(
        _COCO,
        {
            "Max-DeepLab, Max-L": (None, (51.1, 57.0, 42.2)),
            "MaskFormer, Swin-L": (None, (52.7, 58.5, 44.0)),
            "Panoptic SegFormer, PVTv2-B5": (None, (54.1, 60.4, 44.6)),
            "K-Net, Swin-L": (None, (54.6, 60.2, 46.0)),
            "Mask2Former, ResNet-50": (CLOSED, (51.9, 57.7, 43.0)),
            "Mask2Former, ResNet-101": (None, (52.6, 58.5, 43.7)),
            "Mask2Former, Swin-L": (None, (57.8, 64.2, 48.1)),
            "OPSNet, ResNet-50": (OPSNET, (52.4, 58.0, 44.0)),
            "OPSNet, ResNet-101": (None, (53.9, 59.6, 45.3)),
            "OPSNet, Swin-L": (None, (57.9, 64.1, 48.5)),
            "the given OPSNet": (GIVEN, ()),
        },
    ),
)
COSTS = PaperTable(
    name="Costs",
    paper="OPSNet",
    says="Multiply-adds of a picture of 640 x 640 pixels and parameters, at full size (section 4), and what CLIP "
    "sees for a picture where the given model pools masks, or would crop them.",
    columns=("GMAC", "M parameters"),
    more=("passes of CLIP",),
    rows=_rows(
        ("GMAC", "M parameters"),
        {
            costs.SEGMENTER: (costs.SEGMENTER, (403, 215)),
            costs.WHOLE: (costs.WHOLE, (485, 242)),
            costs.POOLED: (costs.POOLED, ()),
            costs.CROPPED: (costs.CROPPED, ()),
        },
    ),
)
TABLES = (TABLE_2, TABLE_3, TABLE_8, TABLE_9, COSTS)


def _at_most(figure: str, costly: str, cheap: str, more: float) -> Contrast:
    """One arm costs at most so much more than another."""
    return Contrast(
        says=f"{figure}: {costly} at most {more:g} above {cheap}",
        terms=((-1.0, costly, figure), (1.0, cheap, figure)),
        margin=more,
    )


CLAIMS = (
    Claim(
        name="O4",
        says="Cross-attention to CLIP's map (the query enhancer) helps at home and little abroad: COCO 51.9 to 52.4, "
        "ADE20K 14.5 to 14.6 (Table 1).",
        contrasts=(
            above(COCO, QUERY, PLAIN),
            Contrast(
                says="its gain on COCO above its gain on ADE20K",
                terms=((1, QUERY, COCO), (-1, PLAIN, COCO), (-1, QUERY, ADE), (1, PLAIN, ADE)),
            ),
            *rising((ADE, "ADE20K PQ unseen"), PLAIN, QUERY, kind="control"),
            above(ADE, OPSNET, PLAIN_MODULATED, kind="control"),
        ),
    ),
    Claim(
        name="O11",
        says="Class supervision trades COCO for ADE20K, and mask supervision raises both again: ADE20K 17.7 < 18.2 < "
        "19.0, COCO 51.3 < 51.7 < 52.4 (Table 3).",
        contrasts=(
            *rising((ADE,), FURTHER, CLASSES, BOTH),
            *rising((COCO,), CLASSES, BOTH, FURTHER),
            *rising(("ADE20K PQ unseen", CITY), FURTHER, CLASSES, BOTH, kind="control"),
            # What might explain it if mask supervision adds nothing: its weight, or masks that cover all the same.
            *rising((ADE, COCO), CLASSES, LESS, kind="control"),
            *rising((_COVERED,), FURTHER, CLASSES, LESS, BOTH, kind="control"),
        ),
    ),
    Claim(
        name="O12",
        says="OPSNet is above MaskCLIP, ADE20K 17.7 > 15.1 and COCO 52.4 > 30.9; better backbones are better "
        "everywhere: COCO 52.4 < 53.9 < 54.8, ADE20K 17.7 < 18.2 < 18.3, Cityscapes 37.8 < 40.2 < 41.1 (Table 2).",
        contrasts=(
            *rising((ADE, COCO), MASKCLIP, OPSNET),
            *rising((COCO, ADE, CITY), OPSNET, DEEP, SWIN),
            # If backbones are not in this order: are the closed sets that they begin from?
            *rising((COCO,), *STARTS.values(), kind="control"),
        ),
    ),
    Claim(
        name="O13",
        says="mIoU on ADE20K, Pascal Context and COCO: OPSNet 21.7, 52.2, 55.2 above SimBaseline 20.5, 47.7, - and "
        "LSeg+ 18.0, 46.5, 55.1; OPSNet+ 24.5, 54.3, 61.4 above OPSNet (Table 8).",
        contrasts=(
            *rising(_SEMANTIC, LSEG, OPSNET),
            *rising(_SEMANTIC[:2], SIMBASELINE, GIVEN),
            *rising(_SEMANTIC, FURTHER, BOTH),
            *rising(("ADE20K mIoU unseen",), LSEG, OPSNET, kind="control"),
        ),
    ),
    Claim(
        name="O14",
        says="At home OPSNet is not below the Mask2Former that it is made of: 52.4 and 51.9, 53.9 and 52.6, 57.9 and "
        "57.8; with Swin-L things alone are 0.1 below (Table 9).",
        contrasts=rising(_COCO, CLOSED, OPSNET, margin=0.5),
    ),
    Claim(
        name="O15",
        says="With Swin-L at 640 pixels OPSNet adds 82 G multiply-adds to Mask2Former's 403 G and 27 M parameters to "
        "its 215 M; CLIP sees a picture once, however many masks there are (section 4).",
        contrasts=(
            _at_most("GMAC", costs.WHOLE, costs.SEGMENTER, 82.0),
            _at_most("M parameters", costs.WHOLE, costs.SEGMENTER, 27.0),
            Contrast(
                says="OPSNet's passes of CLIP for a picture are fewer than two",
                terms=((-1.0, costs.POOLED, "passes of CLIP"),),
                margin=2.0,
            ),
            above("passes of CLIP", costs.CROPPED, costs.POOLED),
        ),
    ),
)
