"""Cropping: every proposal is cut out as a picture of its own and encoded by the whole CLIP.

OVSeg (section 3.2), SimBaseline and ZegFormer work so; for OPSNet it is the costly baseline to mask pooling (Table 5):
as many passes of CLIP as there are masks, instead of one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.checks import check_choices, check_fractions
from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip

Fill = Literal["mean", "zero", "keep", "soft"]
Extent = Literal["box", "picture"]
Resampling = Literal["bicubic", "antialiased", "roi_align"]
ROUNDING = 1e-5
"""An upper bound on the rounding error of a mask probability in interpolation and sigmoid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionConfig:
    """How a proposal is cut out for CLIP; raises ValueError if a field is out of its range."""

    mask_threshold: float = 0.5
    """A pixel belongs to the region if its mask probability is above this, in [0, 1]."""
    fill: Fill = "mean"
    """What replaces the background: CLIP's mean colour (zero after its normalisation), black, nothing, or the mean
    colour in proportion to the soft mask."""
    extent: Extent = "box"
    """The region's tight box, or the whole picture (ZegFormer's "mask")."""
    resampling: Resampling = "bicubic"
    """How it is resized to CLIP's square, without keeping its aspect ratio: OVSeg's bicubic, without antialiasing or
    clamping; bicubic as CLIP was trained with, antialiased and clamped to [0, 1]; ZegFormer's RoIAlign."""
    min_object_prob: float = 0.0
    """CLIP encodes proposals whose 1 - p(void) is at least this; the rest score zero. 0 leaves none out."""
    crops_per_pass: int = 8
    """Crops that CLIP encodes at once. ViT-L/14 in float32 needs about 20 MB for each, so memory would allow more, but
    on a CPU 8 take a sixth less time than 32, as activations stay in its cache."""

    def __post_init__(self) -> None:
        check_choices(self, fill=Fill, extent=Extent, resampling=Resampling)
        check_fractions(self, "mask_threshold", "min_object_prob")
        if self.crops_per_pass < 1:
            raise ValueError(f"crops_per_pass must be positive, got {self.crops_per_pass}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Regions of one pass, ready for CLIP."""

    pixel_values: Float[Tensor, "M 3 S S"]
    """RGB in [0, 1], the background filled; OVSeg's bicubic may leave the range at edges."""
    masks: Bool[Tensor, "M S S"]
    """Which pixels belong to the region."""
    images: Int[Tensor, " M"]
    """Each crop's picture in the batch."""
    queries: Int[Tensor, " M"]
    """Each crop's proposal in that picture."""


@torch.no_grad()
def cut_regions(
    images: ImageBatch,
    mask_logits: Float[Tensor, "B Q h w"],
    config: RegionConfig,
    size: int,
    *,
    wanted: Bool[Tensor, "B Q"] | None = None,
) -> Iterator[Crops]:
    """Cuts out every region that has a pixel, a pass of crops at a time.

    One mask at a time is resized to the picture, and only the rows that it may touch, so memory is that of a pass for
    any Q, and an empty mask costs next to nothing.

    Args:
        images: the pictures that the masks were proposed for; crops are cut from the resized pictures.
        mask_logits: on the padded canvas at any stride.
        config: threshold, background, extent and resampling.
        size: side of CLIP's square in pixels.
        wanted: which proposals to cut; all if not given.

    Yields:
        At most `crops_per_pass` crops in the order of pictures and proposals; a pass may span pictures.
    """
    waiting: list[tuple[Tensor, Tensor, int, int]] = []
    for image, (picture, frame) in enumerate(zip(images.pixel_values, images.frames, strict=True)):
        inside = picture[:, : frame.resized[0], : frame.resized[1]]
        chosen = [True] * mask_logits.shape[1] if wanted is None else wanted[image].tolist()
        for query, band in enumerate(_bands(mask_logits[image], frame, config)):
            if band is None or not chosen[query]:
                continue
            cells, rows = band
            strip = inside[:, rows]
            strip_frame = replace(
                frame, resized=(strip.shape[1], strip.shape[2]), padded=(rows.stop - rows.start, frame.padded[1])
            )
            cut = cut_region(strip, mask_probs_on(mask_logits[image, query, cells], strip_frame), config, size)
            if cut is None:
                continue
            waiting.append((*cut, image, query))
            if len(waiting) == config.crops_per_pass:
                yield _together(waiting)
                waiting = []
    if waiting:
        yield _together(waiting)


class SeenCrops:
    """The crops of pictures in CLIP's eyes: each is encoded when a question first needs it, and remembered.

    Threads may share it: what two of them need at once may be encoded twice, and no answer depends on it.
    """

    def __init__(
        self,
        encode: Callable[[Crops], Float[Tensor, "M D"]],
        images: ImageBatch,
        mask_logits: Float[Tensor, "B Q h w"],
        config: RegionConfig,
        size: tuple[int, int],
    ) -> None:
        """Encodes nothing yet.

        Args:
            encode: embeds the crops of one pass.
            images: this and the next two as `cut_regions` takes them.
            mask_logits: likewise.
            config: likewise.
            size: side of CLIP's square in pixels, and width of its joint space.
        """
        self._encode, self._images, self._mask_logits, self._config, self._size = (
            encode,
            images,
            mask_logits,
            config,
            size,
        )
        nothing = torch.zeros(mask_logits.shape[:2], dtype=torch.bool, device=mask_logits.device)
        embed = mask_logits.new_zeros(*nothing.shape, size[1], dtype=torch.float32)
        self._found = embed, nothing, nothing  # replaced as a whole, never written to
        self._touched: Tensor | None = None

    @torch.no_grad()
    def embed(self, wanted: Bool[Tensor, "B Q"]) -> tuple[Float[Tensor, "B Q D"], Bool[Tensor, "B Q"]]:
        """The embeddings of some proposals' crops as unit rows, zero without one; and which of them have a pixel."""
        embed, has_pixels, is_known = self._found
        if bool((missing := wanted & ~is_known).any()):
            embed, has_pixels = embed.clone(), has_pixels.clone()
            for crops in cut_regions(self._images, self._mask_logits, self._config, self._size[0], wanted=missing):
                embed[crops.images, crops.queries] = F.normalize(self._encode(crops).float(), dim=-1)
                has_pixels[crops.images, crops.queries] = True
            self._found = embed, has_pixels, is_known | missing
        return embed * wanted[..., None], has_pixels & wanted

    @torch.no_grad()
    def have_pixels(self) -> Bool[Tensor, "B Q"]:
        """Masks with a pixel of the picture above the threshold; CLIP is not asked."""
        if self._touched is None:
            rows = [
                torch.stack([(mask_probs_on(mask, frame) > self._config.mask_threshold).any() for mask in masks])
                for masks, frame in zip(self._mask_logits, self._images.frames, strict=True)
            ]
            self._touched = torch.stack(rows)
        return self._touched


def _bands(mask_logits: Float[Tensor, "Q h w"], frame: Frame, config: RegionConfig) -> list[tuple[slice, slice] | None]:
    """For each mask the rows that hold all its pixels, as cells of the mask and as pixels of the canvas.

    A pixel is a mean of cells, so it is above the threshold only if one of them is: from one cell before the first such
    row to one after the last, all is as on the whole canvas, to the last bit. None if there is no such row.
    """
    height = mask_logits.shape[1]
    stride, rest = divmod(frame.padded[0], height)
    # Elsewhere torch would round otherwise than on the whole canvas: weights are exact only at powers of two, and
    # results of up to 128 rows and columns together have a kernel of their own.
    is_banded = config.extent == "box" and not rest and stride.bit_count() == 1 and frame.padded[1] >= 128
    is_below = mask_logits.amax(2).float().sigmoid() <= config.mask_threshold - ROUNDING
    bands: list[tuple[slice, slice] | None] = []
    for rows in is_below.tolist():
        if False not in rows:
            bands.append(None)
        elif is_banded:
            first, end = max(0, rows.index(False) - 1), min(height, height - rows[::-1].index(False) + 1)
            bands.append((slice(first, end), slice(first * stride, end * stride)))
        else:
            bands.append((slice(0, height), slice(0, frame.padded[0])))
    return bands


def mask_probs_on(mask_logits: Float[Tensor, "h w"], frame: Frame) -> Float[Tensor, "H W"]:
    """One mask's probabilities at the resized picture's pixels, without padding."""
    full = F.interpolate(mask_logits[None, None].float(), frame.padded, mode="bilinear", align_corners=False)[0, 0]
    return full[: frame.resized[0], : frame.resized[1]].sigmoid()


def cut_region(
    picture: Float[Tensor, "3 H W"], mask_probs: Float[Tensor, "H W"], config: RegionConfig, size: int
) -> tuple[Float[Tensor, "3 S S"], Bool[Tensor, "S S"]] | None:
    """One region as a square picture with its mask (nearest); None if no pixel is above the threshold.

    Args:
        picture: RGB in [0, 1].
        mask_probs: in [0, 1]; a true mask has ones and zeros.
        config: threshold, background, extent and resampling.
        size: side of the square in pixels.
    """
    mask = mask_probs > config.mask_threshold
    box = _tight_box(mask)
    if box is None:
        return None
    window = box if config.extent == "box" else (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    picture, mask = picture[:, *window], mask[window]
    picture = _filled(picture, mask, mask_probs[window], config.fill)
    square = F.interpolate(mask[None, None].float(), (size, size), mode="nearest")[0, 0] > 0
    return _to_square(picture, size, config.resampling), square


def _tight_box(mask: Bool[Tensor, "H W"]) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest box around a mask."""
    height = len(mask)
    touched: list[bool] = torch.cat([mask.any(1), mask.any(0)]).tolist()  # one device synchronisation per mask
    if True not in touched:
        return None
    rows, columns = touched[:height], touched[height:]
    return _extent(rows), _extent(columns)


def _extent(touched: list[bool]) -> slice:
    """From the first to the last that is true; at least one is."""
    return slice(touched.index(True), len(touched) - touched[::-1].index(True))


def _filled(
    picture: Float[Tensor, "3 H W"], mask: Bool[Tensor, "H W"], mask_probs: Float[Tensor, "H W"], fill: Fill
) -> Float[Tensor, "3 H W"]:
    """The picture with another background."""
    mean = picture.new_tensor(colours.CLIP.mean)[:, None, None]
    match fill:
        case "keep":
            return picture
        case "zero":
            return picture * mask
        case "mean":
            return torch.where(mask, picture, mean)
        case "soft":
            return picture * mask_probs + mean * (1 - mask_probs)


def _to_square(picture: Float[Tensor, "3 H W"], size: int, resampling: Resampling) -> Float[Tensor, "3 S S"]:
    """Resizes to CLIP's square."""
    if resampling != "roi_align":
        smooth = resampling == "antialiased"
        square = F.interpolate(picture[None], (size, size), mode="bicubic", antialias=smooth, align_corners=False)[0]
        return square.clamp(0, 1) if smooth else square
    from torchvision.ops import roi_align  # here: it takes seconds to import

    whole = picture.new_tensor([[0, 0, 0, picture.shape[2], picture.shape[1]]])
    return roi_align(picture[None], whole, size, aligned=True)[0].clamp(0, 1)


def _together(cuts: list[tuple[Tensor, Tensor, int, int]]) -> Crops:
    pictures, masks, images, queries = zip(*cuts, strict=True)
    device = pictures[0].device
    return Crops(
        pixel_values=torch.stack(pictures),
        masks=torch.stack(masks),
        images=torch.tensor(images, device=device),
        queries=torch.tensor(queries, device=device),
    )


@torch.no_grad()
def crop_embed(
    clip: Clip, images: ImageBatch, mask_logits: Float[Tensor, "B Q h w"], *, keep_background: bool
) -> Float[Tensor, "B Q D"]:
    """Embeds the tight box of every mask with CLIP's own attention pool.

    An empty mask gets the embedding of the whole picture, so that every embedding is defined.

    Args:
        clip: frozen.
        images: the pictures that the masks were proposed for.
        mask_logits: on the padded canvas at any stride; a mask is where its probability is above one half.
        keep_background: "cropping" if true; if not, "masking": pixels outside the mask get CLIP's mean colour, which
            its normalisation turns into zero.

    Returns:
        Unit length.
    """
    config = RegionConfig(fill="keep" if keep_background else "mean", resampling="antialiased")
    size = clip.config.image_size
    everything = torch.full_like(mask_logits[:, :1], 30.0)
    whole = replace(config, crops_per_pass=len(mask_logits))
    (pictures,) = cut_regions(images, everything, whole, size)
    embed = clip.encode_image(pictures.pixel_values).float()[:, None].repeat(1, mask_logits.shape[1], 1)
    for crops in cut_regions(images, mask_logits, config, size):
        embed[crops.images, crops.queries] = clip.encode_image(crops.pixel_values).float()
    return F.normalize(embed, dim=-1)
