"""Draws docs/figures/how-*: what happens to a picture inside OPSNet, OVSeg and FC-CLIP.

Usage: python docs/system_figures.py [FOLDER]

Masks, maps and probabilities are those of the shipped models on a scene that no training has seen; of FC-CLIP, of which
no weights are shipped, there is a plan alone.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import lexiseg
from lexiseg.core.batches import to_image_batch
from lexiseg.core.files import write_atomically
from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.inference.palette import RGB, palette
from lexiseg.inference.visualize import FAINT_INK, INK
from lexiseg.layers.modulation import CLIP_ONLY, QUERY_ONLY, ModulationConfig, class_cosines
from lexiseg.models.crops import cut_regions, mask_probs_on
from lexiseg.models.opsnet import EncodedRegions, OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook import draw_scene
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.studies.figures.drawing import SERIES, Box, Drawing, Mark, Photo, Stroke, Text, paragraph, tint

SCENE = ("novel", "val", 0)
"""Chosen for a balloon that the query takes for something else, and a robot that CLIP does."""
CROPS_SCENE = ("base", "val", 2)
SIDE, GAP = 232, 16  # pixels of a picture on the sheet, and between two
SHOWN_MASKS, SHOWN_CROPS = 12, 8
HEAT: tuple[RGB, ...] = ((28, 32, 62), (0, 107, 171), (86, 180, 160), (240, 228, 66))
"""From far to near; read by colour-blind people too, as it grows lighter."""
Array = np.ndarray


def main() -> None:
    """Draws all figures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures"
    torch.set_num_threads(1)
    masks, names = opsnet_figures()
    figures = {"plan": plan(), "opsnet-masks": masks, "opsnet-names": names, "ovseg-crops": ovseg_figure()}
    for name, figure in figures.items():
        write_atomically(folder / f"how-{name}.svg", figure.svg())


def seen_by(model: lexiseg.Model, picture: Array) -> ImageBatch:
    """A picture as the network sees it."""
    config = model.network.config
    sides = {"longest": config.longest_side, "shortest": config.shortest_side}
    return to_image_batch([picture], **sides, resizing=model.network.resizing)


def row(pictures: Sequence[Array], captions: Sequence[str]) -> Drawing:
    """Pictures side by side with a caption below each."""
    marks: list[Mark] = []
    lowest = 0.0
    for place, (pixels, words) in enumerate(zip(pictures, captions, strict=True)):
        left, high = GAP + place * (SIDE + GAP), SIDE * pixels.shape[0] / pixels.shape[1]
        marks.append(Photo(left=left, top=GAP, width=SIDE, height=high, pixels=pixels))
        lines, taken = paragraph(left, GAP + high + 6, words, 14, SIDE, FAINT_INK)
        marks += lines
        lowest = max(lowest, high + taken)
    return Drawing(width=GAP + len(pictures) * (SIDE + GAP), height=round(lowest) + 2 * GAP + 6, marks=tuple(marks))


def enlarged(picture: Array, times: int = 3) -> Array:
    """A picture with more pixels."""
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width * times, height * times), Image.Resampling.BICUBIC))


def with_masks(picture: Array, masks: Sequence[Array], colours: Sequence[RGB]) -> Array:
    """A picture with masks in colours, later ones above."""
    drawn = enlarged(picture).astype(np.float32)
    drawn = drawn.mean(-1, keepdims=True) * 0.35 + drawn * 0.35 + 60
    for mask, colour in zip(masks, colours, strict=True):
        wide = np.asarray(Image.fromarray(mask).resize((drawn.shape[1], drawn.shape[0]), Image.Resampling.NEAREST))
        inner = wide[1:-1, 1:-1] & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        edge = wide.copy()
        edge[1:-1, 1:-1] &= ~inner
        drawn[wide] = 0.45 * drawn[wide] + 0.55 * np.asarray(colour)
        drawn[edge] = np.asarray(colour) * 0.6
    return drawn.clip(0, 255).astype(np.uint8)


def best_masks(encoded: EncodedRegions, frame: Frame) -> list[Array]:
    """The proposals with the highest predicted IoU, at the picture's size, large ones first."""
    order = encoded.iou_scores[0].argsort(descending=True)[:SHOWN_MASKS].tolist()
    probs = [mask_probs_on(encoded.proposals.mask_logits[0, query], frame) for query in order]
    masks = [(one > 0.5).numpy() for one in probs]
    return sorted((mask for mask in masks if mask.any()), key=lambda mask: -mask.sum())


def heat(values: Array, low: float, high: float, size: tuple[int, int]) -> Array:
    """Values as colours, enlarged without smoothing: a cell stays a cell."""
    share = np.clip((values - low) / (high - low), 0, 1) * (len(HEAT) - 1)
    table = np.asarray(HEAT, dtype=np.float32)
    below = np.minimum(share.astype(int), len(HEAT) - 2)
    part = (share - below)[..., None]
    pixels = (table[below] * (1 - part) + table[below + 1] * part).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.NEAREST))


@torch.no_grad()
def opsnet_figures() -> tuple[Drawing, Drawing]:
    """Masks and CLIP's map of a picture; then what the two embeddings of some masks say, alone and joined."""
    model = lexiseg.load("storybook", device="cpu")
    network = model.network
    assert isinstance(network, OPSNet)
    picture = draw_scene(*SCENE).picture
    result = model.segment(picture, ROLE_CONTENTS["novel"].vocabulary)
    images = seen_by(model, picture)
    encoded = network.encode(images)
    assert isinstance(encoded, EncodedRegions)
    frame = images.frames[0]
    masks = best_masks(encoded, frame)

    asked = [segment.name for segment in result.segments if segment.is_thing][:2]
    words = network.embed_vocabulary(model.read(asked), negatives=False)
    clip_map = torch.nn.functional.normalize(network.clip_map(images), dim=1)
    cells = class_cosines(clip_map.flatten(2).transpose(1, 2), words)[0].T.reshape(-1, *clip_map.shape[-2:]).numpy()
    rows, columns = (
        round(n * side / whole) for n, side, whole in zip(cells.shape[1:], frame.resized, frame.padded, strict=True)
    )
    cells = cells[:, :rows, :columns]
    low, high = np.quantile(cells, 0.05), cells.max()
    size = enlarged(picture).shape[:2]
    masks_row = row(
        [
            picture,
            with_masks(picture, masks, palette()[: len(masks)]),
            *(heat(one, low, high, size) for one in cells),
        ],
        [
            "the picture",
            f"{len(masks)} of its {encoded.iou_scores.shape[1]} proposals, by predicted IoU",
            *(f"CLIP's cells: how near to “{name}”" for name in asked),
        ],
    )
    answers = {
        "query alone": QUERY_ONLY,
        "CLIP alone": CLIP_ONLY,
        "joined by modulation": network.config.modulation,
    }
    return masks_row, names_figure(model, encoded, frame, result, answers)


def names_figure(
    model: lexiseg.Model,
    encoded: EncodedRegions,
    frame: Frame,
    result: lexiseg.Result,
    answers: Mapping[str, ModulationConfig],
) -> Drawing:
    """For some segments the likeliest names by each of some fusions, as bars."""
    network, vocabulary = model.network, result.vocabulary
    words = network.embed_vocabulary(vocabulary, negatives=False)
    probs = {
        title: network.answer(encoded, words, fusion).class_logits[0].softmax(-1) for title, fusion in answers.items()
    }
    things = [segment for segment in result.segments if segment.is_thing][:4]
    thumb, bar, line = 84, 200, 19
    marks: list[Mark] = []
    for place, title in enumerate(answers):
        marks.append(Text(x=GAP + thumb + 24 + place * (bar + 28), y=22, words=title, size=14))
    top = 42.0
    for segment in things:
        mask = result.segmentation == segment.id
        marks.append(Photo(left=GAP, top=top, width=thumb, height=thumb, pixels=cut_out(result.picture, segment.box)))
        query = best_query(encoded, frame, mask)
        for place, (title, colour) in enumerate(zip(answers, (SERIES[0], SERIES[1], SERIES[2]), strict=True)):
            left = GAP + thumb + 24 + place * (bar + 28)
            scores, names = probs[title][query].topk(3)
            for rank, (score, name) in enumerate(zip(scores.tolist(), names.tolist(), strict=True)):
                y = top + 16 + rank * (line + 7)
                marks.append(
                    Box(left=left, top=y - line / 2, width=bar, height=line, fill=tint(colour, 0.96), radius=3)
                )
                marks.append(
                    Box(
                        left=left,
                        top=y - line / 2,
                        width=max(3, bar * score),
                        height=line,
                        fill=tint(colour, 0.8),
                        radius=3,
                    )
                )
                marks.append(Text(x=left + 7, y=y, words=vocabulary.names[name]))
                marks.append(Text(x=left + bar - 7, y=y, words=f"{score:.2f}", colour=FAINT_INK, anchor="end"))
        top += thumb + GAP
    return Drawing(width=GAP * 2 + thumb + 24 + 3 * bar + 2 * 28, height=round(top), marks=tuple(marks))


def cut_out(picture: Array, box: tuple[int, int, int, int]) -> Array:
    """A square of a picture around a box of left, top, width and height."""
    left, top, width, height = box
    side = min(max(width, height) + 12, *picture.shape[:2])
    x, y = (
        int(np.clip(start + length / 2 - side / 2, 0, whole - side))
        for start, length, whole in ((left, width, picture.shape[1]), (top, height, picture.shape[0]))
    )
    return np.ascontiguousarray(picture[y : y + side, x : x + side])


def best_query(encoded: EncodedRegions, frame: Frame, mask: Array) -> int:
    """The proposal that covers a mask best."""
    ious = []
    for logits in encoded.proposals.mask_logits[0]:
        other = (mask_probs_on(logits, frame) > 0.5).numpy()
        ious.append((mask & other).sum() / max(1, (mask | other).sum()))
    return int(np.argmax(ious))


@torch.no_grad()
def ovseg_figure() -> Drawing:
    """A picture, and the crops that CLIP is shown of it, with the name that CLIP gives each."""
    model = lexiseg.load("tiny-ovseg", device="cpu")
    network, picture = model.network, draw_scene(*CROPS_SCENE).picture
    assert isinstance(network, OVSeg)
    vocabulary = ROLE_CONTENTS["base"].vocabulary
    images = seen_by(model, picture)
    encoded = network.encode(images)
    words = network.embed_vocabulary(vocabulary, negatives=False)
    sureness = network.class_logits_with_void(encoded.class_embed, words)[0].softmax(-1)[:, :-1].amax(-1)
    all_at_once = replace(network.config.regions, crops_per_pass=sureness.numel())
    (crops,) = cut_regions(images, encoded.proposals.mask_logits, all_at_once, network.config.clip.image_size)
    cosines = class_cosines(network.clip.encode_regions(crops.pixel_values, crops.masks), words)
    surest = sureness[crops.queries].argsort(descending=True)[:SHOWN_CROPS].tolist()

    small = (SIDE - 20) // 2
    marks = list(row([picture], ["the picture"]).marks)
    for place, number in enumerate(surest):
        left = 2 * GAP + SIDE + place % 4 * (small + GAP)
        top = GAP + place // 4 * (small + 26)
        name = vocabulary.names[int(cosines[number].argmax())]
        pixels = (255 * crops.pixel_values[number].clamp(0, 1).permute(1, 2, 0)).byte().numpy()
        marks.append(Photo(left=left, top=top, width=small, height=small, pixels=pixels))
        marks.append(Text(x=left + small / 2, y=top + small + 11, words=name, colour=FAINT_INK, anchor="middle"))
    width = 2 * GAP + SIDE + 4 * (small + GAP)
    return Drawing(width=width, height=SIDE + 3 * GAP + 14, marks=tuple(marks))


COLUMNS = (16, 150, 396, 642, 884)
"""Left sides of the plan's columns: picture, networks, what they say of a mask, how it is joined, the map."""
WIDTHS = (98, 210, 210, 206, 100)
ROW, HIGH = 236, 62  # pixels of a system's part, and of a box


def plan() -> Drawing:
    """The three systems side by side: which network sees the picture, and who names a mask."""
    systems = (
        (
            "OPSNet",
            ("Mask2Former", "proposes masks, a query for each"),
            ("CLIP, frozen", "sees the whole picture, once"),
            ("the query, projected", "learned from the training words"),
            ("CLIP’s map, pooled", "under the mask"),
            ("embeddings are added", "CLIP counts more, the further the words are from the training words"),
        ),
        (
            "OVSeg",
            ("MaskFormer", "proposes masks, a query for each"),
            ("CLIP, adapted to crops", "sees every mask cut out: once for each"),
            ("probabilities of the query", "learned from the training words"),
            ("probabilities of the crop", "by CLIP"),
            ("probabilities are multiplied", "with fixed exponents"),
        ),
        (
            "FC-CLIP",
            ("Mask2Former’s decoders", "propose masks from CLIP’s stages"),
            ("CLIP, frozen, convolutional", "sees the whole picture, once"),
            ("probabilities of the query", "learned from the training words"),
            ("CLIP’s last stage, pooled", "under the mask"),
            ("probabilities are multiplied", "CLIP’s exponent is larger for words that training had not"),
        ),
    )
    marks: list[Mark] = []
    for number, (name, proposer, clip, query, region, joined) in enumerate(systems):
        top = number * ROW + 46
        marks.append(Text(x=COLUMNS[0], y=top - 22, words=name, size=19))
        middle, low = top + (ROW - 70) / 2 - HIGH / 2, top + ROW - 70 - HIGH
        marks += boxed(0, middle, "picture", "", SERIES[5])
        marks += boxed(1, top, *proposer, SERIES[0]) + boxed(1, low, *clip, SERIES[1])
        marks += boxed(2, top, *query, SERIES[0]) + boxed(2, low, *region, SERIES[1])
        marks += boxed(3, middle, *joined, SERIES[2]) + boxed(4, middle, "map", "", SERIES[5])
        above, centre, below = (y + HIGH / 2 for y in (top, middle, low))
        if name != "FC-CLIP":
            marks += arrow((0, centre), (1, above))
        else:
            marks += upward(low, top)
        if name != "OVSeg":
            marks += arrow((0, centre), (1, below))
        else:
            marks += upward(top, low)
        marks += arrow((1, above), (2, above)) + arrow((1, below), (2, below))
        marks += arrow((2, above), (3, centre)) + arrow((2, below), (3, centre)) + arrow((3, centre), (4, centre))
    return Drawing(width=1000, height=len(systems) * ROW + 4, marks=tuple(marks))


def boxed(column: int, top: float, title: str, says: str, colour: RGB) -> list[Mark]:
    """A box with a title and what is said of it in small letters."""
    left, width = COLUMNS[column], WIDTHS[column]
    lines, taken = paragraph(left + 10, 0, says, 12, width - 18, FAINT_INK)
    high = max(HIGH, 30 + taken + 8)
    top -= (high - HIGH) / 2
    marks: list[Mark] = [Box(left=left, top=top, width=width, height=high, fill=tint(colour, 0.92), radius=9)]
    marks.append(Text(x=left + 10, y=top + (17 if says else high / 2), words=title, size=14, colour=INK))
    return marks + [replace(line, y=line.y + top + 28) for line in lines if isinstance(line, Text)]


def arrow(start: tuple[int, float], end: tuple[int, float]) -> list[Mark]:
    """An arrow between two columns at two heights."""
    left, right = COLUMNS[start[0]] + WIDTHS[start[0]] + 3, COLUMNS[end[0]] - 4
    return [
        Stroke(points=((left, start[1]), (right, end[1])), colour=FAINT_INK, width=1.5),
        *head((right, end[1]), np.arctan2(end[1] - start[1], right - left)),
    ]


def upward(start: float, end: float) -> list[Mark]:
    """An arrow from one box of the second column to the other."""
    x, is_up = COLUMNS[1] + WIDTHS[1] / 2, end < start
    first, last = (start - 3, end + HIGH + 4) if is_up else (start + HIGH + 3, end - 4)
    return [
        Stroke(points=((x, first), (x, last)), colour=FAINT_INK, width=1.5),
        *head((x, last), -np.pi / 2 if is_up else np.pi / 2),
    ]


def head(tip: tuple[float, float], angle: float) -> list[Mark]:
    """The head of an arrow."""
    sides = [(tip[0] - 9 * np.cos(angle + turn), tip[1] - 9 * np.sin(angle + turn)) for turn in (0.45, -0.45)]
    return [Stroke(points=(sides[0], tip, sides[1]), colour=FAINT_INK, width=1.5)]


if __name__ == "__main__":
    main()
