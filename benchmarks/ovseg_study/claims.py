"""The claims of the papers as comparisons between figures of the runs: a literal table."""

import itertools

from study.verdicts import Claim, Comparison, rising

from ovseg_study.plan import FIXED


def _within(arm: str, *figures: str) -> tuple[Comparison, ...]:
    """Each figure of one arm above the one before."""
    pairs = itertools.pairwise(figures)
    return tuple(Comparison(higher=(arm, higher), lower=(arm, lower)) for lower, higher in pairs)


BY_VAL = "ensemble, scale from val mIoU"
MIOU = ("ensemble mIoU", BY_VAL, "CLIP alone mIoU")
ONE_SETTING = "ensemble, one setting {}"
NAMING = ("clean, mask all", "noisy, mask all")
SEEN = ("CLIP alone mIoU seen", "clean, mask seen", "noisy, mask seen")
UNSEEN = ("CLIP alone mIoU unseen", "clean, mask unseen", "noisy, mask unseen")
ZEG = "ZegFormer, {} {}"
VIEWS = ("crop", "no image branch", "mask", "crop and mask")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="V1",
        says="True masks named by CLIP << MaskFormer's masks named by the truth (20.1 << 66.5).",
        comparisons=_within("original", "true masks mIoU", "oracle names mIoU"),
    ),
    Claim(
        name="V2",
        says="Crops with the mask > crops with their background (20.1 > 13.8), true masks, original CLIP.",
        comparisons=(
            *_within("original", "true masks, background kept mIoU", "true masks mIoU"),
            *_within("original", "clean, background kept all", "clean, mask all"),
            *_within("original", "noisy, background kept all", "noisy, mask all"),
        ),
    ),
    Claim(
        name="V3",
        says="Ensemble > MaskFormer > CLIP (21.8 > 19.6 > 14.3); adapted: ensemble > CLIP > MaskFormer (29.6 > 25.1).",
        comparisons=(
            *_within("original", "CLIP alone mIoU", "query alone mIoU", "ensemble mIoU"),
            *_within("original", "query alone mIoU", BY_VAL),
            *_within("ft-mpt", "CLIP alone mIoU", "ensemble mIoU"),
            Comparison(higher=(f"original{FIXED}", ONE_SETTING.format("mIoU")), lower=("original", "query alone mIoU")),
            Comparison(higher=(f"ft-mpt{FIXED}", ONE_SETTING.format("mIoU")), lower=("original", "query alone mIoU")),
            Comparison(higher=("ft-mpt", "CLIP alone mIoU"), lower=("original", "query alone mIoU")),
            Comparison(higher=("ft-mpt", "ensemble mIoU"), lower=("original", "query alone mIoU")),
            Comparison(higher=("ft-mpt", BY_VAL), lower=("original", "query alone mIoU")),
        ),
    ),
    Claim(
        name="V4",
        says="Labels raise the names that overlap (57.3 > 55.7 > 51.4) and lower new ones below the baseline (5.3 < "
        "7.3 < 8.8); captions raise both; proposals > true masks (8.8 > 7.9); five captions are as good as one.",
        comparisons=(
            *rising(UNSEEN, "ft-labels", "original", "ft"),
            *rising(UNSEEN, "ft-labels", "ft"),
            *rising(SEEN, "original", "ft", "ft-labels"),
            *rising((*MIOU, *UNSEEN), "ft-true-masks", "ft"),
            *rising(MIOU, "ft-captions-5", "ft", margin=1.0),
            *rising(MIOU, "ft", "ft-captions-5", margin=1.0),
        ),
    ),
    Claim(
        name="V5",
        says="Mixing labels into captions hurts: captions 28.8 > both 26.7 > labels 23.0.",
        comparisons=rising((*MIOU, *NAMING), "ft-labels", "ft-mixture", "ft"),
    ),
    Claim(
        name="V6",
        says="Baseline < MPT < FT < FT, then MPT (21.8 < 26.5 < 28.8 < 29.6); the last not a point below FT.",
        comparisons=(
            *rising((*MIOU, *NAMING), "original", "mpt", "ft", "ft-mpt"),
            *rising(
                tuple(map(ONE_SETTING.format, ("mIoU", "mIoU unseen", "hIoU"))),
                *(f"{arm}{FIXED}" for arm in ("original", "mpt", "ft", "ft-mpt")),
            ),
            *rising((*MIOU, *NAMING), "ft", "ft-mpt", margin=1.0),
            *rising((*MIOU, *NAMING), "ft-ft", "ft-mpt", role="control"),
        ),
    ),
    Claim(
        name="V7",
        says="FT, then MPT > both at once > MPT, then FT (29.6 > 29.0 > 28.1); all with as many samples.",
        comparisons=(
            *rising((*MIOU, *NAMING), "mpt-ft", "joint", "ft-mpt"),
            *rising((*MIOU, *NAMING), "ft-ft", "joint", role="control"),
            *rising((*MIOU, *NAMING), "ft-ft", "mpt-ft", role="control"),
        ),
    ),
    Claim(
        name="V8",
        says="Depth of the prompts: alone it saturates (25.7, 26.5, 26.8, 26.8); after FT half is best (29.3, 29.6, "
        "29.4, 29.3). Here 1 of 4 blocks is one and a quarter, 2 a half, 4 all; 3 is the default.",
        comparisons=(
            *rising(MIOU, "mpt-depth-1", "mpt-depth-2"),
            *rising(MIOU, "mpt-depth-2", "mpt-depth-4", margin=1.0),
            *rising(MIOU, "ft-mpt-depth-1", "ft-mpt-depth-2"),
            *rising(MIOU, "ft-mpt-depth-4", "ft-mpt-depth-2"),
            *rising(MIOU, "mpt-depth-2", "mpt", role="control"),
            *rising(MIOU, "ft-mpt-depth-2", "ft-mpt", role="control"),
        ),
    ),
    Claim(
        name="V9",
        says="Mask prompts > VPT > baseline (26.5 > 25.5 > 21.8).",
        comparisons=rising((*MIOU, *NAMING), "original", "vpt", "mpt"),
    ),
    Claim(
        name="Z1",
        says="ZegFormer on unseen names and their harmonic mean: crop < no image branch < mask < crop and mask (19.7, "
        "21.4, 31.0, 33.1; 25.6, 27.2, 33.3, 34.4); a tiny loss on seen names (37.4 to 35.9).",
        comparisons=(
            *_within("original", *(ZEG.format(view, "mIoU unseen") for view in VIEWS)),
            *_within("original", *(ZEG.format(view, "hIoU") for view in VIEWS)),
            *_within("original", *(ZEG.format(view, "mIoU seen") for view in ("crop and mask", "no image branch"))),
        ),
    ),
    Claim(
        name="Z2",
        says="Fill of a crop, CLIP alone, hIoU: keep 9.3 << zero 17.2 < mean 18.3; learned picture and token fail.",
        comparisons=(
            *_within("original", "CLIP alone, fill keep hIoU", "CLIP alone, fill zero hIoU", "CLIP alone hIoU"),
            *rising(("CLIP alone hIoU",), "pixel", "original"),
            *rising(("CLIP alone hIoU",), "token", "original"),
        ),
    ),
)
"""OVSeg's own (introduction, Tables 2 and 3, appendix A.1 to A.7), and those of the systems before it (Z)."""
