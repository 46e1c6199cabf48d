"""Tiles and bounds change no pixel: the assignment is that of the plain rule, mask by mask over the whole picture."""

import ctypes
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.frames import Frame, Resizing
from lexiseg.models.postprocess import assignment
from lexiseg.models.postprocess.assignment import Ranking, assign_pixels, code_of, cut_masks


def assign_plainly(ranking: Ranking, frame: Frame, threshold: float, *, is_hard: bool) -> tuple[Tensor, list[int]]:
    """Codes and areas by Mask2Former's rule as it reads."""
    best, codes, areas = torch.zeros(frame.original), torch.zeros(frame.original, dtype=torch.int32), []
    for rank, (query, score) in enumerate(zip(ranking.queries, ranking.scores, strict=True)):
        probs = frame.leave(ranking.mask_logits[query][None])[0].sigmoid()
        inside = probs >= threshold
        areas.append(int(inside.sum()))
        weighted = (inside if is_hard else probs) * score
        better = weighted > best
        best = torch.where(better, weighted, best)
        codes = torch.where(better, code_of(rank) - 1 + inside.int(), codes)
    return codes, areas


def draw_masks(generator: torch.Generator, count: int, size: tuple[int, int], grain: int, scale: float) -> Tensor:
    """Smooth logits, or noise where the grain is 0."""
    if grain == 0:
        return torch.randn(count, *size, generator=generator) * scale
    coarse = torch.randn(1, count, grain, grain, generator=generator)
    level = torch.randn(count, 1, 1, generator=generator)
    return (F.interpolate(coarse, size, mode="bicubic")[0] + level) * scale


RESIZINGS = {
    "own": Resizing(),
    "detectron2": Resizing(rule="detectron2"),
    "transformers": Resizing(rule="transformers"),
    "square": Resizing(fixed=(256, 288)),
}


@settings(max_examples=40)
@given(data=st.data())
def test_tiles_give_what_the_plain_rule_gives(data: st.DataObject) -> None:
    draw = data.draw
    original = draw(st.tuples(st.integers(150, 420), st.integers(220, 420)))
    resizing = RESIZINGS[draw(st.sampled_from([*RESIZINGS]))]
    longest = draw(st.sampled_from([max(original), 64, 160, 500]))
    frame = Frame.fit(original, longest=longest, shortest=draw(st.sampled_from([None, 120])), resizing=resizing)
    more_rows, more_columns = draw(st.tuples(st.sampled_from([0, 32]), st.sampled_from([0, 96])))
    frame = replace(frame, padded=(frame.padded[0] + more_rows, frame.padded[1] + more_columns))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    count, stride = draw(st.integers(1, 9)), draw(st.sampled_from([4, 4, 8, 1]))
    size = frame.padded[0] // stride, frame.padded[1] // stride
    logits = draw_masks(generator, count, size, draw(st.sampled_from([0, 3, 9])), draw(st.sampled_from([1, 8, 60])))
    scores = torch.rand(count, generator=generator).sort(descending=True).values
    if draw(st.booleans()):  # ties
        logits, scores = logits.round(), (scores * 4).ceil() / 4
        logits[0] = logits[-1]
    if draw(st.booleans()):  # an empty mask
        logits[count // 2] = -90
    ranking = Ranking(
        mask_logits=logits,
        queries=torch.randperm(count, generator=generator).tolist(),
        class_ids=[0] * count,
        scores=scores.tolist(),
        class_scores=torch.ones(count, 1),
    )
    threshold, is_hard = draw(st.sampled_from([0.0, 0.35, 0.5, 1.0])), draw(st.booleans())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "SMALL", draw(st.sampled_from([0, 0, assignment.SMALL])))
        patch.setattr(assignment, "CANVASES", draw(st.sampled_from([0, assignment.CANVASES])))
        found = assign_pixels(ranking, frame, threshold, is_hard=is_hard)
    codes, areas = assign_plainly(ranking, frame, threshold, is_hard=is_hard)
    once, again = cut_masks(ranking, [0, 0], frame, threshold)
    assert np.array_equal(once, again)
    assert once.sum() in (areas[0], areas[0] - 1, areas[0] + 1)

    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):  # products and sums are rounded apart
        assert (found.codes != codes.numpy()).sum() <= 2
        return
    assert np.array_equal(found.codes, codes.numpy())
    assert found.won() == [int((codes // 2 - 1 == rank).sum()) for rank in range(count)]
    assert found.kept() == [int((codes == code_of(rank)).sum()) for rank in range(count)]
    keeps = [kept > 0 for kept in found.kept()]
    assert [a for a, keep in zip(found.areas, keeps, strict=True) if keep] == [
        a for a, keep in zip(areas, keeps, strict=True) if keep
    ]


@pytest.mark.parametrize("count", [2, 11])
def test_of_equal_masks_the_first_wins_every_pixel(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "SMALL", 0)
    logits = torch.randn(1, 75, 83, generator=torch.Generator().manual_seed(0)).expand(count, -1, -1)
    scores, columns = [0.7] * count, torch.ones(count, 1)
    ranking = Ranking(
        mask_logits=logits, queries=[*range(count)], class_ids=[0] * count, scores=scores, class_scores=columns
    )

    found = assign_pixels(ranking, Frame(original=(299, 331), resized=(299, 331), padded=(300, 332)), 0.5)

    assert found.won() == [299 * 331] + [0] * (count - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux")
def test_200_masks_of_2048_by_1024_take_little_memory() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = draw_masks(generator, 200, (256, 512), 8, 6.0)
    scores = torch.linspace(0.9, 0.3, 200).tolist()
    ranking = Ranking(
        mask_logits=logits,
        queries=[*range(200)],
        class_ids=[0] * 200,
        scores=scores,
        class_scores=torch.ones(200, 1),
    )
    frame = Frame(original=(1024, 2048), resized=(1024, 2048), padded=(1024, 2048))
    small = Frame(original=(512, 512), resized=(1024, 2048), padded=(1024, 2048))
    assign_pixels(ranking, small, 0.5)  # loads code, which counts as memory
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = memory("VmRSS")

    with torch.inference_mode():
        found = assign_pixels(ranking, frame, 0.5)

    assert math.prod(found.codes.shape) == 2**21
    assert memory("VmHWM") - before < 64 * 2**20


def memory(name: str) -> int:
    """Bytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
