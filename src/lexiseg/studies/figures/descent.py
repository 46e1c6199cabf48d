"""Figure 5: paths of segments down a tree of categories, and how often they are right down to each level."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.core.structures import Guess
from lexiseg.core.taxonomy import taxonomy
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.hierarchy import Way, hierarchy_accuracy
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess.hierarchy import NameTree, descend
from lexiseg.studies.figures.charts import Bars, chart
from lexiseg.studies.figures.drawing import SERIES, Drawing
from lexiseg.studies.figures.examples import is_worth_showing, most_telling, picture_row, shown_share
from lexiseg.studies.figures.picture_rows import Line, Note, PictureRow, picture_rows
from lexiseg.studies.figures.segments import look, show_all
from lexiseg.studies.verdicts import jackknife, with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures

WAYS: Mapping[str, Way] = {  # by means: an experiment, as if a CLIP had read the names of inner nodes
    "Figure 5: names of nodes": "names",
    "Figure 5: means of concepts": "means",
    "Figure 5: sums of concepts": "sums",
    "Figure 5: best single name": "best",
}
ARMS = tuple(WAYS)
BY_NAMES, BY_MEANS, _, BEST = ARMS
LEVELS = ("level 1", "level 2", "level 3", "name")
"""Of a path; level 1 is thing or stuff."""


def count(
    model: OPSNet, dataset: Dataset, vocabulary: Vocabulary, cache_dir: Path
) -> list[Counter[tuple[str, str, bool]]]:
    """How often paths of the model's own masks are right: by arm and level, for each block of pictures."""
    blocks: list[Counter[tuple[str, str, bool]]] = []
    samples = dataset.samples
    for block in range(min(MOST_BLOCKS, len(samples))):
        part = replace(dataset, samples=samples[block::MOST_BLOCKS])
        found = hierarchy_accuracy(model, part, vocabulary, EvaluationSettings(cache_dir=cache_dir))
        counts = Counter[tuple[str, str, bool]]()
        for arm, way in WAYS.items():
            for name in LEVELS:
                level = found.of("predicted", way, None if name == "name" else int(name[-1]))
                counts[arm, name, True] = level.correct
                counts[arm, name, False] = level.count - level.correct
        blocks.append(counts)
    return blocks


def shares(counts: Counter[tuple[str, str, bool]], arm: str, data: str) -> dict[str, float]:
    """One arm's figures in percent."""
    totals = {level: counts[arm, level, True] + counts[arm, level, False] for level in LEVELS}
    return {f"{data} {level}": 100 * counts[arm, level, True] / max(1, total) for level, total in totals.items()}


def measure(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    pictures: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, int],
) -> Any:
    """Figure 5 of all data sets: the act of a unit.

    Args:
        files: where units leave files.
        out: for the pictures, and remembered text embeddings.
        model: of `World.model_settings`.
        pictures: for each data set those of `Pictures.settings`.
        rows: pictures of each data set that the figure shows.
    """
    network = load_network(files, model, OPSNet)
    arms: dict[str, dict[str, Any]] = {arm: {} for arm in WAYS}
    shown: list[PictureRow] = []
    for data, settings in pictures.items():
        dataset, vocabulary = open_pictures(files, settings)
        matched, category_ids = match_vocabulary(dataset.categories, vocabulary)
        blocks = count(network, dataset, matched, out / "text")
        for arm, found in arms.items():
            found |= with_blocks(blocks, lambda total, arm=arm, data=data: shares(total, arm, data))
        shown += examples(network, dataset, matched, category_ids, rows.get(data, 0), data)
    names = [
        *draw_paths(shown).write(out / "figure-5"),
        *draw_levels(arms, tuple(pictures)).write(out / "figure-5-levels"),
    ]
    return {"arms": arms, "pictures": names}


def examples(
    model: OPSNet, dataset: Dataset, vocabulary: Vocabulary, category_ids: Sequence[int], number: int, data: str
) -> list[PictureRow]:
    """Rows of the figure: the first pictures in which the model has masks of three segments.

    Two of them are shown, the largest thing and the largest stuff where there are both, each with two paths.
    """
    rows: list[PictureRow] = []
    if not number:
        return rows
    tree, root = NameTree.of(vocabulary), taxonomy(vocabulary)
    words = model.embed_vocabulary(vocabulary, negatives=False)
    nodes = words.followed_by(model.embed_vocabulary(tree.nodes, negatives=False))
    true_path = {
        category_id: (*concept.path, concept.name)
        for category_id, concept in zip(category_ids, vocabulary.concepts, strict=True)
    }
    is_thing = {category.id: category.is_thing for category in dataset.categories}
    fusion = model.config.fusion
    for shown in show_all(dataset):
        seen = look(model, shown)
        if not is_worth_showing(seen, is_drawn=False):
            continue
        largest = most_telling(seen, len(shown.segments))
        things = [place for place in largest if is_thing[shown.segments[place].category_id]]
        stuff = [place for place in largest if place not in things]
        chosen = [*things[:1], *stuff[:1]] if things and stuff else largest[:2]
        queries = [query for place in chosen if (query := seen.queries[place]) is not None]
        by_names = tree.descents(nodes, lambda some, seen=seen: model.predict(seen.own, some, fusion))(0)(queries)
        probs = model.predict(seen.own, words, fusion).class_logits[0, queries].softmax(-1)
        by_sums = [descend(row, root, vocabulary.names) for row in probs]
        notes: list[Note] = []
        for place, *paths in zip(chosen, by_names, by_sums, strict=True):
            true = true_path[shown.segments[place].category_id]
            number_of = len(notes) // 2
            notes += [
                _note(path, true, number_of, aside) for path, aside in zip(paths, ("by names", "by sums"), strict=True)
            ]
        rows.append(picture_row(seen, chosen, tuple(notes), f"{data}, test picture {shown.number}"))
        if len(rows) == number:
            break
    return rows


def _note(path: Sequence[Guess], true: tuple[str, ...], number: int, aside: str) -> Note:
    """A path, each step with its probability among siblings."""
    lines = tuple(
        Line(
            words=step.name,
            value=shown_share(step.score),
            share=step.score,
            colour=SERIES[number],
            is_right=true[:depth] == tuple(one.name for one in path[:depth]),
            depth=depth - 1,
        )
        for depth, step in enumerate(path, start=1)
    )
    return Note(heading=true[-1], number=str(number + 1), colour=SERIES[number], aside=aside, lines=lines)


def draw_paths(rows: Sequence[PictureRow]) -> Drawing:
    """Pictures with paths."""
    return picture_rows(
        "Down the tree, level by level",
        rows,
        says="By names, as the paper descends: every step compares the segment with the names of a node's children. "
        "By sums: a node has the probabilities of all words below it. Green dots: right so far.",
        source='Figure 5 of OPSNet, by lexiseg reproduce "Figure 5": the first test pictures with masks of three '
        "segments.",
    )


def draw_levels(arms: Mapping[str, Mapping[str, Any]], data: Sequence[str]) -> Drawing:
    """How often paths are right down to each level."""
    short = {arm: arm.partition(": ")[2] for arm in arms}
    panels = [
        Bars(
            groups=LEVELS,
            series={short[arm]: [found[f"{one} {level}"]["value"] for level in LEVELS] for arm, found in arms.items()},
            errors={
                short[arm]: [jackknife(found[f"{one} {level}"]["blocks"] or [0.0]) for level in LEVELS]
                for arm, found in arms.items()
            },
            title=one,
            y_label="right down to the level, %",
        )
        for one in data
    ]
    return chart(
        "Paths that are right down to each level",
        panels,
        panel_height=190,
        says="Of segments of which the model has a mask. Level 1 is thing or stuff, then come kinds, and last the "
        "name.",
        source='By lexiseg reproduce "Figure 5"; bars: standard error over pictures.',
    )
