"""Fine-tunes the shipped OPSNet on a few scenes of names that it never saw, and tells what it gained and lost.

Usage: python tools/finetune.py --out DIR [--names 12] [--invented] [--scenes 40] [--seeds 0] [--recipe finetune]

Scenes are composed of unseen names of role novel: all of them, or every n-th. Nothing else in them is annotated. With
--invented they go by made-up or rare words, which neither CLIP nor the segmenter has ever read. `lexiseg train RECIPE`
learns from the scenes, holding out what it chooses its best state by, with drawn old data mixed in. Before and after,
PQ is taken on 100 other scenes of the names (split test), once, and on the 200 of `base`.

A seed decides scenes, old data aside, and training. DIR/SEED holds the run and figures.json; a seed whose figures are
there is not run again. Minutes are those of `train`, with what it measures on the way; of an interrupted run, its last.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lexiseg import load_model
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import vocabulary_categories
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model
from lexiseg.storybook.choices import Split
from lexiseg.storybook.export import StorybookSpec, add_scene, write_storybook
from lexiseg.storybook.roles import BASE, NOVEL, ROLE_CONTENTS, UNSEEN, RoleContents
from lexiseg.storybook.scene import compose, generator
from lexiseg.training.launch import Reporters, TrainSettings, find_recipe, train

SIZE = (160, 160)
TEST_SCENES, BASE_SCENES = 100, 200
NOBODYS_WORDS = """
    blicket dax wug fep toma zib lorp modi gazzer tulver pilk vash quindle brano skeel norp jick hask fendle corm yazoo
    prell dobbin thorg lumet kessil raff umbo jorl ventch sprog mizzle plonk
""".split()  # noqa: SIM905, a list would take a line for each
"""As studies of how children learn words use them."""
COLUMNS = ("new names: before", "after", "base: before", "after", "minutes")


def main() -> None:
    """Runs every seed that has no figures yet, and prints them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--names", type=int, default=12, choices=range(1, len(UNSEEN) + 1), metavar="N")
    parser.add_argument("--invented", action="store_true")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0])
    parser.add_argument("--recipe", default="finetune", help="or path/to/file.py:function")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--split", choices=("val", "test"), default="test", help="val: to choose a recipe by")
    given = parser.parse_args()
    rows = [figures_of(seed, given) for seed in given.seeds]
    print(f"| seed | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
    for seed, row in zip(given.seeds, rows, strict=True):
        print(f"| {seed} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    if len(rows) > 1:
        cells = (
            f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}" for values in zip(*rows, strict=True)
        )
        print("| mean | " + " | ".join(cells) + " |")


def figures_of(seed: int, given: argparse.Namespace) -> Sequence[float]:
    """The `COLUMNS` of one seed, PQs in percent; trained and measured if it was not yet.

    Raises:
        SystemExit: if the folder holds figures of something else.
    """
    out = given.out / str(seed)
    asked = {name: value for name, value in vars(given).items() if name not in ("out", "seeds")}
    asked["recipe"] = to_jsonable(find_recipe(given.recipe, seed=seed))
    if (out / "figures.json").is_file():
        known = json.loads((out / "figures.json").read_text())
        if known["asked"] != asked:
            raise SystemExit(f"{out} holds figures of another recipe, other names or scenes: choose another --out.")
        return known["figures"]
    chosen = tuple(UNSEEN[place * len(UNSEEN) // given.names] for place in range(given.names))
    words = Vocabulary(concepts=tuple(c for c in NOVEL.concepts if c.name in chosen), templates=NOVEL.templates)
    if given.invented:
        invented = zip(words.concepts, NOBODYS_WORDS, strict=False)
        words = replace(words, concepts=tuple(replace(c, name=word, synonyms=()) for c, word in invented))
    compose_scenes(chosen, words, "train", given.scenes, seed, out / "mine")
    test = compose_scenes(chosen, words, given.split, TEST_SCENES, seed, out / given.split)
    base = write_storybook(
        StorybookSpec(role="base", split=given.split, count=BASE_SCENES), out / "base", overwrite=True
    )
    start = find_model("storybook")
    before = _pq(start, test, words), _pq(start, base, BASE)
    began = time.monotonic()
    settings = TrainSettings(
        out=out / "run",
        start=start,
        data=(out / "mine",),
        vocabulary=words,
        old_data=Path("storybook"),
        seed=seed,
        steps=given.steps,
        resume=True,
    )
    folder = train(given.recipe, settings, Reporters(note=print))
    minutes = (time.monotonic() - began) / 60
    after = _pq(folder, test, words), _pq(folder, base, BASE)
    figures = before[0], after[0], before[1], after[1], minutes
    (out / "figures.json").write_text(json.dumps({"asked": asked, "figures": figures}, indent=1) + "\n")
    return figures


def compose_scenes(
    names: tuple[str, ...], words: Vocabulary, split: Split, count: int, seed: int, folder: Path
) -> Dataset:
    """Scenes whose things are these names alone, among the stuff of role novel; `words` are what they are called."""
    order = StorybookSpec(role="novel", split=split, count=count, seed=seed, size=SIZE, vocabulary=words)
    categories = vocabulary_categories(words)
    numbers = {category.name: category.id for category in categories}
    chosen = [concept for concept in NOVEL.concepts if concept.name in names]
    cast = RoleContents(
        vocabulary=words,
        things=tuple(concept.name for concept in chosen if concept.is_thing),
        stuff=ROLE_CONTENTS["novel"].stuff,
        names={concept.name: word for concept, word in zip(chosen, words.names, strict=True)},
    )
    with PanopticWriter(folder, categories, overwrite=True) as writer:
        for index in range(count):
            rng = generator("novel", split, seed, index)
            scene = compose(rng, cast, SIZE, num_things=int(rng.integers(3, 8)))
            add_scene(writer, index, scene, cast, numbers, order)
    return read_panoptic(folder)


def _pq(folder: Path, data: Dataset, words: Vocabulary) -> float:
    return 100 * evaluate_dataset(load_model(folder), data, words, EvaluationSettings()).quality.all.pq


if __name__ == "__main__":
    main()
