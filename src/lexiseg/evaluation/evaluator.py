"""Evaluation of a model on a panoptic data set, in one process and without writing a picture."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from lexiseg.core.structures import MaskPrediction, PanopticMap, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.panoptic_format import Category, PanopticDataset, SegmentInfo
from lexiseg.evaluation.panoptic_quality import PanopticQuality, Tally, summarise, tally_pair
from lexiseg.evaluation.report import EvaluationSettings, Report, installed_versions, write_report
from lexiseg.evaluation.truths import Skipped, Truth, TruthBatch, match_groups, match_words, read_batches
from lexiseg.io.checkpoint import weights_hash
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess import MergeConfig, panoptic_map
from lexiseg.models.words import prepare

__all__ = ["EvaluationSettings", "Report", "Task", "evaluate", "open_task", "write_report"]

Progress = Callable[[int, int], None]
"""Called with the samples done and their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A data set and the words for it, ready to be counted."""

    dataset: PanopticDataset
    vocabulary: Vocabulary
    """Thing or stuff as the data set has it."""
    category_ids: tuple[int, ...]
    """The category of each concept."""
    words: VocabularyEmbeddings
    """On the model's device."""
    groups: Mapping[str, tuple[Category, ...]]

    def tally(self, prediction: MaskPrediction, merge: MergeConfig, batch: TruthBatch) -> Tally:
        """Merges a batch's masks and counts them against the truth."""
        total = Tally()
        for index, (frame, truth) in enumerate(zip(batch.images.frames, batch.truths, strict=True)):
            found = panoptic_map(prediction, index, frame, self.vocabulary, merge)
            total += self.tally_map(found, truth)
        return total

    def tally_map(self, found: PanopticMap, truth: Truth) -> Tally:
        """Counts one picture."""
        segments = [
            SegmentInfo(id=s.id, category_id=self.category_ids[s.class_id], area=s.area, box=s.box)
            for s in found.segments
        ]
        return tally_pair(truth.ids, truth.sample.segments, found.segmentation, segments, self.dataset.categories)

    def summarise(self, tally: Tally) -> tuple[PanopticQuality, dict[str, PanopticQuality]]:
        """Figures over all classes, and over each group of them."""
        groups = {name: summarise(tally, categories) for name, categories in self.groups.items()}
        return summarise(tally, self.dataset.categories), groups


def open_task(
    model: OPSNet,
    dataset: PanopticDataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Task:
    """Matches the words to the categories, by name or synonym, and encodes them.

    Raises:
        ValueError: if the data set is empty, or words, categories and groups do not fit one another.
    """
    if not dataset.samples:
        raise ValueError("the data set holds no pictures: name one that does.")
    matched, category_ids = match_words(dataset.categories, vocabulary)
    words = prepare(
        model.clip,
        matched,
        model.config.training_vocabulary,
        negatives=settings.negatives,
        cache_dir=settings.cache_dir,
    )
    return Task(
        dataset=dataset,
        vocabulary=matched,
        category_ids=category_ids,
        words=words.to(_device_of(model)),
        groups=match_groups(groups or {}, dataset.categories),
    )


def evaluate(
    model: OPSNet,
    dataset: PanopticDataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    report: Progress = lambda done, total: None,
) -> Report:
    """Segments every picture of a data set and measures panoptic quality by COCO's official rules.

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk.
        vocabulary: the words that are asked for, one concept per category.
        settings: protocol and inference switches; the papers' protocol if not given.
        groups: names of categories whose figures are also wanted on their own, by the group's name.
        report: called after every batch with the samples done and their number.

    Raises:
        ValueError: if words, categories and groups do not fit one another, or no picture can be read.
    """
    settings = settings or EvaluationSettings()
    modulation, merge = settings.modulation or model.config.modulation, settings.merge or model.config.merge
    tally, read = Tally(), 0
    with inference(model):
        task = open_task(model, dataset, vocabulary, settings, groups)
        start = time.perf_counter()
        skipped: list[Skipped] = []
        for batch in read_task(model, task, settings, skipped, report):
            images = batch.images.to(task.words.text_embed.device)
            tally += task.tally(model(images, task.words, modulation), merge, batch)
            read += len(batch.truths)
        seconds = time.perf_counter() - start
    quality, by_group = task.summarise(tally)
    parameter = next(model.parameters())
    return Report(
        quality=quality,
        groups=by_group,
        num_pictures=read,
        images_per_second=read / seconds,
        unreadable=tuple(skipped),
        settings=replace(settings, modulation=modulation, merge=merge),
        domain_similarity=task.words.domain_similarity,
        versions=installed_versions(),
        device=str(parameter.device),
        dtype=str(parameter.dtype).removeprefix("torch."),
        weights=weights_hash(model.state_dict()),
    )


def read_task(
    model: OPSNet, task: Task, settings: EvaluationSettings, skipped: list[Skipped], report: Progress
) -> Generator[TruthBatch, None, None]:
    """Yields the batches of a task; what cannot be read is added to `skipped`.

    Raises:
        ValueError: after the last sample, if not one could be read.
    """
    total = len(task.dataset.samples[: settings.limit])
    done = 0
    parts = read_batches(
        task.dataset, longest=model.config.longest_side, batch_size=settings.batch_size, limit=settings.limit
    )
    for part in parts:
        if isinstance(part, Skipped):
            skipped.append(part)
            done += 1
        else:
            yield part
            done += len(part.truths)
        report(done, total)
    if len(skipped) == total:
        raise ValueError(f"none of the {total} pictures can be read; the first: {skipped[0].reason}")


@contextmanager
def inference(model: OPSNet) -> Generator[None, None, None]:
    """Eval mode without gradients; afterwards every part is in the mode in which it was."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _device_of(model: OPSNet) -> torch.device:
    return next(model.parameters()).device
