"""Which proposal wins each pixel: the largest score x mask probability, found tile by tile.

Every pixel of every mask counts, as a mask wins pixels below its threshold too. Most are never computed: in most tiles
bounds say that a mask can win nothing, or that one mask wins all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from lexiseg.core.frames import Frame
from lexiseg.models.postprocess.runs import Extents
from lexiseg.models.postprocess.tiles import Tile, Tiling

ROUNDING = 1e-5
"""More than interpolation rounds, relative to the largest logit, and than sigmoid and product do."""
LEAST = 1e-30
"""A probability that a sigmoid may round to zero."""
SMALL = 2**20
"""Pixels of all masks that aren't worth tiles."""
OTHER_KERNEL = 128
"""To so many rows and columns together torch resizes by another kernel, which rounds otherwise than tiles do."""
CANVASES = 2**22
"""Pixels of canvases that may be in memory: 16 MiB. Canvas pixels bound more tightly than a mask's cells."""
BOUNDED = 2**18
"""Cells of all masks that are bounded together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One picture's proposals above the score threshold, best first; a rank is a place in these lists."""

    mask_logits: Float[Tensor, "Q h w"]
    queries: list[int]
    class_ids: list[int]
    scores: list[float]
    class_scores: Float[Tensor, "M K"]
    """(1 - p_void) x p of every kept proposal, negatives included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelAssignment:
    """Which proposal each pixel is assigned to, by its rank in a `Ranking`."""

    codes: Integer[np.ndarray, "h0 w0"]
    """`code_of` the winner where its mask probability is at or above the threshold, and one less where it isn't: these
    pixels become void. 0 where there is no winner."""
    extents: Extents
    """Of the codes."""
    areas: list[int]
    """Pixels of each whole mask at or above the threshold; may be 0 for a mask that keeps none of them."""

    @staticmethod
    def of(codes: Integer[np.ndarray, "h0 w0"], areas: list[int]) -> "PixelAssignment":
        """With the extents that the codes have."""
        return PixelAssignment(codes=codes, extents=Extents.of(codes, 2 * len(areas) + 2), areas=areas)

    def won(self) -> list[int]:
        """Pixels that each proposal won, whatever its mask probability there."""
        return (self.extents.pixels[2::2] + self.extents.pixels[3::2]).tolist()

    def kept(self) -> list[int]:
        """Those of them at or above the threshold."""
        return self.extents.pixels[3::2].tolist()


def code_of(rank: int) -> int:
    """What stands for a pixel inside the mask of the proposal that won it."""
    return 2 * rank + 3


@torch.no_grad()
def assign_pixels(ranking: Ranking, frame: Frame, mask_threshold: float, *, is_hard: bool = False) -> PixelAssignment:
    """Gives each pixel to the largest score x mask probability, and of equals to the better ranked.

    Args:
        ranking: the proposals that take part.
        frame: how the picture was resized and padded.
        mask_threshold: least mask probability of a pixel that belongs to the mask, in [0, 1].
        is_hard: thresholds mask probabilities to ones and zeros before pixels are assigned.
    """
    rules = _Rules(mask_threshold=mask_threshold, is_hard=is_hard)
    if _is_tiled(ranking, frame):
        return _TiledContest.of(ranking, frame, rules).assign()
    return _assign_whole(ranking, frame, rules)


@torch.no_grad()
def cut_masks(
    ranking: Ranking, ranks: list[int], frame: Frame, mask_threshold: float
) -> Iterator[Bool[np.ndarray, "h0 w0"]]:
    """Whole masks one by one: where the probability is at or above the threshold, whoever wins the pixel."""
    if ranks and _is_tiled(ranking, frame):
        contest = _TiledContest.of(ranking, frame, _Rules(mask_threshold=mask_threshold, is_hard=False))
        yield from map(contest.cut, ranks)
        return
    for rank in ranks:
        probs = frame.leave(ranking.mask_logits[ranking.queries[rank]][None].float())[0].sigmoid()
        yield (probs >= mask_threshold).cpu().numpy()


def _is_tiled(ranking: Ranking, frame: Frame) -> bool:
    """Whether there is enough to do on the CPU."""
    if ranking.mask_logits.device.type != "cpu" or sum(frame.original) <= OTHER_KERNEL:
        return False
    return len(ranking.queries) * math.prod(frame.original) > SMALL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """How masks compete."""

    mask_threshold: float
    is_hard: bool

    def weigh(self, probs: Float[Tensor, "N n m"], scores: Float[Tensor, "N 1 1"] | float) -> tuple[Tensor, Tensor]:
        """Score x mask probability; and ones where the latter, which is overwritten, is at or above the threshold."""
        weighted = None if self.is_hard else probs * scores
        inside = probs.ge_(self.mask_threshold)  # of booleans torch makes a detour
        return (inside * scores if weighted is None else weighted), inside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Board:
    """The best so far of a tile's pixels."""

    best: Float[Tensor, "n m"]
    codes: Float[Tensor, "n m"]

    @staticmethod
    def of(size: tuple[int, int], device: torch.device) -> "_Board":
        """Nobody has won a pixel."""
        return _Board(best=torch.zeros(size, device=device), codes=torch.zeros(size, device=device))

    def offer(self, weighted: Float[Tensor, "n m"], inside: Float[Tensor, "n m"], rank: int) -> None:
        """Gives the next mask by rank the pixels where it is better."""
        is_better = torch.gt(weighted, self.best, out=torch.empty_like(self.best))  # strict: equals stay
        torch.maximum(self.best, weighted, out=self.best)
        # Codes grow with the rank. A pixel won outside becomes void: it is lost for those that it was taken from.
        torch.maximum(self.codes, is_better.mul_(inside + (code_of(rank) - 1)), out=self.codes)


def _assign_whole(ranking: Ranking, frame: Frame, rules: _Rules) -> PixelAssignment:
    """One mask at a time, resized by torch. From an accelerator nothing is fetched before the end."""
    device = ranking.mask_logits.device
    board = _Board.of(frame.original, device)
    areas = torch.zeros(len(ranking.queries), dtype=torch.int64, device=device)
    for rank, (query, score) in enumerate(zip(ranking.queries, ranking.scores, strict=True)):
        probs = frame.leave(ranking.mask_logits[query][None].float()).sigmoid()
        weighted, inside = rules.weigh(probs, score)
        areas[rank] = inside.count_nonzero()
        board.offer(weighted[0], inside[0], rank)
    codes = board.codes.to(torch.int32).cpu()
    return PixelAssignment.of(codes.numpy(), areas.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _TiledContest:
    """The masks of a ranking, and what bounds tell of all M of them in tiles of the picture, in rows and columns."""

    mask_logits: Float[Tensor, "Q h w"]
    queries: Int[Tensor, " M"]
    scores: Float[Tensor, "M 1 1"]
    rules: _Rules
    tiling: Tiling
    prizes: Float[np.ndarray, "M rows columns"]
    """No pixel of the tile has a larger score x mask probability."""
    competes: Bool[np.ndarray, "M rows columns"]
    """Masks that may win a pixel, where it isn't known who wins all."""
    known: Int[np.ndarray, "rows columns"]
    """The code of all pixels, where that is known; else 0."""
    inside: Int[np.ndarray, "M rows columns"]
    """Pixels at or above the threshold; -1 where they must be counted. Filled in as masks are read."""

    @staticmethod
    def of(ranking: Ranking, frame: Frame, rules: _Rules) -> "_TiledContest":
        """Bounds every mask in every tile."""
        mask_logits, queries = ranking.mask_logits, torch.tensor(ranking.queries, dtype=torch.int64)
        if frame.resized != frame.original and len(queries) * math.prod(frame.padded) <= CANVASES:
            canvases = torch.empty(len(queries), *frame.resized)
            for canvas, query in zip(canvases, ranking.queries, strict=True):
                canvas.copy_(frame.unpad(mask_logits[query][None].float())[0])
            mask_logits = canvases
            queries, frame = torch.arange(len(queries)), replace(frame, padded=frame.resized)
        scores = torch.tensor(ranking.scores)[:, None, None]
        tiling = Tiling.of((mask_logits.shape[1], mask_logits.shape[2]), frame)
        low, high, floor = _bounds(mask_logits, queries, scores, tiling, rules)
        is_inside, is_outside = low >= rules.mask_threshold, high < rules.mask_threshold
        prizes = (~is_outside if rules.is_hard else high * (1 + ROUNDING)) * scores
        competes = ~(prizes < floor) & ~(prizes <= 0)
        winner = competes.int().argmax(0, keepdim=True)
        is_known = (floor > 0) & (competes.sum(0) == 1) & (is_inside | is_outside).gather(0, winner)[0]
        known = (code_of(0) - 1 + 2 * winner + is_inside.gather(0, winner))[0] * is_known
        return _TiledContest(
            mask_logits=mask_logits,
            queries=queries,
            scores=scores,
            rules=rules,
            tiling=tiling,
            prizes=prizes.numpy(),
            competes=(competes & ~is_known).numpy(),
            known=known.numpy(),
            inside=torch.where(is_inside | is_outside, is_inside * tiling.sizes(), -1).numpy(),
        )

    def assign(self) -> PixelAssignment:
        """Gives away the pixels tile by tile, then counts those of the masks that keep some."""
        num_masks = len(self.queries)
        codes = np.zeros(self.tiling.size, np.int16 if num_masks < 2**14 - 1 else np.int32)
        for tile in self.tiling.tiles():
            if self.known[tile.place]:
                codes[tile.pixels] = self.known[tile.place]
            elif (ranks := np.flatnonzero(self.competes[:, *tile.place])).size:
                codes[tile.pixels] = self._play(tile, ranks)
        found = PixelAssignment.of(codes, [0] * num_masks)
        keeps = np.array(found.kept()) > 0
        for tile in self.tiling.tiles():
            ranks = np.flatnonzero(keeps & (self.inside[:, *tile.place] < 0)).tolist()
            for start in range(0, len(ranks), tile.at_once):
                self._read(tile, ranks[start : start + tile.at_once])
        return replace(found, areas=np.where(keeps, self.inside.sum((1, 2)), 0).tolist())

    def cut(self, rank: int) -> Bool[np.ndarray, "H W"]:
        """One whole mask."""
        mask = np.zeros(self.tiling.size, bool)
        for tile in self.tiling.tiles():
            inside = self.inside[rank, *tile.place]
            if inside:
                is_whole = inside == tile.size[0] * tile.size[1]
                mask[tile.pixels] = True if is_whole else self._read(tile, [rank])[rank][1].numpy()
        return mask

    def _play(self, tile: Tile, ranks: Int[np.ndarray, " N"]) -> Float[np.ndarray, "n m"]:
        """The codes of a tile for which some masks compete."""
        prizes = self.prizes[ranks, *tile.place]
        held = self._read(tile, ranks[np.argsort(-prizes)[:2]].tolist())
        if len(ranks) > 2:  # against the likeliest two, most others have no chance
            least = torch.maximum(*(weighted for weighted, _ in held.values())).amin()
            ranks = ranks[~(prizes < float(least))]
        board = _Board.of(tile.size, self.mask_logits.device)
        for start in range(0, len(ranks), tile.at_once):
            some = ranks[start : start + tile.at_once].tolist()
            maps = held | self._read(tile, [rank for rank in some if rank not in held])
            for rank in some:
                board.offer(*maps[rank], rank)
        return board.codes.numpy()

    def _read(self, tile: Tile, ranks: list[int]) -> dict[int, tuple[Tensor, Tensor]]:
        """What `weigh` gives of some masks in a tile."""
        if not ranks:
            return {}
        index = torch.tensor(ranks)
        probs = self.tiling.read(self.mask_logits, self.queries[index], tile)
        # one at a time: where a vector ends torch rounds otherwise, and equal masks shall stay equal
        for one in probs:
            one.sigmoid_()
        weighted, inside = self.rules.weigh(probs, self.scores[index])
        self.inside[ranks, *tile.place] = inside.sum((1, 2)).numpy()
        return dict(zip(ranks, zip(weighted, inside, strict=True), strict=True))


def _bounds(
    mask_logits: Float[Tensor, "Q h w"],
    queries: Int[Tensor, " M"],
    scores: Float[Tensor, "M 1 1"],
    tiling: Tiling,
    rules: _Rules,
) -> tuple[Float[Tensor, "M rows columns"], Float[Tensor, "M rows columns"], Float[Tensor, "rows columns"]]:
    """The least and the largest probability of every mask in every tile; and what the winner has at every pixel."""
    low, high = torch.empty(2, len(queries), len(tiling.rows), len(tiling.columns))
    floor = torch.zeros(mask_logits.shape[1:])
    step = max(1, BOUNDED // floor.numel())
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        cells = mask_logits[queries[some]].float()
        slack = ROUNDING * cells.abs().amax((1, 2), keepdim=True)
        low[some] = tiling.lowest(cells) - slack
        high[some] = tiling.highest(cells) + slack
        least = _least(tiling.least_around(cells) - slack)
        least = (least >= rules.mask_threshold) if rules.is_hard else least
        torch.maximum(floor, (least * scores[some]).amax(0), out=floor)
    return _least(low), _most(high), tiling.lowest(floor[None])[0] * (1 - ROUNDING)


def _least(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A lower bound of the probability."""
    return logits.sigmoid() * (1 - ROUNDING) - LEAST


def _most(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """An upper bound of the probability."""
    return logits.sigmoid() * (1 + ROUNDING) + LEAST
