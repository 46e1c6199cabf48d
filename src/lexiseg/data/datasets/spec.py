"""An entry of the catalogue: which files a data set has, how it is opened, checked and prepared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from lexiseg.core.errors import FormatError, PictureError
from lexiseg.core.images import open_picture
from lexiseg.core.pool import ProgressCallback, map_in_pool
from lexiseg.data.datasets.folders import SHOWN, absent
from lexiseg.data.datasets.image_level import CaptionDataset, CaptionSample, LabelDataset, LabelSample
from lexiseg.data.formats.coco_instances import InstanceDataset, InstanceSample
from lexiseg.data.formats.coco_panoptic import PanopticDataset, Sample, check_list
from lexiseg.data.formats.id_maps import load_ids
from lexiseg.data.formats.label_maps import SemanticDataset, SemanticSample, load_labels

AnnotationKind = Literal["panoptic", "semantic", "instance", "captions", "labels"]
AnnotatedDataset = PanopticDataset | SemanticDataset | InstanceDataset
"""What has masks, to learn from or to be measured on."""
AnyDataset = AnnotatedDataset | CaptionDataset | LabelDataset
AnySample = Sample | SemanticSample | InstanceSample | CaptionSample | LabelSample
OPENED = 16
"""How many pictures a check opens where it is not asked to open all."""

LONG = {"val": "validation", "train": "training"}
"""The splits' names in ADE20K's folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file or folder of a data set."""

    what: str
    """A word for it: pictures, labels."""
    places: tuple[str, ...]
    """Where it may lie in the data set's folder, the best first; `{split}` is val or train, `{long}` validation ..."""
    source: str
    """Where to get it."""


Resources = tuple[tuple[Resource, Path | None], ...]
"""Each part of a data set, and where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a check found."""

    home: Path
    parts: Resources
    lacking: tuple[str, ...]
    """A sentence for each part that is missing."""
    num_samples: int
    num_missing: int
    """Files that are listed, but are not there."""
    missing: tuple[Path, ...]
    """The first of them."""
    num_opened: int
    broken: tuple[str, ...]
    """A sentence for each picture that could not be read."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is missing and nothing broken."""
        return not (self.lacking or self.num_missing or self.broken) and self.num_samples > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One data set of the catalogue."""

    name: str
    title: str
    task: AnnotationKind
    vocabulary: str
    """The built-in list of its classes; empty if it has none."""
    homes: tuple[str, ...]
    """Names of its folder; a person may give that folder or the one around it."""
    parts: tuple[Resource, ...]
    read: Callable[[Mapping[str, Path], str], AnyDataset]
    """Makes the data set of its parts and the split's name."""
    splits: tuple[str, ...] = ("val", "train")
    """The first is meant where none is named."""
    make: Callable[[Path, str, ProgressCallback, int], int] | None = None
    """Makes files of others, given the data set's folder, split, report and number of processes."""

    def open(self, root: Path, split: str | None = None) -> AnyDataset:
        """Lists the samples; pictures and label maps are opened later, one by one.

        Raises:
            FormatError: if a part is missing, or a list of pictures can't be read.
        """
        split = self._split(split)
        home, parts = self.find(root, split)
        if lacking := _lacking(home, parts, split):
            raise FormatError(f"{self.name}: {lacking[0]}")
        return self.read({part.what: path for part, path in parts if path}, split)

    def check(
        self,
        root: Path,
        split: str | None = None,
        *,
        every: bool = False,
        workers: int = 1,
        report: ProgressCallback = lambda done, of: None,
    ) -> Findings:
        """Looks for all parts and all listed files, and opens some pictures with their annotations.

        Args:
            root: the data set's folder, or the one around it.
            split: the first if not given.
            every: opens all pictures, not a few of them.
            workers: processes that open.
            report: is told about progress.
        """
        split = self._split(split)
        home, parts = self.find(root, split)
        if lacking := _lacking(home, parts, split):
            return _nothing(home, parts, lacking)
        try:
            dataset = self.read({part.what: path for part, path in parts if path}, split)
        except FormatError as error:
            return _nothing(home, parts, (), (str(error),))
        return replace(examine(dataset, home, every=every, workers=workers, report=report), parts=parts)

    def prepare(self, root: Path, report: ProgressCallback, split: str | None = None, *, workers: int = 1) -> int:
        """Makes the files that others publish scripts for; those that are there already are kept.

        Every file appears whole under its name or not at all, and a call that was interrupted can be repeated.

        Returns:
            How many files were made.

        Raises:
            FormatError: if there is nothing to make, a part is missing, or a picture can't be used.
        """
        if self.make is None:
            raise FormatError(f"{self.name} needs no preparation: it is read as it is published.")
        split = self._split(split)
        home, _ = self.find(root, split)
        return self.make(home, split, report, workers)

    def find(self, root: Path, split: str) -> tuple[Path, Resources]:
        """The data set's folder, which is the one where most parts are, and the place of each part.

        Raises:
            FormatError: if there is no such folder.
        """
        if not root.is_dir():
            raise FormatError(f"{root}: there is no such folder. Name the folder of {self.name}, or the one around it.")
        found = [(home, _parts_in(home, self.parts, split)) for home in (*(root / h for h in self.homes), root)]
        return max(found, key=lambda one: (sum(path is not None for _, path in one[1]), one[0].is_dir()))

    def _split(self, split: str | None) -> str:
        if split is not None and split not in self.splits:
            raise FormatError(f"{self.name} has no split {split!r}: choose {' or '.join(self.splits)}.")
        return split or self.splits[0]


def examine(
    dataset: AnyDataset,
    home: Path,
    *,
    every: bool = False,
    workers: int = 1,
    report: ProgressCallback = lambda done, of: None,
) -> Findings:
    """Looks for all files of a data set, and opens some pictures with their annotations; see `DatasetSpec.check`."""
    missing = absent(path for sample in dataset.samples for path in files_of(sample))
    lost = set(missing)
    there = [sample for sample in dataset.samples if lost.isdisjoint(files_of(sample))]
    chosen = there if every else there[:: max(1, len(there) // OPENED)][:OPENED]
    return Findings(
        home=home,
        parts=(),
        lacking=(),
        num_samples=len(dataset.samples),
        num_missing=len(missing),
        missing=tuple(missing[:SHOWN]),
        num_opened=len(chosen),
        broken=tuple(_problems(dataset, chosen, workers, report)),
    )


def files_of(sample: AnySample) -> tuple[Path, ...]:
    """The files of one sample: its picture first."""
    match sample:
        case Sample():
            return sample.image_path, sample.segmentation_path
        case SemanticSample():
            return sample.image_path, sample.labels_path
        case _:
            return (sample.image_path,)


def problem_of(sample: AnySample, dataset: AnyDataset) -> str | None:
    """What keeps a sample from being read, or nothing."""
    try:
        picture = open_picture(sample.image_path)
        if isinstance(sample, Sample) and isinstance(dataset, PanopticDataset):
            check_list(sample.file_name, sample.segments, dataset.categories)  # what an evaluation asks for, no more
            size = load_ids(sample.segmentation_path).shape
        elif isinstance(sample, SemanticSample) and isinstance(dataset, SemanticDataset):
            labels = load_labels(sample, dataset)
            if (labels < 0).all():
                return f"{sample.file_name}: its label map {sample.labels_path} holds no class of the data set."
            size = labels.shape
        elif isinstance(sample, InstanceSample):
            size = sample.height, sample.width
        else:
            return None
    except (PictureError, FormatError) as error:
        return str(error)
    if picture.shape[:2] == size:
        return None
    return (
        f"{sample.file_name}: the picture is {picture.shape[1]} x {picture.shape[0]} pixels, "
        f"its annotation {size[1]} x {size[0]}."
    )


def _problems(dataset: AnyDataset, samples: Sequence[AnySample], workers: int, report: ProgressCallback) -> list[str]:
    """Opens samples and keeps what went wrong; a worker is sent the categories, not all other samples."""
    look = partial(problem_of, dataset=replace(dataset, samples=()))
    problems = []
    for done, problem in enumerate(map_in_pool(look, samples, workers), start=1):
        if problem is not None:
            problems.append(problem)
        report(done, len(samples))
    return problems


def _nothing(home: Path, parts: Resources, lacking: tuple[str, ...], broken: tuple[str, ...] = ()) -> Findings:
    """What is found where the samples can't be listed."""
    return Findings(
        home=home,
        parts=parts,
        lacking=lacking,
        num_samples=0,
        num_missing=0,
        missing=(),
        num_opened=0,
        broken=broken,
    )


def _lacking(home: Path, parts: Resources, split: str) -> tuple[str, ...]:
    """A sentence for each part that is missing: where it belongs and where to get it."""
    return tuple(
        f"the {part.what} are missing, expected at {' or '.join(str(home / p) for p in _places(part, split))}. "
        f"{part.source}"
        for part, path in parts
        if path is None
    )


def _parts_in(home: Path, parts: Sequence[Resource], split: str) -> Resources:
    return tuple((p, next((home / at for at in _places(p, split) if (home / at).exists()), None)) for p in parts)


def _places(part: Resource, split: str) -> list[str]:
    return [place.format(split=split, long=LONG.get(split, split)) for place in part.places]
