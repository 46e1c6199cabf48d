"""Drawing overlays: a picture with its segments, their names, and a legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from lexiseg.core.checks import check_size
from lexiseg.core.structures import PanopticMap, Segment
from lexiseg.inference.labels import Wish, font_for, pill, place_labels, shorten, text_size
from lexiseg.inference.palette import RGB, at_lightness, name_colours

READABLE = 480  # pixels of the longer side below which a picture is enlarged for its labels
SMOOTH_LIMIT = 2000  # pixels of the longer side up to which enlarged outlines are made smooth
THING_FILL, STUFF_FILL, MUTED = 0.55, 0.42, 0.5
PAPER, INK, FAINT_INK, LINE = (252, 251, 248), (38, 38, 44), (122, 122, 130), (224, 222, 216)
GAP = 12  # pixels between a picture and its overlay
SOFTEN = 0.45  # blur of enlarged masks, in pixels of the map
SPECK = 16  # pixels; smaller segments are not blurred, or they would vanish


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One entry of the legend: a name with all of its segments."""

    name: str
    count: int
    is_thing: bool
    score: float
    """The best of its segments."""


def overlay(
    picture: UInt8[np.ndarray, "H W 3"],
    panoptic: PanopticMap,
    *,
    legend: bool = True,
    beside: Sequence[str] = (),
    among: Sequence[str] = (),
) -> Image.Image:
    """Draws the segments over the picture: soft fills, thin outlines, names, and a legend.

    Small pictures are enlarged so that names can be read. A name without room on its segment is in the legend only. The
    drawing is deterministic.

    Args:
        picture: RGB in [0, 255].
        panoptic: the map of that picture, of the same height and width.
        legend: whether to add the panel, below a wide picture and beside a tall one.
        beside: names in drawings beside this one, so that a name has the same colour in all of them.
        among: the vocabulary's names, so that a name has the same colour in all pictures with it.

    Returns:
        The drawing, RGB.

    Raises:
        ValueError: if picture and map differ in size or are empty.
    """
    check_size("the picture", picture.shape, "its map", panoptic.segmentation.shape)
    if picture.size == 0:
        raise ValueError(f"expected a picture with at least one pixel, got {picture.shape[1]} x {picture.shape[0]}.")
    segmentation = _enlarge_map(panoptic, _zoom(*picture.shape[:2]))
    base = _enlarged(picture)
    colours = name_colours([*beside, *(segment.name for segment in panoptic.segments)], among)
    drawing = _paint(np.asarray(base), segmentation, panoptic.segments, colours)
    drawing = _write_labels(drawing, segmentation, panoptic.segments, colours)
    if not legend:
        return drawing
    return _add_legend(drawing, legend_entries(panoptic), colours)


def side_by_side(picture: UInt8[np.ndarray, "H W 3"], *maps: PanopticMap, among: Sequence[str] = ()) -> Image.Image:
    """The picture, and to its right an overlay with its legend for each map of it; `among` as in `overlay`."""
    names = [segment.name for panoptic in maps for segment in panoptic.segments]
    panels = [_enlarged(picture), *(overlay(picture, panoptic, beside=names, among=among) for panoptic in maps)]
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, max(panel.height for panel in panels)), PAPER)
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + GAP
    return sheet


def legend_entries(panoptic: PanopticMap) -> tuple[LegendEntry, ...]:
    """Gathers segments by name: things before stuff, each by falling score, then by name."""
    groups: dict[tuple[str, bool], list[Segment]] = {}
    for segment in panoptic.segments:
        groups.setdefault((segment.name, segment.is_thing), []).append(segment)
    entries = [
        LegendEntry(name=name, count=len(group), is_thing=is_thing, score=max(s.score for s in group))
        for (name, is_thing), group in groups.items()
    ]
    return tuple(sorted(entries, key=lambda e: (not e.is_thing, -e.score, e.name)))


def found_words(panoptic: PanopticMap, *, things: bool | None = None) -> str:
    """What was found, as one line: names with their best score and how many there are.

    Args:
        panoptic: the map.
        things: only things, only stuff, or both.
    """
    return ", ".join(
        f"{entry.name} {entry.score:.2f}" + (f" ×{entry.count}" if entry.count > 1 else "")
        for entry in legend_entries(panoptic)
        if things is None or entry.is_thing == things
    )


def drawing_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels that an overlay of a picture has, its legend left out."""
    zoom = _zoom(height, width)
    return height * zoom, width * zoom


def _zoom(height: int, width: int) -> int:
    """How many times a picture is enlarged so that names on it can be read."""
    return max(1, -(-READABLE // max(height, width)))


def _enlarged(picture: UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    height, width = drawing_size(*picture.shape[:2])
    return Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), Image.Resampling.BICUBIC)


def _enlarge_map(panoptic: PanopticMap, zoom: int) -> Int32[np.ndarray, "H W"]:
    """Enlarges ids by a whole factor, with smooth outlines: each pixel goes to the largest of the blurred masks."""
    ids = panoptic.segmentation
    if zoom == 1:
        return ids
    height, width = ids.shape[0] * zoom, ids.shape[1] * zoom
    if max(height, width) > SMOOTH_LIMIT:
        return ids.repeat(zoom, axis=0).repeat(zoom, axis=1)
    best = np.zeros((height, width), dtype=np.uint8)
    result = np.zeros((height, width), dtype=np.int32)
    areas = np.bincount(ids.ravel())
    for segment_id in np.flatnonzero(areas).tolist():
        mask = Image.fromarray(np.where(ids == segment_id, np.uint8(255), np.uint8(0)))
        mask = mask.resize((width, height), Image.Resampling.BICUBIC)
        if areas[segment_id] >= SPECK:
            mask = mask.filter(ImageFilter.GaussianBlur(SOFTEN * zoom))
        weight = np.asarray(mask)
        better = weight > best
        best = np.where(better, weight, best)
        result = np.where(better, np.int32(segment_id), result)
    return result


def _paint(
    picture: UInt8[np.ndarray, "H W 3"],
    segmentation: Int32[np.ndarray, "H W"],
    segments: tuple[Segment, ...],
    colours: Mapping[str, RGB],
) -> Image.Image:
    """Lays translucent colours and outlines on the picture; void becomes pale grey."""
    size = 1 + max((segment.id for segment in segments), default=0)
    fills = np.zeros((size, 3), dtype=np.uint8)
    edges = np.zeros((size, 3), dtype=np.uint8)
    opacities = np.zeros(size, dtype=np.uint8)
    edge_opacities = np.zeros(size, dtype=np.uint8)
    for segment in segments:
        fills[segment.id] = colours[segment.name]
        edges[segment.id] = at_lightness(colours[segment.name], 0.42, chroma=1.1)
        opacities[segment.id] = round(255 * (THING_FILL if segment.is_thing else STUFF_FILL))
        edge_opacities[segment.id] = 235 if segment.is_thing else 90

    void = Image.fromarray(np.where(segmentation == 0, np.uint8(255), np.uint8(0)))
    colourful = Image.fromarray(picture)
    grey = colourful.convert("L")
    # The picture is desaturated by half, so that its own colours change the fills less.
    drawing = Image.blend(colourful, grey.convert("RGB"), MUTED)
    drawing.paste(grey.point([110 + value * 6 // 11 for value in range(256)]).convert("RGB"), mask=void)
    opacity = Image.fromarray(opacities[segmentation])
    drawing.paste(Image.fromarray(fills[segmentation]), mask=opacity)
    thickness = 1 if max(segmentation.shape) < 900 else 2
    border = _borders(segmentation, thickness)
    outline = np.where(border, edge_opacities[segmentation], np.uint8(0))
    # A little blur takes the steps out of slanted lines.
    soft = Image.fromarray(outline).filter(ImageFilter.GaussianBlur(0.6))
    drawing.paste(Image.fromarray(edges[segmentation]), mask=soft)
    return drawing


def _borders(segmentation: Int32[np.ndarray, "H W"], thickness: int) -> np.ndarray:
    """Marks pixels with a different id within `thickness` pixels along a row or a column."""
    border = np.zeros(segmentation.shape, dtype=bool)
    for ids, marks in ((segmentation, border), (segmentation.T, border.T)):  # down the columns, along the rows
        for offset in range(1, thickness + 1):
            differs = ids[offset:] != ids[:-offset]
            marks[offset:] |= differs
            marks[:-offset] |= differs
    return border


def _write_labels(
    drawing: Image.Image,
    segmentation: Int32[np.ndarray, "H W"],
    segments: tuple[Segment, ...],
    colours: Mapping[str, RGB],
) -> Image.Image:
    """Writes name and score on each segment that has room: things first, small before large."""
    size = _font_size(drawing)
    pad = max(3, round(size * 0.4))
    order = sorted(segments, key=lambda s: (not s.is_thing, s.area, s.id))
    forms = {s.id: _label_forms(s, size, drawing.width) for s in order}
    wishes = [
        Wish(
            segment_id=segment.id,
            sizes=tuple(_label_size(form, size, pad) for form in forms[segment.id]),
            may_stand_outside=segment.is_thing,
        )
        for segment in order
    ]
    by_id = {segment.id: segment for segment in segments}
    things = {segment.id for segment in segments if segment.is_thing}
    for place in place_labels(segmentation, wishes, things):
        segment = by_id[place.segment_id]
        text = forms[segment.id][place.form]
        width, height = _label_size(text, size, pad)
        colour = colours[segment.name]
        ink = PAPER if segment.is_thing else at_lightness(colour, 0.36)
        backing = at_lightness(colour, 0.4, chroma=0.9) if segment.is_thing else at_lightness(colour, 0.97)
        opacity = 0.92 if segment.is_thing else 0.78
        mask = pill(width, height, height / 3)
        mask = mask.point([round(value * opacity) for value in range(256)])
        drawing.paste(backing, (place.left, place.top), mask)
        _write(drawing, text, place.left + pad, place.top + height // 2, size, ink)
    return drawing


def _label_forms(segment: Segment, size: int, width: int) -> tuple[str, ...]:
    """Returns the label with its score and, where that is too long, without."""
    name = shorten(segment.name, size, max(size * 3, min(size * 10, width // 2)))
    return f"{name} {segment.score:.2f}", name


def _label_size(text: str, size: int, pad: int) -> tuple[int, int]:
    """Returns width and height of a label with its backing."""
    width, height = text_size(text, size)
    return width + 2 * pad, height + max(2, pad // 2)


def _font_size(drawing: Image.Image) -> int:
    """Returns a letter height that suits the picture: about one fortieth of its longer side."""
    longest, shortest = max(drawing.size), min(drawing.size)
    return int(min(max(13, round(longest / 44)), 44, max(13, shortest / 8)))


def _write(drawing: Image.Image, text: str, left: int, middle: int, size: int, ink: RGB) -> None:
    """Writes one line, centred on a height by the font's own measures, not the letters'."""
    # Half of a capital's height above the middle puts the baseline so that words look centred.
    pen = ImageDraw.Draw(drawing)
    baseline = middle + round(size * 0.34)
    pen.text((left, baseline), text, fill=ink, font=font_for(text, size), anchor="ls")


def _add_legend(drawing: Image.Image, entries: tuple[LegendEntry, ...], colours: Mapping[str, RGB]) -> Image.Image:
    """Adds a panel of names: below a wide picture, to the right of a tall one."""
    size = max(13, round(_font_size(drawing) * 0.95))
    row, margin = round(size * 1.75), round(size * 1.1)
    beside = drawing.height > drawing.width
    column = size * 17
    blocks = [
        (title, [entry for entry in entries if entry.is_thing == is_thing])
        for title, is_thing in (("Things", True), ("Stuff", False))
    ]
    blocks = [(title, group) for title, group in blocks if group] or [("Nothing found", [])]
    columns = 1 if beside else max(1, (drawing.width - margin) // (size * 14 + margin))
    if beside:  # as many columns as the picture's height asks for
        lines = sum(len(group) + 2 for _, group in blocks)
        columns = max(1, -(-lines * row // max(row, drawing.height - 2 * margin)))
    columns = min(columns, max(max(len(group) for _, group in blocks), 1))
    if not beside:  # the columns share the width, but a score stays near its name
        column = min((drawing.width - margin) // columns - margin, size * 22)
    heights = [row * (1 + -(-len(group) // columns)) for _, group in blocks]
    panel_height = sum(heights) + 2 * margin + (len(blocks) - 1) * (row // 2)
    panel_width = columns * column + (columns + 1) * margin

    if beside:
        width, height = drawing.width + panel_width, max(drawing.height, panel_height)
        origin = drawing.width, 0
    else:
        width, height = max(drawing.width, panel_width), drawing.height + panel_height
        origin = 0, drawing.height
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(drawing, (0, 0))
    top = origin[1] + margin
    for (title, group), block_height in zip(blocks, heights, strict=True):
        _write(sheet, title, origin[0] + margin, top + row // 2, round(size * 0.85), FAINT_INK)
        per_column = max(1, -(-len(group) // columns))
        for number, entry in enumerate(group):
            left = origin[0] + margin + (number // per_column) * (column + margin)
            line_top = top + row * (1 + number % per_column)
            _write_entry(sheet, entry, (left, line_top, column, row), size, colours[entry.name])
        top += block_height + row // 2
    return sheet


def _write_entry(
    sheet: Image.Image, entry: LegendEntry, box: tuple[int, int, int, int], size: int, colour: RGB
) -> None:
    """Writes one line of the legend: swatch, name, how many, best score."""
    left, top, width, height = box
    swatch = round(size * 1.05)
    inset = (height - swatch) // 2
    mask = pill(swatch, swatch, swatch * 0.28)
    sheet.paste(at_lightness(colour, 0.42, chroma=1.1), (left, top + inset), mask)
    ring = 1 if size < 24 else 2
    inner = pill(swatch - 2 * ring, swatch - 2 * ring, swatch * 0.22)
    if not entry.is_thing:  # the paper shines through, as the picture does through stuff
        inner = inner.point([value * 11 // 20 for value in range(256)])
        sheet.paste(PAPER, (left + ring, top + inset + ring), pill(*inner.size, swatch * 0.22))
    sheet.paste(colour, (left + ring, top + inset + ring), inner)

    score = f"{entry.score:.2f}"
    count = f"x {entry.count}" if entry.count > 1 else ""
    score_width, count_width = text_size(score, size)[0], text_size(count, size)[0]
    name_left = left + swatch + size // 2
    room = left + width - score_width - count_width - 2 * size - name_left
    name = shorten(entry.name, size, room)
    middle = top + height // 2
    _write(sheet, name, name_left, middle, size, INK if entry.is_thing else (84, 84, 92))
    if count:
        after = name_left + text_size(name, size)[0] + size // 2
        _write(sheet, count, after, middle, size, FAINT_INK)
    _write(sheet, score, left + width - score_width, middle, size, FAINT_INK)
    ImageDraw.Draw(sheet).line((name_left, top + height - 1, left + width, top + height - 1), fill=LINE)
