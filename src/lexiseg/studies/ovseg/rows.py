"""How a CLIP is asked: rows of ways of answering, of which val chooses, and those that are published."""

from collections.abc import Sequence
from dataclasses import replace

from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, MASKFORMER_ONLY, EnsembleConfig
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSegConfig
from lexiseg.models.presets import (
    SIMBASELINE_CROSS_DATASET,
    SIMBASELINE_ENSEMBLE,
    ZEGFORMER_ENSEMBLE,
    ZEGFORMER_VIEWS,
)
from lexiseg.studies.ovseg.measure import PAPER_SCALE, Row

PAPER_ROW = "ensemble"
"""The row that the papers' tables show of a CLIP; it has no name of its own behind the CLIP's."""
LAMBDAS = (0.2, 0.35, 0.5, 0.65, 0.8)
KEEP, ZERO = RegionConfig(fill="keep"), RegionConfig(fill="zero")
ENSEMBLE = Row(name=PAPER_ROW, ensembles=tuple(EnsembleConfig(clip_weight=weight) for weight in LAMBDAS))
ENSEMBLE_BY_VAL = replace(
    ENSEMBLE, name="scale from val", thresholds=(0.5,), clip_logit_scales=(PAPER_SCALE, 50.0, 25.0, 12.5)
)
"""A scale of 100 makes a weak CLIP as sure as a strong one, and p^(1-lambda) p_hat^lambda believes it."""
ENSEMBLE_FIXED = Row(
    name="one setting",
    ensembles=(EnsembleConfig(clip_weight=0.65),),
    thresholds=(0.4,),
    clip_logit_scales=(25.0,),
)
"""As tiny-ovseg is asked: what the choice on few pictures of val adds to the spread is not in it."""
CLIP_ALONE = Row(name="CLIP alone")
TRUE_MASKS = Row(name="true masks", masks="true", thresholds=(0.5,))
QUERY_ALONE = Row(name="query alone", ensembles=(MASKFORMER_ONLY,), thresholds=(0.5,))
ORACLE_NAMES = Row(name="oracle names", masks="oracle", ensembles=(MASKFORMER_ONLY,), thresholds=(0.5,))
SIMBASELINE = Row(name="SimBaseline", ensembles=(SIMBASELINE_CROSS_DATASET,), thresholds=(0.4,))
ZERO_SHOT = Row(name="SimBaseline, zero-shot", ensembles=(SIMBASELINE_ENSEMBLE,), thresholds=(0.5,))
ROWS = (ENSEMBLE, ENSEMBLE_BY_VAL, ENSEMBLE_FIXED, CLIP_ALONE, TRUE_MASKS)
"""How every CLIP is asked; true masks are named by CLIP alone."""


def _zegformer(name: str, regions: RegionConfig, ensembles: Sequence[EnsembleConfig]) -> Row:
    """ZegFormer's fusion over our MaskFormer."""
    return Row(
        name=f"ZegFormer, {name}",
        regions=regions,
        ensembles=tuple(ensembles),
        thresholds=(0.5,),
        clip_logit_scales=(None,),
        chosen_by="hIoU",
    )


def _fusions(*lambdas: float) -> tuple[EnsembleConfig, ...]:
    return tuple(
        replace(
            ZEGFORMER_ENSEMBLE, clip_weight=weight, seen_clip_weight=1 - weight if weight else 0.0, calibration=gamma
        )
        for weight in lambdas
        for gamma in (0.0, 0.1, 0.3)
    )


NO_IMAGE = replace(ZEGFORMER_ENSEMBLE, clip_weight=0.0, seen_clip_weight=0.0)
ZEGFORMER = (
    _zegformer("no image branch", RegionConfig(), _fusions(0.0)),
    *(_zegformer(view, regions, _fusions(0.5, 2 / 3, 0.8)) for view, regions in ZEGFORMER_VIEWS.items()),
)
"""lambda and gamma from val."""
ZEGFORMER_PUBLISHED = (
    _zegformer("no image branch, published", RegionConfig(), (NO_IMAGE,)),
    *(_zegformer(f"{view}, published", regions, (ZEGFORMER_ENSEMBLE,)) for view, regions in ZEGFORMER_VIEWS.items()),
)
"""lambda 2/3 and gamma 0.1: what the choice adds to the spread is not in it."""
FILLS = (
    replace(TRUE_MASKS, name="true masks, background kept", regions=KEEP),
    replace(TRUE_MASKS, name="true masks, background zero", regions=ZERO),
    replace(CLIP_ALONE, name="CLIP alone, fill keep", regions=KEEP),
    replace(CLIP_ALONE, name="CLIP alone, fill zero", regions=ZERO),
)
ROWS_OF_ORIGINAL = (*ROWS, QUERY_ALONE, ORACLE_NAMES, *FILLS, SIMBASELINE, ZERO_SHOT, *ZEGFORMER, *ZEGFORMER_PUBLISHED)
"""Rows that need no training, asked of the original CLIP."""
ROWS_OF_ADAPTED = (*ROWS, *ZEGFORMER_PUBLISHED)
"""Of FT: whether a CLIP that has seen tight masked crops gains by them in ZegFormer, too."""
BESIDE_R101C = replace(ENSEMBLE, name="beside R101c")
"""The ensemble once more: in OVSeg's Table 1 the drawn world's stands beside both sizes of the paper's."""
ROWS_OF_OVSEG = (*ROWS, BESIDE_R101C, FILLS[0])
"""Of FT, then MPT: a kept background as V2 asks of the original CLIP, too."""
ROWS_OF_PART = (*ROWS, QUERY_ALONE, SIMBASELINE, ZEGFORMER[-1])
"""Of the MaskFormer of fewer classes: SimBaseline and ZegFormer as OVSeg's Table 1 has them."""
VIEWS = {"mask": RegionConfig()}
VIEWS_OF_ORIGINAL = {**VIEWS, "background kept": KEEP}


def published_rows(config: OVSegConfig, clip_weight: float | None) -> tuple[Row, ...]:
    """Rows that need no training and no val: a model as it is published, and the parts of its answer.

    Args:
        config: the model's.
        clip_weight: lambda, where the authors name one for the data; the model's own if not given.
    """
    own, threshold = config.regions, config.regions.mask_threshold
    ensemble = config.ensemble if clip_weight is None else replace(config.ensemble, clip_weight=clip_weight)
    scales = (config.clip_logit_scale,)
    ours = (
        Row(name=PAPER_ROW, regions=own, ensembles=(ensemble,)),
        Row(name=CLIP_ALONE.name, regions=own, ensembles=(CLIP_BRANCH_ONLY,)),
        *(replace(row, regions=own) for row in (TRUE_MASKS, QUERY_ALONE, ORACLE_NAMES)),
        *(replace(row, regions=replace(own, fill=row.regions.fill)) for row in FILLS),
        SIMBASELINE,
        ZERO_SHOT,
    )
    asked = tuple(replace(row, thresholds=(threshold,), clip_logit_scales=scales) for row in ours)
    return *asked, *(replace(row, name=row.name.removesuffix(", published")) for row in ZEGFORMER_PUBLISHED)


def published_views(config: OVSegConfig) -> dict[str, RegionConfig]:
    """Ways in which a model as it is published has masks cut out that are to be named."""
    return {name: replace(config.regions, fill=view.fill) for name, view in VIEWS_OF_ORIGINAL.items()}
