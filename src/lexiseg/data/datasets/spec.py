"""An entry of the catalogue: which files a data set has, how it is opened, checked and prepared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.core.pool import ProgressCallback
from lexiseg.data.dataset import AnnotationKind, Dataset
from lexiseg.data.datasets.findings import Findings, FoundResources, Resource, examine

LONG = {"val": "validation", "train": "training"}
"""The splits' names in ADE20K's folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """One data set of the catalogue."""

    name: str
    title: str
    task: AnnotationKind
    vocabulary: str = ""
    """The built-in list of its classes; empty if it has none."""
    homes: tuple[str, ...]
    """Names of its folder; a person may give that folder or the one around it."""
    resources: tuple[Resource, ...]
    read: Callable[[Mapping[str, Path], str], Dataset]
    """Makes the data set of its resources and the split's name."""
    splits: tuple[str, ...] = ("val", "train")
    """The first is meant where none is named."""
    make: Callable[[Path, str, ProgressCallback, int], int] | None = None
    """Makes files of others, given the data set's folder, split, report and number of processes."""

    def open(self, root: Path, split: str | None = None) -> Dataset:
        """Lists the samples; pictures and label maps are opened later, one by one.

        Raises:
            FormatError: if a resource is missing, or a list of pictures can't be read.
        """
        split = self._split(split)
        home, resources = self.find(root, split)
        if lacking := _lacking(home, resources, split):
            raise FormatError(f"{self.name}: {lacking[0]}")
        return self._read(resources, split)

    def check(
        self,
        root: Path,
        split: str | None = None,
        *,
        every: bool = False,
        workers: int = 1,
        report: ProgressCallback = lambda done, of: None,
    ) -> Findings:
        """Looks for all resources and all listed files, and opens some pictures with their annotations.

        Args:
            root: the data set's folder, or the one around it.
            split: the first if not given.
            every: opens all pictures, not a few of them.
            workers: processes that open.
            report: is told about progress.
        """
        split = self._split(split)
        home, resources = self.find(root, split)
        if lacking := _lacking(home, resources, split):
            return Findings(home=home, resources=resources, lacking=lacking)
        try:
            dataset = self._read(resources, split)
        except FormatError as error:
            return Findings(home=home, resources=resources, broken=(str(error),))
        return replace(examine(dataset, home, every=every, workers=workers, report=report), resources=resources)

    def prepare(self, root: Path, report: ProgressCallback, split: str | None = None, *, workers: int = 1) -> int:
        """Makes the files that others publish scripts for; those that are there already are kept.

        Every file appears whole under its name or not at all, and a call that was interrupted can be repeated.

        Returns:
            How many files were made.

        Raises:
            FormatError: if there is nothing to make, a resource is missing, or a picture can't be used.
        """
        if self.make is None:
            raise FormatError(f"{self.name} needs no preparation: it is read as it is published.")
        split = self._split(split)
        home, _ = self.find(root, split)
        return self.make(home, split, report, workers)

    def find(self, root: Path, split: str) -> tuple[Path, FoundResources]:
        """The data set's folder, which is the one where most resources are, and the place of each resource.

        Raises:
            FormatError: if there is no such folder.
        """
        if not root.is_dir():
            raise FormatError(f"{root}: there is no such folder. Name the folder of {self.name}, or the one around it.")
        found = [(home, _resources_in(home, self.resources, split)) for home in (*(root / h for h in self.homes), root)]
        return max(found, key=lambda one: (sum(path is not None for _, path in one[1]), one[0].is_dir()))

    def _read(self, resources: FoundResources, split: str) -> Dataset:
        found = {resource.what: path for resource, path in resources if path}
        return replace(self.read(found, split), name=self.name)

    def _split(self, split: str | None) -> str:
        if split is not None and split not in self.splits:
            raise FormatError(f"{self.name} has no split {split!r}: choose {' or '.join(self.splits)}.")
        return split or self.splits[0]


def _lacking(home: Path, resources: FoundResources, split: str) -> tuple[str, ...]:
    """A sentence for each resource that is missing: where it belongs and where to get it."""
    return tuple(
        f"the {resource.what} are missing, expected at {' or '.join(str(home / p) for p in _places(resource, split))}. "
        f"{resource.source}"
        for resource, path in resources
        if path is None
    )


def _resources_in(home: Path, resources: Sequence[Resource], split: str) -> FoundResources:
    return tuple((p, next((home / at for at in _places(p, split) if (home / at).exists()), None)) for p in resources)


def _places(resource: Resource, split: str) -> list[str]:
    return [place.format(split=split, long=LONG.get(split, split)) for place in resource.places]
