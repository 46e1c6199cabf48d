"""The text tower of a CLIP: its weights, compared with those of another and taken over from it."""

import torch
from torch import Tensor

from lexiseg.core.weights import load_part, weight_complaint
from lexiseg.encoders.clip.base import OpenClip


def text_weights(clip: OpenClip) -> dict[str, Tensor]:
    """What decides the words' embeddings, by its names in open_clip."""
    state = clip.clip.state_dict()
    return {name: v for name, v in state.items() if not name.startswith("visual.") and name != "logit_scale"}


def have_same_text_tower(one: OpenClip, other: OpenClip) -> bool:
    """Whether the weights of two text towers are equal in every bit."""
    ours, theirs = text_weights(one), text_weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(v.cpu(), theirs[name].cpu()) for name, v in ours.items())


def lock_text_tower(clip: OpenClip, source: OpenClip | None) -> None:
    """Gives a CLIP the text tower and the logit scale of another; the tower is trained no further.

    Raises:
        ValueError: if there is no other, or its tower has other sizes.
    """
    tower = text_weights(clip)
    own = tower | {"logit_scale": clip.clip.logit_scale}
    found = {} if source is None else source.clip.state_dict()
    if weight_complaint(found, own, is_ignored=lambda _: True):
        raise ValueError(
            "this recipe takes over the text tower of a trained CLIP of the same widths: name one as --clip, such as "
            "the shipped model's."
        )
    load_part(clip.clip, {name: found[name] for name in own})
    for name in tower:
        clip.clip.get_parameter(name).requires_grad_(False)
