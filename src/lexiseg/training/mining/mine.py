"""Pairs of masked crops and words, mined from a whole data set (OVSeg, section 3.2): in shards, resumable, shared."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from lexiseg.core import processes
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.dataset import Dataset
from lexiseg.data.pairs.format import PairDataset, PairRecord
from lexiseg.data.pairs.writer import PairWriter
from lexiseg.encoders.text import embed_names
from lexiseg.evaluation.loading import Skipped, open_all
from lexiseg.evaluation.plan import inference
from lexiseg.evaluation.report import installed_versions
from lexiseg.evaluation.shards import digest
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig
from lexiseg.training.mining.pairing import MiningConfig, opener, pairs_of

__all__ = ["MiningConfig", "mine"]

NAMES_AT_ONCE = 256
"""Nouns that are encoded together: blocks of the whole list, so that neither the number of processes nor an
interruption changes a digit."""

ResultT = TypeVar("ResultT")


def mine(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    config: MiningConfig,
    out: Path,
    *,
    captions: Sequence[tuple[str, ...]] = (),
    nouns: NounFinder | None = None,
    workers: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> PairDataset:
    """Makes a folder of pairs from a data set.

    The pictures are taken in shards; under torchrun each process takes every n-th of them. The bytes are those of a
    single process that computes with as many threads. Pictures that can't be read are left out, and `about` of the
    pairs names them.

    Args:
        model: proposes masks, and carries the CLIP that pairs. Prompts take no part: as long as its image tower was
            not fine-tuned, this is the original CLIP.
        dataset: pictures; for true masks, with panoptic or semantic annotations.
        config: where regions and words come from.
        out: folder of the pairs.
        captions: of each picture; for nouns.
        nouns: finds them in captions.
        workers: processes that read pictures ahead; 0 reads them in this one.
        resume: goes on with what an interrupted call left in `out`.
        overwrite: replaces earlier pairs in `out`.
        report: called after every picture with the pictures done and their number (of this process).

    Raises:
        ValueError: if masks, captions or nouns are missing that the source needs, no picture can be read, or `out`
            holds other pairs or can't be written.
    """
    config = replace(config, regions=config.regions or own_regions(model))
    picture_nouns = _nouns_of_pictures(dataset, captions, nouns, config)
    writer = PairWriter(out, crop_size=model.clip.config.image_size, plan=_plan(model, dataset, picture_nouns, config))
    is_finished = _in_first_process(lambda: writer.begin(resume=resume, overwrite=overwrite))
    if not is_finished:
        starts = range(0, len(picture_nouns), config.shard_size)
        shards = [range(start, min(start + config.shard_size, len(picture_nouns))) for start in starts]
        with inference(model):
            _write_own(model, dataset, picture_nouns, config, writer, shards, workers, report)
        processes.gather(None)  # every shard is there before the index is made
        _in_first_process(lambda: writer.close(len(shards)))
    pairs = PairDataset(out)
    unread = [skipped for about in pairs.about for skipped in about["skipped"]]
    if len(unread) == len(picture_nouns):
        raise ValueError(f"none of the {len(unread)} pictures can be read; the first: {unread[0]['reason']}")
    return pairs


def own_regions(model: OpenVocabularySegmenter) -> RegionConfig:
    """How a model cuts its crops; the papers' way for an OPSNet, which cuts none."""
    return model.regions or RegionConfig()


def _nouns_of_pictures(
    dataset: Dataset, captions: Sequence[tuple[str, ...]], nouns: NounFinder | None, config: MiningConfig
) -> list[tuple[str, ...]]:
    """The nouns of every picture, found by all processes together; none for labels."""
    if not dataset.samples:
        raise ValueError("the data set holds no pictures: name one that does.")
    if not config.has_nouns:
        return [()] * len(dataset.samples)
    if nouns is None or len(captions) != len(dataset.samples):
        raise ValueError(
            f"the source {config.source} needs captions of {len(dataset.samples)} pictures and a finder of nouns, got "
            f"captions of {len(captions)}."
        )
    picture_nouns = processes.share(captions, lambda texts: nouns.of_all(texts[: config.captions]))
    if not any(picture_nouns):
        raise ValueError("the captions hold no noun: check that they are English, or give a list of words to look for.")
    return picture_nouns


def _write_own(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    picture_nouns: Sequence[tuple[str, ...]],
    config: MiningConfig,
    writer: PairWriter,
    shards: Sequence[range],
    workers: int,
    report: Callable[[int, int], None],
) -> None:
    """Writes those of this process's shards that are not there, or that lacked a picture then."""
    distinct = sorted({word for found in picture_nouns for word in found})
    text_embed, row_of = _encode(model, distinct, config), {word: row for row, word in enumerate(distinct)}
    mine = list(enumerate(shards))[processes.rank() :: processes.world_size()]
    todo = [
        (number, places) for number, places in mine if (about := writer.finished(number)) is None or about["skipped"]
    ]
    wanted = {place for _, places in todo for place in places if picture_nouns[place] or not config.has_nouns}
    samples = [dataset.samples[place] for _, places in todo for place in places if place in wanted]
    opened = open_all(opener(dataset, config), samples, workers=workers)
    done, total = 0, sum(len(places) for _, places in todo)
    for number, places in todo:
        records: list[PairRecord] = []
        skipped: list[Skipped] = []
        with_pairs = 0
        for place in places:
            one = next(opened) if place in wanted else None
            if isinstance(one, Skipped):
                skipped.append(one)
            elif one is not None:
                rows = [row_of[word] for word in picture_nouns[place]]
                found = pairs_of(model, one, picture_nouns[place], text_embed[rows], config)
                with_pairs += bool(found)
                records += found
            done += 1
            report(done, total)
        about = {"pictures": len(places), "with_pairs": with_pairs, "skipped": to_jsonable(tuple(skipped))}
        writer.write(number, records, about)


def _encode(model: OpenVocabularySegmenter, words: Sequence[str], config: MiningConfig) -> Float[Tensor, "N D"]:
    """Embeds every word once, by all processes together."""
    blocks = [words[start : start + NAMES_AT_ONCE] for start in range(0, len(words), NAMES_AT_ONCE)]
    embeds = processes.share(blocks, lambda block: embed_names(model.clip, block, config.templates).numpy())
    return torch.cat([torch.from_numpy(e) for e in embeds]) if embeds else torch.zeros(0, model.clip.config.embed_dim)


def _plan(
    model: OpenVocabularySegmenter, dataset: Dataset, picture_nouns: Sequence[tuple[str, ...]], config: MiningConfig
) -> dict[str, Any]:
    """All that decides the bytes of the pairs."""
    parameter = next(model.parameters())
    identities = [
        json.dumps([sample.file_name, sample.file_sizes(), repr(sample.segments), found])
        for sample, found in zip(dataset.samples, picture_nouns, strict=True)
    ]
    categories = [(category.id, category.name) for category in dataset.categories]
    return {
        "config": to_jsonable(config),
        "weights": weights_hash(model.state_dict()),
        "samples": [len(identities), digest(identities)],
        "categories": digest([repr(category) for category in categories]),
        "versions": installed_versions(),
        "device": str(parameter.device),
        "dtype": str(parameter.dtype),
    }


def _in_first_process(act: Callable[[], ResultT]) -> ResultT:
    """Acts in the first process alone; every process gets the result, or raises the error."""
    result: Any = None
    if processes.rank() == 0:
        try:
            result = act()
        except ValueError as error:
            result = error
    result = processes.gather(result)[0]
    if isinstance(result, ValueError):
        raise result
    return result
