"""Regions as separate pictures: every proposal is cut out and goes through the whole CLIP (OPSNet, Table 5).

The costly baselines to mask pooling: as many passes of CLIP as there are masks, instead of one.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.encoders.clip import MEAN, Clip

CROPS_AT_ONCE = 64  # bounds memory; RN50 needs about 50 MB a crop


@torch.no_grad()
def crop_embed(
    clip: Clip, images: ImageBatch, mask_logits: Float[Tensor, "B Q h w"], *, keep_background: bool
) -> Float[Tensor, "B Q D"]:
    """Embeds the tight box of every mask with CLIP's own attention pool.

    A crop is resized to CLIP's square, its aspect ratio not kept. An empty mask has no box: its answer is the whole
    picture's, so that every embedding is defined.

    Args:
        clip: frozen.
        images: the pictures that the masks were proposed for.
        mask_logits: on the padded canvas at any stride; a mask is where its logit is positive.
        keep_background: "cropping" if true; if not, "masking": pixels outside the mask get CLIP's mean colour, which
            its normalisation turns into zero.

    Returns:
        Unit length.
    """
    size = clip.config.image_size
    embeds: list[Tensor] = []
    waiting: list[Tensor] = []

    def flush() -> None:
        if waiting:
            embeds.append(clip.encode_image(torch.stack(waiting)).float())
            waiting.clear()

    for picture, frame, logits in zip(images.pixel_values, images.frames, mask_logits, strict=True):
        inside = picture[:, : frame.resized[0], : frame.resized[1]]
        for query in logits:
            waiting.append(_cut(inside, _to_canvas(query, frame), size, keep_background=keep_background))
            if len(waiting) == CROPS_AT_ONCE:
                flush()
    flush()
    batch, queries = mask_logits.shape[:2]
    return F.normalize(torch.cat(embeds).unflatten(0, (batch, queries)), dim=-1)


def _to_canvas(mask_logits: Float[Tensor, "h w"], frame: Frame) -> Bool[Tensor, "H W"]:
    """The binary mask at the resized picture's own pixels, padding left out."""
    full = F.interpolate(mask_logits[None, None].float(), frame.padded, mode="bilinear", align_corners=False)[0, 0]
    return full[: frame.resized[0], : frame.resized[1]] > 0


def _cut(
    picture: Float[Tensor, "3 H W"], mask: Bool[Tensor, "H W"], size: int, *, keep_background: bool
) -> Float[Tensor, "3 S S"]:
    """The tight box of a mask as a square picture."""
    if mask.any():
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        if not keep_background:
            fill = picture.new_tensor(MEAN)[:, None, None]
            picture = torch.where(mask, picture, fill)
        picture = picture[:, *box]
    square = F.interpolate(picture[None], (size, size), mode="bicubic", antialias=True, align_corners=False)
    return square[0].clamp(0, 1)  # bicubic overshoots
