"""Mask pooling: one CLIP embedding per mask, from one pass over the picture."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

CELLS_AT_ONCE = 2**18
"""Mask cells that a CPU works on together: 1 MiB, which stays near the processor."""


def by_queries(
    function: Callable[[Float[Tensor, "B q h w"]], Float[Tensor, "B q *rest"]], mask_logits: Float[Tensor, "B Q h w"]
) -> Float[Tensor, "B Q *rest"]:
    """A function of each mask alone, on a CPU of a few masks at a time: twice to seven times as fast for 200 masks."""
    if mask_logits.device.type != "cpu" or torch.compiler.is_compiling():
        return function(mask_logits)
    step = max(1, CELLS_AT_ONCE // max(1, mask_logits[:, :1].numel()))
    return torch.cat([function(some) for some in mask_logits.split(step, dim=1)], dim=1)


def cell_shares(masks: Float[Tensor, "B Q h w"], grid: tuple[int, int]) -> Float[Tensor, "B Q gh gw"]:
    """The share of every CLIP cell that each mask covers.

    The kind of the grid follows from its size. With h / stride cells, cells tile the picture; with one more, they are
    centred on the multiples of the stride and overlap by half, as in CLIP's denser last stage.

    Args:
        masks: values in [0, 1].
        grid: height and width of CLIP's feature map.

    Raises:
        ValueError: if the grid fits neither kind.
    """
    height, width = masks.shape[-2:]
    if height % grid[0] == 0 and width % grid[1] == 0 and height // grid[0] == width // grid[1]:
        return F.avg_pool2d(masks, height // grid[0])
    rows, columns = grid[0] - 1, grid[1] - 1
    if min(rows, columns) < 1 or height % rows or width % columns or height // rows != width // columns:
        raise ValueError(f"masks of {height} x {width} do not lie on a CLIP grid of {grid[0]} x {grid[1]} cells.")
    step = height // rows
    return F.avg_pool2d(masks, 2 * step, stride=step, padding=step, count_include_pad=False)


def region_weights(mask_logits: Float[Tensor, "B Q h w"], grid: tuple[int, int]) -> Float[Tensor, "B Q cells"]:
    """How much each CLIP cell belongs to each mask; every row sums to one.

    A mask is where its logit is positive. An empty mask is weighted by its soft values, so that every row is defined.

    Args:
        mask_logits: real numbers, at any stride that divides CLIP's.
        grid: height and width of CLIP's feature map.
    """

    def weights(some: Float[Tensor, "B q h w"]) -> Float[Tensor, "B q cells"]:
        inside = (some > 0).to(some.dtype)
        is_empty = inside.amax((2, 3), keepdim=True) == 0
        soft = some.clamp(min=-30).sigmoid()  # never exactly zero everywhere
        shares = cell_shares(inside.where(~is_empty, soft), grid).flatten(2)
        return shares / shares.sum(-1, keepdim=True)

    return by_queries(weights, mask_logits)


def mask_mean(features: Float[Tensor, "B F gh gw"], mask_logits: Float[Tensor, "B Q h w"]) -> Float[Tensor, "B Q F"]:
    """Averages features under each binary mask.

    Masks are averaged down to CLIP's cells, instead of resizing features up to the masks: small objects keep their
    weight, and fewer numbers are computed.

    Args:
        features: masks and features cover the same canvas.
        mask_logits: real numbers, at any stride that divides CLIP's.
    """
    weights = region_weights(mask_logits.to(features.dtype), (features.shape[-2], features.shape[-1]))
    return weights @ features.flatten(2).transpose(1, 2)


def mask_pool(features: Float[Tensor, "B D gh gw"], mask_logits: Float[Tensor, "B Q h w"]) -> Float[Tensor, "B Q D"]:
    """`mask_mean` of features in the joint space, normalised to unit length (OPSNet, section 3.2)."""
    return F.normalize(mask_mean(features, mask_logits), dim=-1)


def pool_inside(features: Float[Tensor, "B F h w"], inside: Bool[Tensor, "B Q h w"]) -> Float[Tensor, "B Q F"]:
    """The mean of the features inside every mask, and zero for an empty one (FC-CLIP, section 3.3)."""
    cells = inside.to(features.dtype).flatten(2)
    shares = cells / (cells.sum(-1, keepdim=True) + 1e-8)  # the official program's guard against no cells
    return shares @ features.flatten(2).transpose(1, 2)
