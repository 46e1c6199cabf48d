"""What a folder of pairs holds, to be looked at: statistics, and a contact sheet of crops with their words."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lexiseg.core.files import replacing, write_atomically
from lexiseg.data.pairs.format import PairDataset, PairRecord
from lexiseg.inference.labels import font_for, shorten, text_size

STATISTICS_FILE = "statistics.json"
SHEET_FILE = "sheet.png"
SHOWN_WORDS = 10
"""Most and least frequent words."""
COLUMNS, ROWS = 8, 6
CELL, LINE, GAP = 120, 17, 8
"""Side of a crop, height of a line and space between cells, in pixels."""
PAPER, INK, FAINT_INK = (252, 251, 248), (34, 34, 40), (120, 120, 128)
VEIL = 0.75
"""Share of paper over what does not belong to the region: the stored mask is seen, whatever fills the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts over a folder of pairs."""

    pairs: int
    words: int
    """Distinct ones."""
    pictures: int
    pictures_with_pairs: int
    unreadable: int
    pairs_per_picture: float
    mean_score: float | None
    """Mean cosine of crop and word; None where no pair has one."""
    most_frequent: tuple[tuple[str, int], ...]
    least_frequent: tuple[tuple[str, int], ...]
    """The rarest first."""

    def table(self) -> list[tuple[str, str]]:
        """What was counted, for the terminal."""
        rows = [
            ("pairs", f"{self.pairs:,}"),
            ("words", f"{self.words:,}"),
            ("pictures", f"{self.pictures:,}"),
            ("pictures with pairs", f"{self.pictures_with_pairs:,}"),
            ("pairs per picture", f"{self.pairs_per_picture:.2f}"),
        ]
        return rows if self.mean_score is None else [*rows, ("mean cosine", f"{self.mean_score:.3f}")]


def statistics(pairs: PairDataset) -> Statistics:
    """Counts pairs and words; of pictures what the run that mined them wrote down."""
    counts = list(pairs.counts().items())
    pictures = sum(about["pictures"] for about in pairs.about)
    scores = pairs.scores[~np.isnan(pairs.scores)]
    return Statistics(
        pairs=len(pairs),
        words=len(pairs.words),
        pictures=pictures,
        pictures_with_pairs=sum(about["with_pairs"] for about in pairs.about),
        unreadable=sum(len(about["skipped"]) for about in pairs.about),
        pairs_per_picture=round(len(pairs) / pictures, 4) if pictures else 0.0,
        mean_score=round(float(scores.mean(dtype=np.float64)), 4) if len(scores) else None,
        most_frequent=tuple(counts[:SHOWN_WORDS]),
        least_frequent=tuple(reversed(counts[-SHOWN_WORDS:])),
    )


def contact_sheet(pairs: PairDataset, *, seed: int = 0) -> Image.Image:
    """Crops with word, cosine and picture, drawn from all shards; what is outside the stored mask is pale."""
    count = min(len(pairs), COLUMNS * ROWS)
    chosen = sorted(np.random.default_rng(seed).choice(len(pairs), count, replace=False).tolist()) if count else []
    columns, rows = max(1, min(COLUMNS, count)), max(1, -(-count // COLUMNS))
    height = CELL + 2 * LINE
    sheet = Image.new("RGB", (GAP + columns * (CELL + GAP), GAP + rows * (height + GAP)), PAPER)
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        _draw_pair(sheet, pairs[index], GAP + column * (CELL + GAP), GAP + row * (height + GAP))
    return sheet


def write_sheet(pairs: PairDataset, folder: Path, *, seed: int = 0) -> Statistics:
    """Writes statistics and contact sheet beside the pairs.

    Raises:
        ValueError: if the folder can't be written.
    """
    found = statistics(pairs)
    write_atomically(folder / STATISTICS_FILE, json.dumps(asdict(found), indent=1, ensure_ascii=False))
    with replacing(folder / SHEET_FILE) as hidden:
        contact_sheet(pairs, seed=seed).save(hidden, format="PNG")
    return found


def frequencies(title: str, counts: Sequence[tuple[str, int]]) -> str:
    """A line of words with their numbers."""
    return f"{title}: {', '.join(f'{word} {count}' for word, count in counts)}."


def _draw_pair(sheet: Image.Image, record: PairRecord, left: int, top: int) -> None:
    inside = record.mask[..., None]
    seen = np.where(inside, record.crop, record.crop * (1 - VEIL) + np.array(PAPER) * VEIL).astype(np.uint8)
    sheet.paste(Image.fromarray(seen).resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
    score = "" if record.score is None else f"{record.score:.2f}"
    room = CELL - text_size(score, 13)[0] - 6
    pen = ImageDraw.Draw(sheet)
    word, picture = shorten(record.word, 13, room), shorten(record.picture, 10, CELL)
    pen.text((left, top + CELL + 14), word, fill=INK, font=font_for(word, 13), anchor="ls")
    pen.text((left + CELL, top + CELL + 14), score, fill=FAINT_INK, font=font_for(score, 13), anchor="rs")
    pen.text((left, top + CELL + 29), picture, fill=FAINT_INK, font=font_for(picture, 10), anchor="ls")
