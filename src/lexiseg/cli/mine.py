"""`lexiseg mine`: from pictures with captions to pairs of masked crops and words."""

from dataclasses import replace
from pathlib import Path

from lexiseg.cli.command import typed_name
from lexiseg.cli.console import FINE, FLAWED, progress, resumable, say, show
from lexiseg.cli.evaluate import note_left_out
from lexiseg.cli.options.mine import MineOptions
from lexiseg.cli.options.shared import given, read_optional_vocabulary
from lexiseg.cli.overrides import regions_for
from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.messages import a
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.format import captions_of, read_captions
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.captions.taggers import TAGGERS
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.categories import concept_names
from lexiseg.data.dataset import Dataset
from lexiseg.data.pairs.format import INDEX, PairDataset
from lexiseg.data.pairs.writer import check_free
from lexiseg.evaluation.inputs import open_known, vocabulary_of
from lexiseg.inference.predictor import load
from lexiseg.io.finding import find_folder
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.datasets import draw_once
from lexiseg.storybook.roles import ALL
from lexiseg.training.clip.adaptation import with_clip
from lexiseg.training.clip.folders import read_vit_clip
from lexiseg.training.mining.mine import MiningConfig, mine, own_regions
from lexiseg.training.mining.sheet import SHEET_FILE, Statistics, frequencies, write_sheet

DRAWN = "storybook"
"""The data set that is drawn when it is asked for."""
TRAIN = "train"
"""The split that is meant where none is named: pairs are for training."""
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
    vocabulary = read_optional_vocabulary(options.words)
    tagger_name = options.tagger or "textblob"
    tagger = TAGGERS[tagger_name]() if config.has_nouns and tagger_name != WORDS_ALONE else None
    with processes.process_group():
        dataset, own = _open(options)
        nouns, captions = None, ()
        if config.has_nouns:
            nouns = NounFinder(tagger=tagger, vocabulary=vocabulary or own)
            captions = _captions(dataset, options.captions)
        network = _network(options)
        config = replace(config, regions=regions_for(options, own_regions(network)))
        with resumable(options.out), progress("Mining") as bar:
            pairs = mine(
                network,
                dataset,
                config,
                options.out,
                captions=captions,
                nouns=nouns,
                workers=options.workers,
                resume=options.resume,
                overwrite=options.overwrite,
                report=bar,
            )
        status = FINE
        if processes.rank() == 0:
            found = write_sheet(pairs, options.out, seed=options.seed)
            _tell(found, pairs, options.out)
            status = FLAWED if found.unreadable else FINE
        processes.gather(None)  # torchrun stops all others as soon as one ends with a status
        return status


def _network(options: MineOptions) -> OpenVocabularySegmenter:
    """What proposes, with the CLIP that pairs."""
    network = load(options.model, device=options.device).network
    if options.clip is None:
        return network
    if not network.encodes_crops:
        raise ValueError(f"--clip is for models whose CLIP sees crops, not for {a(type(network))}: leave it out.")
    device = next(network.parameters()).device
    return with_clip(network, read_vit_clip(find_folder(options.clip))).to(device)


def _refuse_idle(options: MineOptions, config: MiningConfig) -> None:
    """Refuses options that would change nothing."""
    of_nouns = () if config.has_nouns else ("captions", "captions_per_picture", "words", "tagger")
    of_drawing = () if options.name == DRAWN else ("role", "count")
    for names, why in ((of_nouns, "labels are no nouns of captions"), (of_drawing, f"nothing but {DRAWN} is drawn")):
        if idle := given(options, *names):
            told = " and ".join(map(typed_name, idle))
            raise UsageError(f"{told} would change nothing, as {why}: leave it out.")


def _open(options: MineOptions) -> tuple[Dataset, Vocabulary | None]:
    """The data set under its words' names, and its words; a drawn one is written first, and read like any other."""
    name = options.name
    if name == DRAWN:
        if processes.rank() == 0:
            check_free(options.out, resume=options.resume, overwrite=options.overwrite)
        with progress("Drawing", options.count) as bar:
            dataset = draw_once(
                options.role or "base",
                options.out / "data",
                split=options.split or TRAIN,
                count=options.count or 200,
                seed=options.seed,
                overwrite=options.overwrite,
                workers=options.workers,
                report=bar,
            )
        return _first(dataset, options.limit), ALL
    split = options.split or (TRAIN if name in CATALOGUE and TRAIN in CATALOGUE[name].splits else None)
    usual = None if name in CATALOGUE else TRAIN
    dataset = _first(open_known(name, options.root, split, usual=usual, drawn=DRAWN), options.limit)
    if not dataset.categories:
        return dataset, None
    vocabulary = vocabulary_of(name, dataset)
    name_of = concept_names(dataset.categories, vocabulary)
    categories = tuple(replace(category, name=name_of[category.name]) for category in dataset.categories)
    return replace(dataset, categories=categories), vocabulary


def _first(dataset: Dataset, limit: int | None) -> Dataset:
    return replace(dataset, samples=dataset.samples[:limit])


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
