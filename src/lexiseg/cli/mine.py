"""`lexiseg mine`: from pictures with captions to pairs of masked crops and words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

from lexiseg.cli.console import note, progress, say, show
from lexiseg.cli.evaluate import INCOMPLETE, note_left_out
from lexiseg.cli.options.mine import MineOptions, MiningData
from lexiseg.cli.options.shared import given, read_optional_vocabulary
from lexiseg.cli.overrides import regions_for
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.format import captions_of, read_captions
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.captions.taggers import TAGGERS
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.categories import concept_names, own_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.pairs.format import INDEX, PairDataset
from lexiseg.data.pairs.writer import check_free
from lexiseg.inference.predictor import load
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import find_model
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, Split
from lexiseg.training.clip.adaptation import with_clip
from lexiseg.training.clip.folders import read_vit_clip
from lexiseg.training.mining.mine import MiningConfig, mine, own_regions
from lexiseg.training.mining.sheet import SHEET_FILE, Statistics, frequencies, write_sheet

DRAWN = "storybook"
"""The data set that is drawn when it is asked for."""
TRAIN = "train"
"""The split that is meant where none is named: pairs are for training."""
ORDER = "order.json"
"""Beside drawn data: what was drawn, so that another run draws nothing twice and nothing else."""
WORDS_ALONE = "none"
"""Instead of a tagger: the names of the words, and no others."""


def run_mine(options: MineOptions) -> int:
    """Mines pairs, writes statistics and contact sheet beside them, and prints the statistics.

    Returns:
        The exit status: 3 if pictures had to be left out.

    Raises:
        ValueError: if model, data, captions, vocabulary or folder are of no use, or an option has no use here.
    """
    config = MiningConfig(source=options.source, captions=options.captions_per_picture or 1)
    _refuse_idle(options, config)
    out, resume, overwrite = options.out, options.resume, options.overwrite
    vocabulary = read_optional_vocabulary(options.words)
    tagger_name = options.tagger or "textblob"
    tagger = TAGGERS[tagger_name]() if config.has_nouns and tagger_name != WORDS_ALONE else None
    with processes.process_group():
        dataset, own = _open(options, out, options.workers, resume=resume, overwrite=overwrite)
        nouns, captions = None, ()
        if config.has_nouns:
            nouns = NounFinder(tagger=tagger, vocabulary=vocabulary or own)
            captions = _captions(dataset, options.captions)
        network = _network(options)
        config = replace(config, regions=regions_for(options, own_regions(network)))
        try:
            with progress("Mining") as bar:
                pairs = mine(
                    network,
                    dataset,
                    config,
                    out,
                    captions=captions,
                    nouns=nouns,
                    workers=options.workers,
                    resume=resume,
                    overwrite=overwrite,
                    report=bar,
                )
        except KeyboardInterrupt:
            note(f"lexiseg: what is finished lies in {out}; the same command with --resume goes on from there.")
            raise
        status = 0
        if processes.rank() == 0:
            found = write_sheet(pairs, out, seed=options.seed)
            _tell(found, pairs, out)
            status = INCOMPLETE if found.unreadable else 0
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return status


def _network(options: MineOptions) -> OpenVocabularySegmenter:
    """What proposes, with the CLIP that pairs."""
    network = load(options.model, device=options.device).network
    if options.clip is None:
        return network
    if network.regions is None:
        raise ValueError("--clip is for an OVSeg, whose crops go through a CLIP of their own: leave it out.")
    device = next(network.parameters()).device
    return with_clip(network, read_vit_clip(find_model(options.clip))).to(device)


def _refuse_idle(options: MineOptions, config: MiningConfig) -> None:
    """Refuses options that would change nothing."""
    of_nouns = {
        "--captions": options.captions,
        "--captions-per-picture": options.captions_per_picture,
        "--words": options.words,
        "--tagger": options.tagger,
    }
    of_drawing = {"--role": options.role, "--count": options.count}
    for group, is_idle, why in (
        (of_nouns, not config.has_nouns, "labels are no nouns of captions"),
        (of_drawing, options.name != DRAWN, f"nothing but {DRAWN} is drawn"),
    ):
        if is_idle and (idle := given(group)):
            raise UsageError(f"{' and '.join(idle)} would change nothing, as {why}: leave it out.")


def _open(
    data: MiningData, out: Path, workers: int, *, resume: bool, overwrite: bool
) -> tuple[Dataset, Vocabulary | None]:
    """The data set under its words' names, and its words; a drawn one is written first, and read like any other."""
    if data.name == DRAWN:
        folder = out / "data"
        if processes.rank() == 0:
            check_free(out, resume=resume, overwrite=overwrite)
            _draw(data, folder, workers, overwrite=overwrite)
        processes.gather(None)
        return _first(read_panoptic(folder), data.limit), ALL
    if data.name not in CATALOGUE and not Path(data.name).exists():
        raise ValueError(
            f"there is no data set {data.name!r}: give a folder, {DRAWN}, or a name that 'lexiseg data list' shows."
        )
    entry = CATALOGUE.get(data.name)
    split = data.split or (TRAIN if entry is not None and TRAIN in entry.splits else None)
    dataset = _first(open_dataset(data.name, data.root, split), data.limit)
    if not dataset.categories:
        return dataset, None
    listed = entry.vocabulary if entry is not None else ""
    vocabulary = Vocabulary.of(listed) if listed else own_vocabulary(dataset.categories)
    name_of = concept_names(dataset.categories, vocabulary)
    categories = tuple(replace(category, name=name_of[category.name]) for category in dataset.categories)
    return replace(dataset, categories=categories), vocabulary


def _first(dataset: Dataset, limit: int | None) -> Dataset:
    return replace(dataset, samples=dataset.samples[:limit])


def _draw(data: MiningData, folder: Path, workers: int, *, overwrite: bool) -> None:
    """Draws what is asked for, unless it is drawn already."""
    split = data.split or TRAIN
    if split not in get_args(Split):
        raise UsageError(f"drawn data have the splits {', '.join(get_args(Split))}, not {split!r}.")
    count = data.count or 200
    order = StorybookSpec(role=data.role or "base", split=cast(Split, split), count=count, seed=data.seed)
    wanted, told = json.dumps(to_jsonable(order), sort_keys=True), folder / ORDER
    if told.is_file() and not overwrite:
        if told.read_text(encoding="utf-8") != wanted:
            raise ValueError(
                f"{printable(folder)} holds drawn data of another role, split, count or seed: repeat those, choose "
                "another --out, or pass --overwrite."
            )
        return
    told.unlink(missing_ok=True)
    with progress("Drawing", count) as bar:
        write_storybook(
            order, folder, overwrite=overwrite, workers=max(1, workers), report=lambda done: bar(done, count)
        )
    told.write_text(wanted, encoding="utf-8")


def _captions(dataset: Dataset, file: Path | None) -> tuple[tuple[str, ...], ...]:
    """Every picture's captions, from the file or the data set."""
    if file is not None:
        return captions_of([sample.file_name for sample in dataset.samples], read_captions(file))
    captions = tuple(sample.captions for sample in dataset.samples)
    if not any(captions):
        raise ValueError("the data set has no captions of its own: name a file of them with --captions.")
    return captions


def _tell(found: Statistics, pairs: PairDataset, out: Path) -> None:
    show("Pairs", ("", "number"), found.table(), right=("number",))
    if found.pairs:
        say(frequencies("Most frequent", found.most_frequent))
        say(frequencies("Least frequent", found.least_frequent))
    say(f"Crops of {pairs.crop_size} pixels in {out}; a few of them: {out / SHEET_FILE}.")
    note_left_out([entry["reason"] for about in pairs.about for entry in about["skipped"]], INDEX)
