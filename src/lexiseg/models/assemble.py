"""Assembly: a published closed-set segmenter and a published CLIP become an OPSNet, without training."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.messages import printable
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import without_first_values
from lexiseg.encoders.clip.families import AnyClipConfig
from lexiseg.encoders.clip.published import PublishedClip, read_clip
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.encoders.clip.siglip import SiglipConfig
from lexiseg.encoders.clip.vit import VitConfig
from lexiseg.encoders.segmenters.mask2former_weights import ClosedSet
from lexiseg.encoders.segmenters.preparation import Regime, read_preparation
from lexiseg.encoders.segmenters.published import read_closed_set
from lexiseg.encoders.text import TextEncoder, default_cache_dir, text_embed
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.heads import AssembledHead
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.layers.spatial_adapter import folded
from lexiseg.models.alternatives import Alternatives
from lexiseg.models.class_names import training_vocabulary
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.provenance import Provenance, Source

logger = logging.getLogger(__name__)

SCORE_THRESHOLD = 0.4
"""The 0.8 that closed-set models demand of an object, times a class at least as probable as all others together (0.5).

0.8 itself would be too high: in an open vocabulary near synonyms share a region's probability.
"""


def assemble(
    segmenter: Path,
    clip: AnyClipConfig | str | Path,
    clip_weights: Path | None = None,
    *,
    tag: str | None = None,
    vocabulary: Vocabulary | str | None = None,
    preparation: Regime = "official",
    longest_side: int | None = None,
    shortest_side: int | None = None,
    fusion: ModulationConfig | GeometricConfig | None = None,
    alternatives: Alternatives | None = None,
) -> OPSNet:
    """Joins two published models into an OPSNet.

    The closed-set class head becomes E_q: the training names' text embeddings, weighted by their probabilities. Its
    no-object probability is void, Mask2Former's own mask score replaces the predicted IoU, and the spatial adapter is
    folded from a ModifiedResNet's attention pool. Nothing is learned, so there is no query enhancer.

    Args:
        segmenter: see `read_closed_set`: a folder in transformers' layout, with its
            preprocessor_config.json where there is one, or a checkpoint of the official Mask2Former.
        clip: a folder or file of a published CLIP; or open_clip's name of the architecture, or its sizes, with weights.
        clip_weights: a file or folder of the weights, where `clip` is a name or sizes. See `encoders.clip.published`
            for what is read, and what decides about QuickGELU.
        tag: open_clip's name of the training of these weights, where that is known.
        vocabulary: the names of the class head, in order; by default those of the folder's labels, see
            `class_names.training_vocabulary`.
        preparation: how pictures are resized and padded: "official" as the program that trained the model does, COCO's
            to a shorter side of 800 and a longer one of at most 1333; "published" as transformers does by the folder's
            preprocessor_config.json, which for most Mask2Formers is a square of 384 x 384.
        longest_side: other sides in pixels; see `OPSNet.set_sides`.
        shortest_side: likewise.
        fusion: how CLIP and the query are combined: modulation, or FC-CLIP's geometric ensemble; modulation as in the
            paper if not given.
        alternatives: what else is done otherwise than by default; see `models.alternatives`.

    Returns:
        The model in eval mode, on the CPU, in float32.

    Raises:
        ValueError: if a file is missing or damaged, or the parts don't fit together.
    """
    closed = read_closed_set(segmenter)
    published = _read_clip(clip, clip_weights, tag)
    if closed.segments in _LIMITS:
        logger.warning("%s is trained for %s", printable(segmenter), _LIMITS[closed.segments])
    prepared = read_preparation(segmenter, num_classes=len(closed.names), regime=preparation)
    side = shortest_side or longest_side or prepared.shortest_side or prepared.longest_side
    training = _training_vocabulary(vocabulary, closed.names, segmenter)
    config = OPSNetConfig(
        segmenter=closed.config,
        clip=published.config,
        training_vocabulary=training,
        longest_side=prepared.longest_side,
        shortest_side=prepared.shortest_side,
        resizing=prepared.resizing,
        padding=prepared.padding,
        has_enhancer=False,
        modulation=fusion if isinstance(fusion, ModulationConfig) else ModulationConfig(),
        geometric=fusion if isinstance(fusion, GeometricConfig) else None,
        alternatives=alternatives or Alternatives(),
        is_assembled=True,
        clip_scale=_clip_scale(published.config, side),
        logit_scale=_logit_scale(published),
        # "class" is what Mask2Former itself ranks by; its mask score was never trained to tell good masks from bad
        merge=MergeConfig(rank_by="class", score_threshold=SCORE_THRESHOLD),
    )
    with fork_random(), without_first_values():
        model = OPSNet(config).eval()
    model.set_sides(longest_side, shortest_side)
    assert isinstance(model.head, AssembledHead)
    model.load_state_dict(weights_of_parts(config, closed, published.state), assign=True, strict=False)
    class_text = concept_embed(model.clip, model.phrased(training))
    model.head.class_text = nn.Parameter(class_text, requires_grad=False)
    model.provenance = Provenance(
        made="assembled from published parts, without training",
        sources=(Source.of("segmenter", segmenter), Source.of("CLIP", Path(clip_weights or str(clip)))),
    )
    return model


def _read_clip(clip: AnyClipConfig | str | Path, weights: Path | None, tag: str | None) -> PublishedClip:
    if weights is not None and isinstance(clip, Path):
        raise ValueError(
            f"{printable(clip)} is read as a CLIP with its weights: give these or other weights, not both."
        )
    if weights is None and not isinstance(clip, str | Path):
        raise ValueError("the sizes of a CLIP need weights: give clip_weights.")
    if weights is None and isinstance(clip, str) and not Path(clip).exists():
        raise ValueError(
            f"there is no CLIP at {printable(clip)}: give a folder or file of one, or its weights beside it."
        )
    if weights is None:
        assert isinstance(clip, str | Path)
        published = read_clip(Path(clip))
    else:
        assert not isinstance(clip, Path)
        published = read_clip(weights, model=clip, tag=tag)
    if published.note:
        logger.warning("%s", published.note)
    return published


def _clip_scale(config: AnyClipConfig, side: int) -> float:
    """The size of CLIP's input: a Vision Transformer sees at most twice the side that it was trained on.

    Its work grows with the square of its cells, and FC-CLIP finds that its features, unlike those of convolutions,
    become the noisier the larger the picture is.
    """
    return min(1.0, 2 * config.image_size / side) if isinstance(config, VitConfig | SiglipConfig) else 1.0


def _logit_scale(published: PublishedClip) -> float:
    """A SigLIP's own; all other published CLIPs have 100 or nearly."""
    if not isinstance(published.config, SiglipConfig):
        return 100.0
    return float(published.state["clip.logit_scale"].exp())


_LIMITS: Mapping[str | None, str] = {
    "instance": "instances alone and knows no stuff: ground, walls and sky are hardly found, whatever they are called.",
    "semantic": "semantic maps and does not tell things of one class apart: several may be one segment.",
}
"""What a segmenter that was not trained for panoptic maps can't do."""
CLASS_TEXT = "head.class_text"
"""The one weight of an assembled model that is in neither of its parts: the embeddings of the training names."""


def weights_of_parts(config: OPSNetConfig, closed: ClosedSet, clip_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an assembled model without `CLASS_TEXT`, in float32; what is so already is not copied.

    Args:
        config: the assembled model's.
        closed: the segmenter.
        clip_state: of the CLIP, as `read_clip` gives it.
    """
    parts = {f"segmenter.{name}": value for name, value in closed.segmenter.items()}
    parts |= {f"clip.{name}": value for name, value in clip_state.items()}
    parts |= {"head.classify.weight": closed.class_weight, "head.classify.bias": closed.class_bias}
    weights = {name: value.float() if value.is_floating_point() else value for name, value in parts.items()}
    if isinstance(config.clip, ClipConfig):
        pool = {name: weights[f"clip.clip.visual.attnpool.{name}"] for name in _FOLDED}
        maps = folded(*(_linear(pool, name) for name in ("v_proj", "c_proj")))
        weights["adapter.weight"], weights["adapter.bias"] = maps
    with torch.device("meta"):
        wanted = OPSNet(config).state_dict()
    counters = (name for name in wanted if name.endswith("num_batches_tracked") and name not in weights)
    return weights | {name: torch.zeros((), dtype=torch.int64) for name in counters}


_FOLDED = ("v_proj.weight", "v_proj.bias", "c_proj.weight", "c_proj.bias")


def _linear(pool: Mapping[str, Tensor], name: str) -> nn.Linear:
    """A projection of an attention pool, around its own weights."""
    weight = pool[f"{name}.weight"]
    with without_first_values():
        linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": pool[f"{name}.bias"]}, assign=True)
    return linear.requires_grad_(False)


def concept_embed(clip: TextEncoder, vocabulary: Vocabulary) -> Float[Tensor, "S D"]:
    """One unit row per concept: the mean of its names' text embeddings, normalised.

    The embeddings are cached, since who asks for the training names needs the same.
    """
    rows = text_embed(clip, vocabulary, cache_dir=default_cache_dir())
    owners = torch.tensor(vocabulary.row_concepts())
    sums = rows.new_zeros(len(vocabulary), rows.shape[-1]).index_add(0, owners, rows)
    return F.normalize(sums, dim=-1)


def _training_vocabulary(given: Vocabulary | str | None, labels: tuple[str, ...], folder: Path) -> Vocabulary:
    """The concepts of the class head's rows."""
    if given is not None:
        vocabulary = Vocabulary.of(given)
        if len(vocabulary) != len(labels):
            raise ValueError(
                f"the class head of {folder} has {len(labels)} classes, but the vocabulary has {len(vocabulary)} "
                "concepts: give one concept per class, in the same order."
            )
        return vocabulary
    if all(label.startswith("LABEL_") for label in labels):
        raise ValueError(
            f"{folder} does not say what its {len(labels)} classes are called (id2label has numbers only): "
            "give their vocabulary, in the order of the classes."
        )
    return training_vocabulary(labels)
