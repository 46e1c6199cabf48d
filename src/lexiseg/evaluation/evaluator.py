"""Evaluation of a model on a data set."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from lexiseg.core import processes
from lexiseg.core.batches import to_image_batch
from lexiseg.core.devices import choose_device
from lexiseg.core.errors import UsageError
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import PanopticMap, RegionCounts
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import concept_names, seen_and_unseen
from lexiseg.data.dataset import Dataset, TaskName
from lexiseg.encoders.text import default_cache_dir
from lexiseg.evaluation.counting import ShardCounter
from lexiseg.evaluation.inputs import open_data
from lexiseg.evaluation.loading import AnnotatedBatch
from lexiseg.evaluation.measure import Tally
from lexiseg.evaluation.plan import EvaluationPlan, filled, inference, plan_evaluation
from lexiseg.evaluation.predictions import PredictionStore, forget
from lexiseg.evaluation.report import EvaluationSettings, Report, installed_versions, write_report
from lexiseg.evaluation.shards import SHARDS_FOLDER
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.datasets import DRAWN


def evaluate(
    model: object,
    data: Dataset | str | Path,
    vocabulary: Vocabulary | str | Path | list[Any] | tuple[Any, ...] | None = None,
    *,
    root: str | Path | None = None,
    split: str | None = None,
    task: TaskName | None = None,
    settings: EvaluationSettings | None = None,
    count: int = 200,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    save_predictions: bool = False,
    workers: int = 0,
    resume: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> Report:
    """Measures a model on a data set, as `lexiseg evaluate` does.

    Figures over the classes that training has seen, and over the others, are reported apart where there are both.
    Processes share the pictures where `torch.distributed` is initialised.

    Args:
        model: what `lexiseg.load` takes or gives, or an `OpenVocabularySegmenter`.
        data: a folder, a name of the catalogue (see `lexiseg data list`), a drawn data set such as "storybook-novel",
            or a data set that is open already.
        vocabulary: a concept per category, or for some of them, which alone are measured, in a form that
            `Model.segment` takes; the data set's own if not given.
        root: where a data set of the catalogue lies.
        split: val, train ...; the data set's first if not given.
        task: "panoptic", "semantic" or "instance"; what the data set is made for if not given.
        settings: protocol and inference options; the papers' protocol if not given.
        count: pictures of a drawn data set.
        seed: of the drawing.
        device: where a model that is loaded by name runs, as for `lexiseg.load`.
        out: folder for report.json, finished shards and drawn pictures; nothing is kept if not given.
        save_predictions: keeps the panoptic maps in `out` too, as COCO has them.
        workers: processes that read pictures ahead, or draw them; 0 reads them in this one.
        resume: goes on with the shards that an interrupted call with the same arguments left in `out`.
        report: called after every batch with the samples done and their number (of this process).

    Raises:
        UsageError: if `model` is no model, or the device is not there.
        ModelError: if there is no such model, or it is damaged.
        ValueError: if data, vocabulary and task don't fit together, no picture can be read, or `out` can't be written.

    Example:
        lexiseg.evaluate("storybook", "storybook-novel", count=20).quality.all.pq
    """
    network = _network_of(model, device)
    settings = settings or EvaluationSettings(cache_dir=default_cache_dir())
    with tempfile.TemporaryDirectory(prefix="lexiseg-") as scratch:
        folder = Path(out if out is not None else processes.gather(scratch)[0])
        inputs = open_inputs(
            network,
            data,
            None if vocabulary is None else Vocabulary.of(vocabulary),
            replace(
                settings, task=task or settings.task, precision=settings.precision or getattr(model, "precision", None)
            ),
            model_name=str(model) if isinstance(model, str | Path) else getattr(model, "name", None),
            root=None if root is None else Path(root),
            split=split,
            drawn_in=folder / "data",
            count=count,
            seed=seed,
            workers=workers,
        )
        shards_dir = None if out is None else folder / SHARDS_FOLDER
        found = inputs.evaluate(
            workers=workers,
            shards_dir=shards_dir,
            predictions=folder if save_predictions else None,
            resume=resume,
            report=report,
        )
    if out is not None and processes.rank() == 0:
        inputs.write(found, folder)
    return found


def _network_of(model: object, device: str) -> OpenVocabularySegmenter:
    if isinstance(model, str | Path):
        return load_model(find_model(model)).to(choose_device(device)).to(memory_format=torch.channels_last)
    network = getattr(model, "network", model)
    if not isinstance(network, OpenVocabularySegmenter):
        raise UsageError(
            f"expected a model, its folder or its name, got {type(model).__name__}: take what lexiseg.load gives."
        )
    return network


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationInputs:
    """What is evaluated, opened, and what the report says of it."""

    network: OpenVocabularySegmenter
    dataset: Dataset
    vocabulary: Vocabulary
    settings: EvaluationSettings
    model_name: str | None
    """None for a network by value."""
    data: Mapping[str, Any]
    """Plain data: the data set's name, and which of its pictures were taken or drawn."""

    @property
    def about(self) -> dict[str, Any]:
        """Plain data: the model's name, the data, the word for each category, sides of pictures, how crops are cut.

        To be asked after `evaluate`, which refuses words that fit no category.
        """
        words = concept_names(self.dataset.categories, self.vocabulary)
        crops = {} if (regions := self.network.regions) is None else {"crops": to_jsonable(regions)}
        sides = {name: getattr(self.network.config, name) for name in ("shortest_side", "longest_side")}
        return {"data": self.data, "model": self.model_name, "words": words, "pictures": sides, **crops}

    def evaluate(
        self,
        *,
        workers: int,
        shards_dir: Path | None,
        predictions: Path | None,
        resume: bool,
        report: ProgressCallback,
    ) -> Report:
        """Does what `evaluate_dataset` does, with the classes that training has seen and the others as groups."""
        return evaluate_dataset(
            self.network,
            self.dataset,
            self.vocabulary,
            self.settings,
            groups=seen_and_unseen(self.dataset.categories, self.vocabulary, self.network.config.training_vocabulary),
            workers=workers,
            shards_dir=shards_dir,
            predictions=predictions,
            resume=resume,
            report=report,
        )

    def write(self, found: Report, folder: Path, **more: Any) -> None:
        """Writes `report.json` into a folder, and removes what an evaluation there goes on from.

        Args:
            found: the figures.
            folder: made if it is missing.
            more: plain data beside `about`, such as a diagnosis.

        Raises:
            ValueError: if the folder can't be written.
        """
        write_report(found, folder, {**self.about, **more})
        shutil.rmtree(folder / SHARDS_FOLDER, ignore_errors=True)
        forget(folder)


def open_inputs(
    network: OpenVocabularySegmenter,
    data: Dataset | str | Path,
    vocabulary: Vocabulary | None,
    settings: EvaluationSettings,
    *,
    model_name: str | None,
    root: Path | None,
    split: str | None,
    count: int,
    seed: int,
    as_things: bool = False,
    **drawing: Any,
) -> EvaluationInputs:
    """Opens what is evaluated by its name; drawn data are drawn first.

    Args:
        network: the model.
        data: as `evaluate` takes it.
        vocabulary: one concept per category; the data set's own if not given.
        settings: if they name no task, it is what drawn data are made for.
        model_name: for the report; None for a network by value.
        root: where a data set of the catalogue lies.
        split: val, train ...; the data set's first if not given.
        count: pictures of a drawn data set.
        seed: of the drawing.
        as_things: as `open_data` has it.
        drawing: `drawn_in`, `workers` and `report` of `open_data`.

    Raises:
        ValueError: if there is no such data set, it can't be read, it has no masks, or the vocabulary does not fit
            what would be drawn.
    """
    dataset, asked = open_data(data, root, split, vocabulary, as_things=as_things, count=count, seed=seed, **drawing)
    name = str(data) if isinstance(data, str | Path) else None
    which: dict[str, Any] = {"root": None if root is None else str(root), "split": split} if name else {}
    if drawn := DRAWN.get(name or ""):
        settings = replace(settings, task=settings.task or drawn.task)
        which = {"split": split or "test", "count": count, "seed": seed}
    which |= {"crowds_as_things": True} if as_things else {}
    taken = {"name": name, "limit": settings.limit, **which}
    return EvaluationInputs(
        network=network, dataset=dataset, vocabulary=asked, settings=settings, model_name=model_name, data=taken
    )


def evaluate_dataset(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    workers: int = 0,
    shards_dir: Path | None = None,
    predictions: Path | None = None,
    resume: bool = False,
    report: ProgressCallback = lambda done, total: None,
) -> Report:
    """Segments every picture of a data set and measures the predictions by the official rules.

    The pictures are counted in shards. Under torchrun each process takes every n-th of them and all get the whole
    report; the digits are those of a single process that computes with as many threads.

    Args:
        model: answers in eval mode; its modes are restored afterwards.
        dataset: samples on disk.
        vocabulary: one concept per category, in any order.
        settings: task, protocol and inference options; the papers' protocol if not given.
        groups: names of categories whose figures are also wanted on their own, by the group's name; "unseen" is what
            hIoU splits by, unless the data set has a split of its own.
        workers: processes that read pictures ahead; 0 reads them in this one.
        shards_dir: folder for finished shards, which a later call can resume from; all processes write into it. Remove
            it when the report is safe.
        predictions: folder for the panoptic maps as COCO has them, `predictions.json` and `predictions/`; with
            `shards_dir` also for what resuming needs of them, `.predictions`, which goes with that.
        resume: goes on with the shards that `shards_dir` holds.
        report: called after every batch with the samples done and their number (of this process).

    Raises:
        ValueError: if vocabulary, categories and groups do not fit one another, no picture can be read, or `shards_dir`
            belongs to another evaluation or can't be written.
    """
    settings = filled(settings, model)
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings, groups)
        settings = replace(settings, task=plan.measure.name)
        kept = None if predictions is None else PredictionStore.of(predictions, dataset)
        if kept is not None and processes.rank() == 0:
            kept.open(resume=resume)
        name, count = "answers" if kept is None else "answers, kept", partial(_count_answers, kept=kept)
        counter = ShardCounter(model, plan, settings, name=name, zero=plan.measure.zero(), count=count)
        counted = counter.run(workers=workers, shards_dir=shards_dir, resume=resume, report=report)
        if kept is not None and processes.rank() == 0:
            kept.close({image.name for image in counted.scores})
            if shards_dir is None:
                forget(kept.folder)
    quality, by_group = plan.summarise(counted.tally)
    parameter = next(model.parameters())
    return Report(
        measure=plan.measure,
        quality=quality,
        groups=by_group,
        scores=counted.scores,
        images_per_second=len(counted.scores) / counted.seconds,
        unreadable=counted.skipped,
        regions=counted.regions,
        settings=settings,
        domain_similarity=plan.words.domain_similarity,
        versions=installed_versions(),
        device=str(parameter.device),
        dtype=str(parameter.dtype).removeprefix("torch."),
        weights=weights_hash(model.state_dict()),
    )


def _count_answers(
    model: OpenVocabularySegmenter, plan: EvaluationPlan, batch: AnnotatedBatch, kept: PredictionStore | None
) -> tuple[list[tuple[Tally, float | None]], RegionCounts]:
    """Compares the predictions for a batch with its annotations, and counts; keeps them where that is wanted."""
    prediction = model(batch.images.to(plan.words.text_embed.device), plan.words, plan.fusion)
    counted: list[tuple[Tally, float | None]] = []
    for answer, truth in plan.answers(prediction, plan.merge, batch):
        tally = plan.measure.tally(answer, truth)
        counted.append((tally, plan.measure.image_score(tally)))
        if kept is not None:
            kept.add(truth.sample, answer)
    return counted, prediction.counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """One picture with its annotation and the model's prediction, to be drawn."""

    picture: UInt8[np.ndarray, "H W 3"]
    truth: PanopticMap
    prediction: PanopticMap


def comparisons(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings,
    names: Sequence[str],
) -> Iterator[Comparison]:
    """Segments some pictures again, to be drawn beside their annotations.

    Args:
        model: as it was evaluated.
        dataset: likewise.
        vocabulary: likewise.
        settings: those of the report, in which everything is filled in.
        names: file names of pictures that could be read.
    """
    config = model.config
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings)
        by_name = {sample.file_name: sample for sample in plan.measure.samples}
        for name in names:
            opened = plan.measure.open(by_name[name])
            images = to_image_batch(
                [opened.picture],
                longest=config.longest_side,
                shortest=config.shortest_side,
                resizing=model.resizing,
            )
            prediction = model(images.to(plan.words.text_embed.device), plan.words, plan.fusion)
            yield Comparison(
                picture=opened.picture,
                truth=plan.measure.truth_map(opened.annotation),
                prediction=plan.measure.answer_map(plan.answer(prediction, 0, images.frames[0])),
            )
