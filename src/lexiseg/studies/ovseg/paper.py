"""The tables of OVSeg, and of SimBaseline and ZegFormer as its authors' slides show them: the papers' numbers.

mIoU in percent. Numbers of OVSeg are those of its larger model (Swin-B, ViT-L/14), where nothing else is said.
"""

from collections.abc import Mapping

from lexiseg.studies.tables import NOT_TRIED, Paper, PaperRow, PaperTable

A_847, PC_459, A_150, PC_59, PAS_20 = (f"{data} mIoU" for data in ("A-847", "PC-459", "A-150", "PC-59", "PAS-20"))
SPLIT = ("COCO-Stuff mIoU seen", "COCO-Stuff mIoU unseen", "COCO-Stuff hIoU")
HARMONIC_FIRST = (SPLIT[2], SPLIT[0], SPLIT[1])
Numbers = tuple[float | None, ...]


def _table(
    name: str,
    says: str,
    columns: tuple[str, ...],
    rows: Mapping[str, tuple[str, Numbers]],
    *,
    paper: Paper = "OVSeg",
    more: tuple[str, ...] = (),
) -> PaperTable:
    """A table whose rows are written as a name, the arm and the paper's numbers."""
    return PaperTable(
        name=name,
        paper=paper,
        says=says,
        columns=columns,
        rows=tuple(
            PaperRow(name=row, arm=arm, figures=dict(zip(columns, numbers, strict=True)))
            for row, (arm, numbers) in rows.items()
        ),
        more=more,
    )


MIXED = ("A-150 mIoU seen", "A-150 mIoU unseen", "A-150 hIoU")

TABLES: tuple[PaperTable, ...] = (
    _table(
        "OVSeg introduction",
        "Which half is the bottleneck: true masks named by CLIP, and MaskFormer's masks with true names (V1).",
        (A_150,),
        {
            "true masks, original CLIP": ("original, true masks", (20.1,)),
            "MaskFormer's masks, true names": ("original, oracle names", (66.5,)),
            "true masks, adapted CLIP": ("ft-mpt, true masks", (None,)),
        },
    ),
    _table(
        "OVSeg Table 1",
        "Systems across data sets (V10); rivals without public parts to build them of are left out. On drawn pictures "
        "one size of OVSeg stands beside both of the paper's, on real ones beside Swin-B alone.",
        (A_847, PC_459, A_150, PC_59, PAS_20),
        {
            "SimBaseline, COCO-Stuff-156": ("part original, SimBaseline", (None, None, 15.3, None, 74.5)),
            "ZegFormer, COCO-Stuff-156": (
                "part original, ZegFormer, crop and mask",
                (None, None, 16.4, None, 80.7),
            ),
            "OVSeg R101c, COCO-Stuff-156": ("part ft-mpt", (7.0, 10.4, 24.0, 51.7, 89.2)),
            "OVSeg R101c, COCO-Stuff-171": ("ft-mpt, beside R101c", (7.1, 11.0, 24.8, 53.3, 92.6)),
            "OVSeg Swin-B, COCO-Stuff-171": ("ft-mpt", (9.0, 12.4, 29.6, 55.7, 94.5)),
            "SimBaseline's way, COCO-Stuff-171": ("original, SimBaseline", (None,) * 5),
        },
    ),
    _table(
        "OVSeg Table 2",
        "Sources of the pairs of masks and categories that CLIP is adapted on (V4).",
        (A_847, A_150, PC_59),
        {
            "baseline": ("original", (7.3, 21.8, 51.4)),
            "(1) true masks, labels": ("ft-labels", (5.3, 23.0, 57.3)),
            "(2) true masks, 1 caption": ("ft-true-masks", (7.9, 24.2, 53.2)),
            "(3) proposals, 1 caption": ("ft", (8.8, 28.8, 55.7)),
            "(4) proposals, 5 captions": ("ft-captions-5", (8.8, 28.6, 55.5)),
            "labels, four times the steps": ("ft-labels-long", (None, None, None)),
        },
    ),
    _table(
        "OVSeg Table 3",
        "Ways of adapting CLIP: mask prompt tuning, full fine-tuning, both (V6).",
        (A_847, A_150, PC_59),
        {
            "baseline": ("original", (7.3, 21.8, 51.4)),
            "(a) MPT": ("mpt", (8.4, 26.5, 55.4)),
            "(b) full": ("ft", (8.8, 28.8, 55.7)),
            "(c) full, then MPT": ("ft-mpt", (9.0, 29.6, 55.7)),
            "full, then full: as many samples": ("ft-ft", (None, None, None)),
        },
    ),
    _table(
        "OVSeg A.1",
        "True masks as crops, with and without their background, named by CLIP (V2).",
        (A_150,),
        {
            "original, background kept": ("original, true masks, background kept", (13.8,)),
            "original, background masked": ("original, true masks", (20.1,)),
            "adapted, background kept": ("ft-mpt, true masks, background kept", (None,)),
            "adapted, background masked": ("ft-mpt, true masks", (None,)),
        },
    ),
    _table(
        "OVSeg A.3",
        "The parts of the ensemble, each alone (V3).",
        (A_150,),
        {
            "MaskFormer only": ("original, query alone", (19.6,)),
            "baseline, CLIP only": ("original, CLIP alone", (14.3,)),
            "baseline, ensemble": ("original", (21.8,)),
            "baseline, ensemble, CLIP's scale from val": ("original, scale from val", (None,)),
            "OVSeg, CLIP only": ("ft-mpt, CLIP alone", (25.1,)),
            "OVSeg, ensemble": ("ft-mpt", (29.6,)),
            "OVSeg, ensemble, CLIP's scale from val": ("ft-mpt, scale from val", (None,)),
        },
        more=MIXED,
    ),
    _table(
        "OVSeg A.5",
        "Both adaptations in either order and at once (V7), and the depth of the prompts by the share of blocks (V8): "
        "the paper's numbers are of 24 blocks, ours of 4; 3 are the default of both.",
        (A_847, A_150),
        {
            "full, then MPT": ("ft-mpt", (9.0, 29.6)),
            "MPT, then full": ("mpt-ft", (8.5, 28.1)),
            "both at once": ("joint", (8.8, 29.0)),
            "MPT, 1 of 24 blocks": (f"{NOT_TRIED}MPT, 1 of 24", (None, 25.7)),
            "MPT, 3 of 24 blocks: Table 3 (a)": (f"{NOT_TRIED}MPT, 3 of 24", (None, 26.5)),
            "MPT, a quarter of the blocks": ("mpt-depth-1", (None, 26.8)),
            "MPT, half": ("mpt-depth-2", (None, 26.8)),
            "MPT, three quarters": ("mpt", (None, None)),
            "MPT, all": ("mpt-depth-4", (None, None)),
            "full, then MPT, 1 of 24 blocks": (f"{NOT_TRIED}full, then MPT, 1 of 24", (None, 29.3)),
            "full, then MPT, a quarter": ("ft-mpt-depth-1", (None, 29.4)),
            "full, then MPT, half": ("ft-mpt-depth-2", (None, 29.3)),
            "full, then MPT, all": ("ft-mpt-depth-4", (None, None)),
        },
    ),
    _table(
        "OVSeg A.6",
        "Mask prompts against visual prompts (V9).",
        (A_150,),
        {"baseline": ("original", (21.8,)), "VPT": ("vpt", (25.5,)), "mask prompts": ("mpt", (26.5,))},
        more=MIXED,
    ),
    _table(
        "OVSeg A.6 cost",
        "Multiply-adds of ViT-L/14 for one crop, at full size; the paper: VPT about 40 % more compute, MPT none.",
        ("GMAC per crop",),
        {kind: (f"cost: {kind}", (None,)) for kind in ("no prompts", "mask prompts", "VPT", "VPT of 100 tokens")},
    ),
    _table(
        "OVSeg A.7",
        "Mixtures of pairs (V5).",
        (A_150,),
        {
            "labels": ("ft-labels", (23.0,)),
            "labels and captions": ("ft-mixture", (26.7,)),
            "captions": ("ft", (28.8,)),
        },
        more=MIXED,
    ),
    _table(
        "OVSeg A.8",
        "Seen and unseen classes of A-150 (V11).",
        ("A-150 mIoU seen", "A-150 mIoU unseen"),
        {"OVSeg": ("ft-mpt", (37.6, 21.9)), "OVSeg, CLIP's scale from val": ("ft-mpt, scale from val", (None, None))},
    ),
    _table(
        "OVSeg A.9",
        "Seconds per picture (V12); the paper's on an A5000, ours on one thread of whatever ran it.",
        ("seconds per picture",),
        {"MaskFormer": ("MaskFormer", (0.2,)), "CLIP on the crops": ("CLIP on the crops", (0.6,))},
    ),
    _table(
        "ZegFormer views",
        "What its image branch is shown (Z1).",
        SPLIT,
        {
            "ZegFormer-seg: no image branch": ("original, ZegFormer, no image branch", (37.4, 21.4, 27.2)),
            "ZegFormer, crop": ("original, ZegFormer, crop", (36.6, 19.7, 25.6)),
            "ZegFormer, mask": ("original, ZegFormer, mask", (36.0, 31.0, 33.3)),
            "ZegFormer, crop and mask": ("original, ZegFormer, crop and mask", (35.9, 33.1, 34.4)),
        },
        paper="ZegFormer",
    ),
    _table(
        "SimBaseline fill",
        "What replaces the background of a crop, CLIP alone (Z2); learned pictures and tokens fail, the slides say.",
        HARMONIC_FIRST,
        {
            "preserving": ("original, CLIP alone, fill keep", (9.3, 8.9, 9.5)),
            "zero": ("original, CLIP alone, fill zero", (17.2, 16.3, 18.2)),
            "mean values": ("original, CLIP alone", (18.3, 17.3, 19.5)),
            "pixel prompts": ("pixel, CLIP alone", (None, None, None)),
            "mask token": ("token, CLIP alone", (None, None, None)),
        },
        paper="SimBaseline",
    ),
    _table(
        "SimBaseline branches",
        "The trained branch, CLIP, and the ensemble, in which seen words have a weight of their own (Z3).",
        HARMONIC_FIRST,
        {
            "trained branch": ("original, query alone", (8.7, 38.7, 4.9)),
            "CLIP": ("original, CLIP alone", (28.2, 26.8, 29.7)),
            "ensemble": ("original, SimBaseline, zero-shot", (37.8, 39.3, 36.3)),
        },
        paper="SimBaseline",
    ),
)
