"""Pairs of a masked crop and a word, from which CLIP is adapted (OVSeg, section 3.2): tar shards beside one index.

A shard is an ordinary tar that WebDataset's tools read too. Each pair has three members, one after the other:

    000003-00017.crop.png    RGB, S x S
    000003-00017.mask.png    one bit per pixel, S x S: which pixels belong to the region
    000003-00017.json        word, picture, score, box, source

The mask is stored, not recovered from the colour of the background: OVSeg's trainer does that, and takes pixels of the
region that happen to have this colour for background. `index.json` says where each member lies, so that a pair is read
by one seek, without unpacking. `pairs.writer` writes it last: where it stands, all shards stand.
"""

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8
from PIL import Image
from torch.utils.data import Dataset

from lexiseg.core.errors import FormatError
from lexiseg.core.files import open_regular, read_json
from lexiseg.core.messages import printable
from lexiseg.data.id_maps import Box

FORMAT = "lexiseg pairs 1"
INDEX = "index.json"
MEMBERS = ("crop.png", "mask.png", "json")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairRecord:
    """One region with the word for it."""

    crop: UInt8[np.ndarray, "S S 3"]
    """RGB, the background filled."""
    mask: Bool[np.ndarray, "S S"]
    """Which pixels belong to the region."""
    word: str
    picture: str
    """File name of the picture that it was cut from."""
    score: float | None
    """Cosine of crop and word under the CLIP that paired them; None where an annotation did."""
    box: Box
    """x, y, width, height of the region in the picture, in pixels."""
    source: str
    """How the pair was found."""


class PairDataset(Dataset[PairRecord]):
    """Pairs of one folder, or of several joined in their order (the paper's mixtures, A.7), by number.

    Only the index is in memory. A pair is read when it is asked for, in whichever process asks.
    """

    def __init__(self, *folders: Path) -> None:
        """Reads the indices.

        Args:
            folders: at least one, as `PairWriter` leaves it.

        Raises:
            FormatError: if a folder holds no finished pairs, a shard is missing or of another length, or the folders'
                crops differ in size.
        """
        if not folders:
            raise FormatError("a data set of pairs needs a folder: make one with `lexiseg mine`.")
        indices = [read_index(folder) for folder in folders]
        sizes = [index["crop_size"] for index in indices]
        if len(set(sizes)) > 1:
            raise FormatError(
                f"expected crops of one size, got {' and '.join(map(str, sorted(set(sizes))))} pixels: join pairs that "
                "were made for one CLIP."
            )
        shards = [
            (folder / shard["name"], index["words"], shard)
            for folder, index in zip(folders, indices, strict=True)
            for shard in index["shards"]
        ]
        self.crop_size: int = sizes[0]
        """S, in pixels."""
        self.words: tuple[str, ...] = tuple(sorted({word for index in indices for word in index["words"]}))
        """The distinct words."""
        row_of = {word: row for row, word in enumerate(self.words)}
        self.word_ids: Int32[np.ndarray, " N"] = np.array(
            [row_of[words[row]] for _, words, shard in shards for row in shard["words"]], np.int32
        )
        """For each pair the place of its word in `words`."""
        self.scores: Float32[np.ndarray, " N"] = np.array(
            [s for *_, shard in shards for s in shard["scores"]], np.float32
        )
        """Each pair's score; NaN where it has none."""
        self.about: tuple[Mapping[str, Any], ...] = tuple(shard["about"] for *_, shard in shards)
        """What the writer was told of each shard."""
        self._paths = [path for path, *_ in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), [len(shard["words"]) for *_, shard in shards])
        self._spans = np.array([span for *_, shard in shards for span in shard["spans"]], np.int64).reshape(-1, 3, 2)

    def __len__(self) -> int:
        """Pairs."""
        return len(self.word_ids)

    def __getitem__(self, index: int) -> PairRecord:
        """Reads one pair.

        Raises:
            IndexError: if there is no such pair.
            FormatError: if its shard is damaged.
        """
        path, spans = self._paths[self._shard_of[index]], self._spans[index]
        first, end = int(spans[0, 0]), int(spans[-1].sum())
        try:
            with open_regular(path) as file:
                file.seek(first)
                content = file.read(end - first)
            record = from_bytes(*(content[start - first : start - first + size] for start, size in spans.tolist()))
            if record.word != self.words[self.word_ids[index]] or len(record.mask) != self.crop_size:
                raise ValueError("it is another pair than the index says")
        except Exception as error:  # decoders of untrusted bytes raise OSError, SyntaxError, KeyError, zlib.error ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FormatError(
                f"{printable(path)}: pair {index} is damaged ({reason}); make these pairs anew."
            ) from error
        return record

    def counts(self) -> Counter[str]:
        """How many pairs each word has, the most frequent first, among equals by the alphabet."""
        numbers = np.bincount(self.word_ids, minlength=len(self.words)).tolist()
        return Counter(dict(sorted(zip(self.words, numbers, strict=True), key=lambda item: (-item[1], item[0]))))


def to_bytes(record: PairRecord) -> tuple[bytes, bytes, bytes]:
    """The members of a pair, in the order of `MEMBERS`."""
    pictures = []
    for values in (record.crop, record.mask):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, format="PNG")
        pictures.append(buffer.getvalue())
    about = {name: getattr(record, name) for name in ("word", "picture", "score", "box", "source")}
    return pictures[0], pictures[1], json.dumps(about, ensure_ascii=False).encode()


def from_bytes(crop: bytes, mask: bytes, text: bytes) -> PairRecord:
    """The inverse of `to_bytes`; of damaged bytes, it may raise anything."""
    about = json.loads(text)
    x, y, width, height = about["box"]
    with (
        Image.open(io.BytesIO(crop), formats=["PNG"]) as colours,
        Image.open(io.BytesIO(mask), formats=["PNG"]) as bits,
    ):
        return PairRecord(
            crop=np.array(colours),
            mask=np.array(bits),
            word=about["word"],
            picture=about["picture"],
            score=about["score"],
            box=(x, y, width, height),
            source=about["source"],
        )


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder, whose shards are there in their full length.

    Raises:
        FormatError: if the folder holds no finished pairs, or a shard does not fit.
    """
    path = folder / INDEX
    if not path.exists():
        raise FormatError(
            f"{printable(folder)} holds no finished pairs: make them with `lexiseg mine`, or resume the run that does."
        )
    index = read_json(path)
    try:
        if index["format"] != FORMAT:
            raise FormatError(f"{printable(path)} is of another version ({index['format']}); make the pairs anew.")
        files = [(folder / shard["name"], shard["bytes"]) for shard in index["shards"]]
        _check(index)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{printable(path)} is no index of pairs; make the pairs anew.") from error
    for file, length in files:
        if not file.is_file() or file.stat().st_size != length:
            raise FormatError(
                f"{printable(file)} is missing or cut off; copy the folder again, or make the pairs anew."
            )
    return index


def _check(index: Mapping[str, Any]) -> None:
    """Refuses an index that can't be right: its words, scores or spans are not what the writer writes."""
    words, size = index["words"], index["crop_size"]
    if type(size) is not int or size < 1 or type(words) is not list or not all(type(word) is str for word in words):
        raise ValueError("crop size or words are damaged")
    for shard in index["shards"]:
        rows, spans = _whole_numbers(shard["words"]), _whole_numbers(shard["spans"]).reshape(-1, len(MEMBERS), 2)
        starts, ends = spans[..., 0].reshape(-1), spans.sum(2).reshape(-1)
        scores = np.array(shard["scores"], np.float32)
        if type(shard["about"]) is not dict or not rows.shape == scores.shape == spans.shape[:1]:
            raise ValueError("its columns differ in length")
        if (rows < 0).any() or (rows >= len(words)).any():
            raise ValueError("it has no such word")
        edges = np.stack([starts, ends], 1).reshape(-1)
        if (np.diff(edges, prepend=0, append=shard["bytes"]) < 0).any():
            raise ValueError("its spans do not follow each other")


def _whole_numbers(values: Any) -> Int64[np.ndarray, "..."]:
    numbers = np.array(values)
    if numbers.size and numbers.dtype.kind != "i":
        raise ValueError("expected whole numbers")
    return numbers.astype(np.int64)
