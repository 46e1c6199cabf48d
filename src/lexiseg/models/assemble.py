"""Assembly: a published closed-set Mask2Former and an open_clip checkpoint become an OPSNet, without training."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.concepts import Concept, same_word
from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary, builtin_names
from lexiseg.encoders.clip.resnet import Clip, ClipConfig, read_clip_state
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.encoders.segmenters.preparation import Regime, read_preparation
from lexiseg.encoders.text import text_embed
from lexiseg.layers.heads import AssembledHead
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig

SCORE_THRESHOLD = 0.4
"""The 0.8 that closed-set models demand of an object, times a class at least as probable as all others together (0.5).

0.8 itself would be too high: in an open vocabulary near synonyms share a region's probability.
"""


def assemble(
    mask2former_folder: Path,
    clip: ClipConfig | str,
    clip_weights: Path,
    *,
    vocabulary: Vocabulary | str | None = None,
    preparation: Regime = "official",
    longest_side: int | None = None,
    shortest_side: int | None = None,
) -> OPSNet:
    """Joins two published models into an OPSNet.

    The closed-set class head becomes E_q: the training names' text embeddings, weighted by their probabilities. Its
    no-object probability is void, Mask2Former's own mask score replaces the predicted IoU, and the spatial adapter is
    folded from CLIP's attention pool. Nothing is learned, so there is no query enhancer.

    Args:
        mask2former_folder: config.json, model.safetensors and, where there is one, preprocessor_config.json in
            transformers' layout.
        clip: open_clip's name of the architecture, or its sizes. The weights don't say whether they were trained with
            QuickGELU: OpenAI's need a name that ends in "-quickgelu".
        clip_weights: an open_clip state dict.
        vocabulary: the names of the class head, in order; by default the built-in list that fits the folder's labels,
            or those labels themselves (things, unless a built-in list knows them as stuff).
        preparation: how pictures are resized and padded: "official" as the program that trained the model does, COCO's
            to a shorter side of 800 and a longer one of at most 1333; "published" as transformers does by the folder's
            preprocessor_config.json, which for most Mask2Formers is a square of 384 x 384.
        longest_side: other sides in pixels; see `OPSNet.set_sides`.
        shortest_side: likewise.

    Returns:
        The model in eval mode, on the CPU, in float32.

    Raises:
        ValueError: if a file is missing or damaged, or the parts don't fit together.
    """
    closed = read_mask2former(mask2former_folder)
    clip_config = ClipConfig.named(clip) if isinstance(clip, str) else clip
    clip_state = read_clip_state(clip_config, clip_weights, clip if isinstance(clip, str) else "the given sizes")
    prepared = read_preparation(mask2former_folder, num_classes=len(closed.names), regime=preparation)
    training = _training_vocabulary(vocabulary, closed.names, mask2former_folder)
    config = OPSNetConfig(
        segmenter=closed.config,
        clip=clip_config,
        training_vocabulary=training,
        longest_side=prepared.longest_side,
        shortest_side=prepared.shortest_side,
        resizing=prepared.resizing,
        padding=prepared.padding,
        has_enhancer=False,
        is_assembled=True,
        # "class" is what Mask2Former itself ranks by; its mask score was never trained to tell good masks from bad
        merge=MergeConfig(rank_by="class", score_threshold=SCORE_THRESHOLD),
    )
    with fork_random():
        model = OPSNet(config).eval()
    model.set_sides(longest_side, shortest_side)
    model.segmenter.load_state_dict(dict(closed.segmenter))
    model.clip.clip.load_state_dict({**model.clip.clip.state_dict(), **clip_state})
    pool = model.clip.visual.attnpool
    model.adapter.fold(pool.v_proj, pool.c_proj)
    assert isinstance(model.head, AssembledHead)
    with torch.no_grad():
        model.head.classify.weight.copy_(closed.class_weight)
        model.head.classify.bias.copy_(closed.class_bias)
        model.head.class_text.copy_(concept_embed(model.clip, training))
    return model


def concept_embed(clip: Clip, vocabulary: Vocabulary) -> Float[Tensor, "S D"]:
    """One unit row per concept: the mean of its names' text embeddings, normalised."""
    rows = text_embed(clip, vocabulary, cache_dir=None)
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
    forms = [_names(label) for label in labels]
    for listed in builtin_names():
        known = Vocabulary.of(listed)
        if len(known) == len(forms) and all(map(_is_named, known.concepts, forms)):
            return known
    return Vocabulary.of(["|".join(names) for names in forms])


def _names(label: str) -> tuple[str, ...]:
    """The names in a label: ADE20K's hold several, with commas between."""
    names = (" ".join(name.split()) for name in label.replace(";", ",").replace("|", ",").split(","))
    return tuple({same_word(name): name for name in names if name}.values())


def _is_named(concept: Concept, names: tuple[str, ...]) -> bool:
    """Whether one of the names is a name of the concept."""
    return not {same_word(name) for name in concept.names}.isdisjoint(map(same_word, names))
