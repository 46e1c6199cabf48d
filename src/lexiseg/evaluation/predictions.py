"""What a model answered on a data set, kept in COCO panoptic format as `lexiseg score panoptic` reads it."""

import json
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from lexiseg.core.files import read_json, write_atomically, writing
from lexiseg.core.messages import few, printable
from lexiseg.core.picture_files import unique_names
from lexiseg.data.dataset import Dataset, Sample
from lexiseg.data.formats.coco_panoptic import annotation_entry, category_entry, image_entry
from lexiseg.data.id_maps import save_ids
from lexiseg.evaluation.measure import Answer

NAME = "predictions"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionStore:
    """`predictions.json` in a folder and its id PNGs in `predictions/`; hidden until all are there.

    All processes of an evaluation add to it, and one that resumes finds what was added.
    """

    folder: Path
    dataset: Dataset
    map_names: Mapping[str, str]
    """Names of id PNGs by those of pictures."""

    @staticmethod
    def of(folder: Path, dataset: Dataset) -> "PredictionStore":
        """Names a folder; nothing is read or written yet."""
        names = [sample.file_name for sample in dataset.samples]
        stems = unique_names([Path(name) for name in names])
        maps = {name: f"{stem}.png" for name, stem in zip(names, stems, strict=True)}
        return PredictionStore(folder=folder, dataset=dataset, map_names=maps)

    @property
    def _hidden(self) -> Path:
        return self.folder / f".{NAME}"

    def open(self, *, resume: bool) -> None:
        """Makes the hidden folder, anew unless an evaluation goes on.

        Raises:
            ValueError: if it can't be made, or what has the name of the predictions is something else.
        """
        taken = self.folder / NAME
        is_closed = self._hidden.is_dir() and not (self._hidden / NAME).exists()
        has_json = taken.with_suffix(".json").is_file()
        if taken.exists() and not (has_json or is_closed):
            raise ValueError(f"{printable(taken)} is there already and holds no predictions; choose another --out.")
        with writing(self._hidden, ValueError):
            if is_closed and taken.is_dir() and (resume or not has_json):
                taken.rename(self._hidden / NAME)
            if not resume:
                shutil.rmtree(self._hidden, ignore_errors=True)
            (self._hidden / NAME).mkdir(parents=True, exist_ok=True)

    def add(self, sample: Sample, answer: Answer) -> None:
        """Keeps one picture's map, with a JSON of its segments beside it.

        Raises:
            ValueError: if it can't be written.
        """
        found, name = answer.merged, self.map_names[sample.file_name]
        height, width = found.segmentation.shape
        annotation = annotation_entry(sample.key, name, answer.segment_infos(found))
        for entry, segment in zip(annotation["segments_info"], found.segments, strict=True):
            entry["score"] = round(segment.score, 4)
        with writing(self.folder, ValueError):
            save_ids(self._hidden / NAME / name, found.segmentation)
        entries = image_entry(sample.key, sample.file_name, height, width), annotation
        write_atomically(self._hidden / f"{name}.json", json.dumps(entries))

    def close(self, finished: Set[str]) -> Path:
        """Writes the JSON of all, and puts both in their places; returns the JSON.

        An evaluation goes on from it until `forget` is called.

        Args:
            finished: names of the pictures that were answered.

        Raises:
            ValueError: if an answer is missing, or they can't be written.
        """
        names = [self.map_names[sample.file_name] for sample in self.dataset.samples if sample.file_name in finished]
        files = {name: self._hidden / f"{name}.json" for name in names}
        if missing := [
            name for name in names if not (files[name].is_file() and (self._hidden / NAME / name).is_file())
        ]:
            raise ValueError(f"the predictions lack {few(missing)}, which somebody has removed; leave --resume out.")
        images, annotations = zip(*map(read_json, files.values()), strict=True)
        categories = [category_entry(category) for category in self.dataset.categories]
        place = self.folder / NAME
        with writing(place, ValueError):
            shutil.rmtree(place, ignore_errors=True)
            place.with_suffix(".json").unlink(missing_ok=True)  # now, so that no kill leaves maps that nobody owns
            (self._hidden / NAME).rename(place)
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_atomically(place.with_suffix(".json"), json.dumps(content))
        return place.with_suffix(".json")


def forget(folder: Path) -> None:
    """Removes what an evaluation with predictions in this folder would go on from."""
    shutil.rmtree(folder / f".{NAME}", ignore_errors=True)
