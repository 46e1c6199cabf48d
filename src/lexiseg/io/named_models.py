"""The published models that are known by a name of their own, without torch: a literal table.

Figures are those of Cheng et al. 2022 (Mask2Former, arXiv 2112.01527), and of the README of Yu et al. 2023 (FC-CLIP,
arXiv 2308.02487), which has more CLIPs than their paper.
What stands here was read in the published pages and papers that it names, most recently in 2024 and 2025; what was not
found there is "unknown". Nothing here was downloaded to be tried: what the hub itself says when a model is fetched
(its size, its licence) is said then.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

UNKNOWN = "unknown"
_ZOO = "https://github.com/facebookresearch/Mask2Former/blob/main/MODEL_ZOO.md"
_FCCLIP = "https://github.com/bytedance/fc-clip#model-zoo"
_OVSEG = "https://github.com/facebookresearch/ov-seg"
_NON_COMMERCIAL = "CC BY-NC 4.0 (non-commercial)"
_MASK2FORMER_PAPER = "arXiv 2112.01527"
_FCCLIP_README = "FC-CLIP's README"
RN50 = "RN50 openai"
"""The CLIP that segmenters are joined with unless another is asked for: open_clip's name and tag."""
CLIP_REPOSITORIES: Mapping[str, str] = {
    "RN50 openai": "timm/resnet50_clip.openai",
    "RN101 openai": "timm/resnet101_clip.openai",
    "RN50x4 openai": "timm/resnet50x4_clip.openai",
    "RN50x16 openai": "timm/resnet50x16_clip.openai",
    "RN50x64 openai": "timm/resnet50x64_clip.openai",
    "convnext_large_d_320 laion2b_s29b_b131k_ft_soup": "laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup",
}
"""Where open_clip's own table finds the CLIPs of the models below on the hub."""

FCCLIP_CLIPS: Mapping[tuple[int, int], str] = {
    (768, 1536): "convnext_large_d_320 laion2b_s29b_b131k_ft_soup",
    (1024, 2048): "RN50 openai",
    (512, 2048): "RN101 openai",
    (640, 2560): "RN50x4 openai",
    (768, 3072): "RN50x16 openai",
    (1024, 4096): "RN50x64 openai",
}
"""The CLIP of each published FC-CLIP, by the widths of its joint space and of its deepest features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A published model."""

    system: Literal["opsnet", "fcclip", "ovseg"]
    """What it becomes here; an OPSNet is assembled from a segmenter and a CLIP."""
    trained_on: str
    backbone: str
    clip: str
    """open_clip's name and tag."""
    repository: str | None = None
    """On the Hugging Face hub; None if the file lies elsewhere."""
    address: str = ""
    """The page that links the file, if it does not lie on the hub."""
    megabytes: int | None = None
    """Of the segmenter's weights, or the checkpoint; None if unknown."""
    licence: str = UNKNOWN
    """As the repository of its authors says: Mask2Former's in MODEL_ZOO.md, while the hub's pages say "other"."""
    pq: str = UNKNOWN
    """Published panoptic quality in percent, and of what."""
    pq_source: str = ""
    note: str = ""
    """What else must be known."""

    @property
    def is_non_commercial(self) -> bool:
        """Whether a published licence forbids commercial use."""
        return "non-commercial" in self.licence


def _mask2former(
    trained_on: str,
    backbone: str,
    repository: str | None,
    *,
    megabytes: int | None = None,
    pq: str = UNKNOWN,
    note: str = "",
) -> NamedModel:
    return NamedModel(
        system="opsnet",
        trained_on=trained_on,
        backbone=backbone,
        clip=RN50,
        repository=None if repository is None else f"facebook/mask2former-{repository}",
        address="" if repository else _ZOO,
        megabytes=megabytes,
        licence=_NON_COMMERCIAL,
        pq=pq if pq == UNKNOWN or not pq[0].isdigit() else f"{pq} closed set",
        pq_source=_MASK2FORMER_PAPER if pq[0].isdigit() else "",
        note=note,
    )


def _fcclip(clip: str, *, pq: str, file: str) -> NamedModel:
    return NamedModel(
        system="fcclip",
        trained_on="COCO panoptic",
        backbone=f"CLIP {clip.split()[0]}",
        clip=clip,
        address=_FCCLIP,
        licence="Apache-2.0",
        pq=pq,
        pq_source=_FCCLIP_README,
        note=f"{file}on Google Drive",
    )


def _ovseg(backbone: str, clip: str) -> NamedModel:
    return NamedModel(
        system="ovseg",
        trained_on="COCO-Stuff",
        backbone=backbone,
        clip=clip,
        address=_OVSEG,
        licence=_NON_COMMERCIAL,
        pq="none: semantic",
        note="on Google Drive; semantic, so things of a kind are one region",
    )


_COCO, _ADE, _ADE_SEMANTIC, _CITYSCAPES = "COCO panoptic", "ADE20K panoptic", "ADE20K semantic", "Cityscapes panoptic"
_SEMANTIC = "none: semantic"
_UNSEEN = "that the hub has it was not confirmed"

NAMED: Mapping[str, NamedModel] = {
    "swin-t-coco": _mask2former(_COCO, "Swin-T", "swin-tiny-coco-panoptic", pq="53.2"),
    "swin-s-coco": _mask2former(_COCO, "Swin-S", "swin-small-coco-panoptic", megabytes=276, pq="54.6"),
    "swin-b-coco": _mask2former(
        _COCO,
        "Swin-B",
        "swin-base-coco-panoptic",
        megabytes=432,
        pq="55.1 or 56.4",
        note="pretrained on ImageNet-1k (55.1) or 21k (56.4): unknown",
    ),
    "swin-l-coco": _mask2former(_COCO, "Swin-L", "swin-large-coco-panoptic", megabytes=866, pq="57.8"),
    "r50-coco": _mask2former(_COCO, "R50", None, pq="51.9", note="a detectron2 pickle"),
    "swin-t-ade": _mask2former(_ADE_SEMANTIC, "Swin-T", "swin-tiny-ade-semantic", pq=_SEMANTIC),
    "swin-s-ade": _mask2former(_ADE_SEMANTIC, "Swin-S", "swin-small-ade-semantic", pq=_SEMANTIC),
    "swin-b-ade": _mask2former(_ADE_SEMANTIC, "Swin-B", "swin-base-ade-semantic", pq=_SEMANTIC, note=_UNSEEN),
    "swin-l-ade": _mask2former(_ADE, "Swin-L", "swin-large-ade-panoptic", megabytes=866, pq="48.1"),
    "r50-ade": _mask2former(_ADE, "R50", None, pq="39.7", note="a detectron2 pickle"),
    "swin-t-cityscapes": _mask2former(_CITYSCAPES, "Swin-T", "swin-tiny-cityscapes-panoptic", pq="63.9"),
    "swin-s-cityscapes": _mask2former(_CITYSCAPES, "Swin-S", "swin-small-cityscapes-panoptic", pq="64.8"),
    "swin-b-cityscapes": _mask2former(
        _CITYSCAPES, "Swin-B (IN21k)", "swin-base-IN21k-cityscapes-panoptic", pq="66.1", note=_UNSEEN
    ),
    "swin-l-cityscapes": _mask2former(
        _CITYSCAPES, "Swin-L", "swin-large-cityscapes-panoptic", megabytes=866, pq="66.6"
    ),
    "r50-cityscapes": _mask2former(_CITYSCAPES, "R50", None, pq="62.1", note="a detectron2 pickle"),
    "fcclip-convnext-l": _fcclip(
        "convnext_large_d_320 laion2b_s29b_b131k_ft_soup",
        pq="54.4 COCO, 26.8 ADE20K, 44.0 Cityscapes",
        file="fcclip_cocopan.pth ",
    ),
    "fcclip-r50": _fcclip("RN50 openai", pq="50.7 COCO, 17.9 ADE20K, 40.3 Cityscapes", file=""),
    "fcclip-r101": _fcclip("RN101 openai", pq="51.4 COCO, 19.1 ADE20K, 40.9 Cityscapes", file=""),
    "fcclip-r50x4": _fcclip("RN50x4 openai", pq="52.1 COCO, 21.8 ADE20K, 42.2 Cityscapes", file=""),
    "fcclip-r50x16": _fcclip("RN50x16 openai", pq="54.4 COCO, 22.5 ADE20K, 42.0 Cityscapes", file=""),
    "fcclip-r50x64": _fcclip("RN50x64 openai", pq="55.6 COCO, 22.8 ADE20K, 42.7 Cityscapes", file=""),
    "ovseg-swin-b": _ovseg("Swin-B", "ViT-L-14 openai, adapted"),
    "ovseg-r101": _ovseg("R101c", "ViT-B-16 openai, adapted"),
}
"""Every named model."""


def row_of(text: str) -> NamedModel | None:
    """A named model, by its name or by its repository on the hub; None if it is not in the table."""
    return NAMED.get(text) or next((row for row in NAMED.values() if text and row.repository == text), None)


def near_names(text: str, also: tuple[str, ...] = ()) -> str:
    """Names like a misspelt one, as the beginning of a way out: "did you mean a or b"; empty if there are none.

    Args:
        text: as it was typed, a name or "owner/name".
        also: further names that it may stand for.
    """
    known = {name.lower(): name for name in (*also, *NAMED)}
    known |= {row.repository.lower(): row.repository for row in NAMED.values() if row.repository}
    found = difflib.get_close_matches(text.lower(), known, n=2, cutoff=0.8)
    return f"did you mean {' or '.join(known[name] for name in found)}" if found else ""
