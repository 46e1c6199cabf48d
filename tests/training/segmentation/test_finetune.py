"""Fine-tuning learns new words, keeps the old ones, and says what both cost."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

import tiny
from lexiseg.core.errors import UsageError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import vocabulary_for
from lexiseg.data.dataset import Category
from lexiseg.data.datasets.own_folder import open_folder
from lexiseg.evaluation.inputs import open_data
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model, save_model
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, overridden
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.validation import Validation
from lexiseg.training.launch import check, train
from lexiseg.training.recipes.finetuning import finetune as finetune_recipe
from lexiseg.training.recipes.finetuning import finetune_head
from lexiseg.training.segmentation import finetune_run as finetune_runs
from lexiseg.training.segmentation.finetune import FinetuneData, finetune_task, join_vocabularies, split
from miniatures import put_grey, put_picture, put_text, rows

NEW = "owl, castle, dog, snow:stuff"


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of a person's own."""
    root = tmp_path_factory.mktemp("mine") / "data"
    write_storybook(
        StorybookSpec(role="novel", split="train", count=10, size=(64, 64), vocabulary=Vocabulary.of(NEW)), root
    )
    return root


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of what the tiny models know."""
    root = tmp_path_factory.mktemp("old") / "data"
    known = Vocabulary.of("cat, dog, sky:stuff, grass:stuff")
    write_storybook(StorybookSpec(role="base", split="train", count=6, size=(64, 64), vocabulary=known), root)
    return root


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation is better than the one before, so that an untrained model's run comes to its end."""
    figures = iter(range(1, 1000))

    def evaluate_on(validation: Validation, network: object) -> Evaluation:
        return Evaluation(figures={"pq": next(figures) / 1000})

    monkeypatch.setattr("lexiseg.training.segmentation.task.evaluate_on", evaluate_on)
    monkeypatch.setattr(finetune_runs, "evaluate_on", evaluate_on)


def test_words_are_joined_by_any_name_and_old_ones_keep_place_kind_and_templates() -> None:
    old = Vocabulary.of("cat|kitten, sky:stuff, dog", ("a {}",))
    new = Vocabulary.of("owl, kitten|pussycat:stuff, Dog, snow:stuff")

    both = join_vocabularies(old, new)

    assert [concept.names for concept in both.concepts] == [
        ("cat", "kitten", "pussycat"),
        ("sky",),
        ("dog",),
        ("owl",),
        ("snow",),
    ]
    assert [concept.is_thing for concept in both.concepts] == [True, False, True, True, False]
    assert both.templates == ("a {}",)


def test_words_for_categories_come_from_the_vocabulary_or_are_their_names(mine: Path) -> None:
    categories = open_folder(mine).categories

    assert vocabulary_for(categories, None, ("{}",)).names == ("owl", "castle", "dog", "snow")
    named = vocabulary_for(categories, Vocabulary.of("fortress|castle, owl, cat, dog|puppy, snow"), ("{}",))
    assert named.names == ("owl", "fortress", "dog", "snow")
    with pytest.raises(ValueError, match="category 'snow' is none of the words"):
        vocabulary_for(categories, Vocabulary.of("owl, castle, dog"), ("{}",))
    with pytest.raises(ValueError, match="category 'dog' shares its word with another"):
        vocabulary_for(categories, Vocabulary.of("owl|dog, castle, snow"), ("{}",))
    with pytest.raises(ValueError, match="category 'Dog' shares its word with another"):
        vocabulary_for((*categories, Category(id=9, name="Dog", is_thing=True)), None, ("{}",))


def test_a_split_holds_out_its_share_and_loses_nothing(mine: Path) -> None:
    data = open_folder(mine)

    train_part, held_out = split(data, 0.2, 64, seed=3)

    names = [sample.file_name for part in (train_part, held_out) for sample in part.samples]
    assert (len(train_part.samples), len(held_out.samples)) == (8, 2)
    assert sorted(names) == sorted(sample.file_name for sample in data.samples)
    assert split(data, 0.2, 64, seed=3)[1] == held_out != split(data, 0.2, 64, seed=4)[1]
    assert [len(part.samples) for part in split(data, 1.0, 64, seed=0)] == [1, 9]
    assert [len(part.samples) for part in split(data, 0.5, 3, seed=0)] == [7, 3]
    with pytest.raises(ValueError, match="two or more, got 1: add some"):
        split(replace(data, samples=data.samples[:1]), 0.2, 64, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["opsnet", "ovseg"])
@pytest.mark.usefixtures("better")
def test_a_fine_tuned_model_knows_both_vocabularies_and_its_clip_is_untouched(
    system: str, mine: Path, old: Path, tmp_path: Path
) -> None:
    start = save_model(tiny.model() if system == "opsnet" else tiny.ovseg(), tmp_path / "start")
    told: list[str] = []
    settings = TrainSettings(
        out=tmp_path / "run", start=start, data=(mine,), old_data=old, steps=4, batch_size=4, workers=0
    )

    made = load_model(train("finetune", settings, Reporters(note=told.append)))

    before, after = load_model(start), load_model(settings.out / "model")
    words = after.config.training_vocabulary
    assert words.names in (tiny.TRAINING.names, (*tiny.TRAINING.names, "owl", "castle", "snow"))
    assert tiny.same(tiny.state(before.clip), tiny.state(made.clip))
    assert not tiny.same(tiny.state(before.head), tiny.state(made.head))
    assert not tiny.same(tiny.state(before.segmenter), tiny.state(made.segmenter))
    outcome = json.loads((settings.out / "finetune.json").read_text())
    assert outcome["before"] < outcome["after"]
    assert outcome["old_before"] < outcome["old_after"]
    assert "before" in told[-1]


def figures_by_way(
    monkeypatch: pytest.MonkeyPatch,
    weight: Tensor,
    *,
    new: Callable[[float], float],
    old: Callable[[float], float],
) -> list[float]:
    """Lets figures depend on how far the head's weight went from where it was, as a share of its longest way.

    Returns:
        The ways of all evaluations after the training, as distances; it grows with them.
    """
    moves: list[float] = []

    def evaluate_on(validation: Validation, network: Any) -> Evaluation:
        moves.append((network.head.project.weight.detach() - weight).norm().item())
        way = moves[-1] / max(moves) if moves[-1] else 0.0
        figure = old if "cat" in validation.vocabulary.names else new
        return Evaluation(figures={"pq": figure(way)})

    monkeypatch.setattr("lexiseg.training.segmentation.task.evaluate_on", lambda *_: Evaluation(figures={"pq": 0.5}))
    monkeypatch.setattr(finetune_runs, "evaluate_on", evaluate_on)
    return moves


@pytest.mark.parametrize(("lost_at_the_end", "share"), [(0.019, 1.0), (0.055, 0.3), (0.5, 0.1)])
def test_weights_go_back_towards_the_start_until_old_words_lost_little_enough(
    lost_at_the_end: float, share: float, mine: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    weight = load_model(start).head.project.weight
    moves = figures_by_way(
        monkeypatch, weight, new=lambda way: 0.1 + 0.5 * way, old=lambda way: 0.6 - lost_at_the_end * way
    )
    settings = TrainSettings(
        out=tmp_path / "run", start=start, data=(mine,), old_data=old, steps=2, batch_size=2, workers=0
    )

    told: list[str] = []
    made = load_model(train("finetune-head", settings, Reporters(note=told.append)))

    assert sum("of the way the old words have" in sentence for sentence in told) == round(11 - 10 * share)
    assert (f" went {share:.0%} of the way" in told[-1]) == (share < 1)
    outcome = json.loads((settings.out / "finetune.json").read_text())
    assert outcome["share"] == share
    assert outcome["old_after"] == pytest.approx(0.6 - lost_at_the_end * share, abs=1e-3)
    moved = (made.head.project.weight.detach() - weight).norm().item()
    assert moved == pytest.approx(share * max(moves), rel=1e-2)


def test_a_gain_that_is_lost_on_the_way_back_is_told_as_that(
    mine: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    weight = load_model(start).head.project.weight
    figures_by_way(monkeypatch, weight, new=lambda way: float(way > 0.5), old=lambda way: 0.6 - 0.2 * way)
    settings = TrainSettings(
        out=tmp_path / "run", start=start, data=(mine,), old_data=old, steps=1, batch_size=2, workers=0
    )

    with pytest.raises(ValueError, match=r"what the new words gained is lost at 10% of the way.*mix in more old"):
        train("finetune-head", settings)


@pytest.mark.parametrize("system", ["opsnet", "ovseg"])
def test_things_of_new_pictures_are_pasted_into_old_ones_under_the_joined_words(
    system: str, mine: Path, old: Path
) -> None:
    model = tiny.model() if system == "opsnet" else tiny.ovseg()
    known = model.config.training_vocabulary
    old_data, new_data = open_folder(old), open_folder(mine)
    sources = [
        FinetuneData.of(data, vocabulary_for(data.categories, None, known.templates), finetune_recipe())
        for data in (new_data, old_data)
    ]

    def new_things(paste_share: float) -> int:
        recipe = replace(finetune_recipe(), paste_share=paste_share, old_share=1.0, batch_size=4)
        task = finetune_task(recipe, model, *sources, device="cpu", workers=0)
        words = model.config.training_vocabulary.names
        fresh = {words.index("owl"), words.index("castle")}
        seen = [target.class_ids.tolist() for batch in islice(task.batches(0), 4) for target in batch.targets]
        return sum(class_id in fresh for class_ids in seen for class_id in class_ids)

    assert new_things(0.0) == 0 < new_things(1.0)


@pytest.mark.parametrize(
    "wrong", [{"paste_share": 50.0}, {"old_tolerance": -0.1}, {"held_out_share": 2.0}, {"held_out_most": 0}]
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(finetune_recipe(), **wrong)


def test_held_out_pictures_that_show_nothing_are_said(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune_runs, "evaluate_on", lambda *_: Evaluation(figures={}))
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(mine,), steps=1, batch_size=2, workers=0)

    with pytest.raises(ValueError, match="held out show nothing to measure: add some, or take another --seed"):
        train("finetune", settings)


@pytest.mark.usefixtures("better")
def test_a_head_alone_leaves_masks_as_they_are(mine: Path, tmp_path: Path) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    told: list[str] = []
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(mine,), steps=2, batch_size=2, workers=0)

    made = load_model(train("finetune-head", settings, Reporters(note=told.append)))

    before = load_model(start)
    assert finetune_head().trains == "head"
    assert tiny.same(tiny.state(before.segmenter), tiny.state(made.segmenter))
    assert not tiny.same(tiny.state(before.head), tiny.state(made.head))
    assert "What it lost of its old words was not measured" in told[-1]


def test_a_run_that_gains_nothing_writes_no_model(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Evaluation(figures={"pq": 0.5})
    for module in ("segmentation.task", "segmentation.finetune_run"):
        monkeypatch.setattr(f"lexiseg.training.{module}.evaluate_on", lambda *_: same)
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(mine,), steps=1, batch_size=2, workers=0)

    with pytest.raises(ValueError, match="no state on the way was better"):
        train("finetune", settings)

    assert not (settings.out / "model").exists()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"start": None}, "goes on from a model"),
        ({"data": ()}, "learns from your own pictures"),
        ({"data": (Path("nowhere"),)}, "nowhere"),
        ({"vocabulary": Vocabulary.of("owl, castle, dog")}, "category 'snow' is none of the words"),
    ],
)
def test_what_is_missing_is_said(mine: Path, tmp_path: Path, changes: dict[str, object], part: str) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(mine,), steps=1, workers=0)

    with pytest.raises(ValueError, match=part) as caught:
        train("finetune", replace(settings, **changes))  # type: ignore[arg-type]

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def objects(tmp_path: Path) -> dict[str, Any]:
    """A COCO instance JSON of two pictures, not written yet; the second has a crowd alone."""
    images = [{"id": n, "file_name": f"{n}.png", "height": 64, "width": 64} for n in (1, 2)]
    for picture in images:
        Image.new("RGB", (64, 64)).save(tmp_path / picture["file_name"])
    square = {"segmentation": [[8, 8, 40, 8, 40, 40, 8, 40]], "bbox": [8, 8, 32, 32], "area": 1024, "category_id": 5}
    annotations = [{**square, "id": n, "image_id": n, "iscrowd": n - 1} for n in (1, 2)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "drill"}]}


def test_objects_of_coco_are_learned_from(objects: dict[str, Any], tmp_path: Path, better: None) -> None:
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    start = save_model(tiny.model(), tmp_path / "start")
    data = (tmp_path / "objects.json",)
    settings = TrainSettings(out=tmp_path / "run", start=start, data=data, steps=1, batch_size=2, workers=0)

    assert check("finetune", settings).problems == ()
    assert check("finetune", settings).notes == ("1 of 2 pictures have no object, or crowds alone, first 2.png.",)
    words = load_model(train("finetune", settings)).config.training_vocabulary
    assert words.names in (tiny.TRAINING.names, (*tiny.TRAINING.names, "drill"))


def test_crowds_are_learned_from_as_things_where_that_is_asked(objects: dict[str, Any], tmp_path: Path) -> None:
    for one in objects["annotations"]:
        one["iscrowd"] = 1
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(tmp_path / "objects.json",), workers=0)

    asked = check("finetune", replace(settings, crowds_as_things=True))

    assert "--crowds-as-things takes them for things" in check("finetune", settings).notes[0]
    assert (asked.problems, asked.notes) == ((), ())
    assert asked.census is not None
    assert asked.census.classes[0].objects == 2


def test_what_lies_in_val_is_not_learned_from(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("val", 2)):
        for number in range(count):
            put_picture(tmp_path / f"images/{name}/{number}.png")
            put_grey(tmp_path / f"labels/{name}/{number}.png", rows(0, 1))
    put_text(tmp_path / "classes.txt", "owl\nsky:stuff")
    start = save_model(tiny.model(), tmp_path / "start")

    found = check("finetune", TrainSettings(out=tmp_path / "run", start=start, data=(tmp_path,), workers=0))
    dataset, _ = open_data(tmp_path, None, None, None, drawn_in=tmp_path)

    assert found.num_pictures == 3
    assert {sample.image_path.parent.name for sample in dataset.samples} == {"val"}
    assert "train and val: train is taken" in found.notes[0]
    assert "train and val: val is taken" in dataset.notes[0]


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda d: d["images"].append({"id": 3, "file_name": "3.png", "height": 9, "width": 9}), "1 of 3 pictures are"),
        (lambda d: d["annotations"].pop(0), "none of the 2 pictures has an object that is no crowd"),
        (lambda d: d["images"][0].update(height=90), "the picture is 64 x 64 pixels, its annotation 64 x 90"),
        (lambda d: d.update(images=[], annotations=[]), "there are no pictures"),
    ],
)
def test_what_is_wrong_with_objects_is_said_before_the_first_step(
    objects: dict[str, Any], tmp_path: Path, spoil: Callable[[dict[str, Any]], object], part: str
) -> None:
    spoil(objects)
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(tmp_path / "objects.json",), workers=0)

    (problem,) = check("finetune", settings).problems

    assert part in problem
    with pytest.raises(ValueError, match=re.escape(problem)):
        train("finetune", settings)


def test_label_maps_and_id_maps_are_checked_too(mine: Path, tmp_path: Path) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    copy = shutil.copytree(mine, tmp_path / "copy")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(copy,), workers=0)
    assert check("finetune", settings).problems == ()

    next((copy / "images").glob("*.png")).unlink()

    assert "1 of 10 pictures are missing" in check("finetune", settings).problems[0]


def test_an_assembled_model_is_refused(mine: Path, tmp_path: Path) -> None:
    start = save_model(tiny.model(is_assembled=True), tmp_path / "start")

    with pytest.raises(ValueError, match="assembled model"):
        train("finetune", TrainSettings(out=tmp_path / "run", start=start, data=(mine,), workers=0))


def test_old_and_new_figures_stand_side_by_side_under_their_mean() -> None:
    both = Evaluation(figures={"pq": 0.2, "sq": 0.5}).beside(Evaluation(figures={"pq": 0.6}))

    assert list(both.figures.items()) == [("new and old", 0.4), ("pq", 0.2), ("sq", 0.5), ("old pq", 0.6)]


@pytest.mark.parametrize("has_old", [True, False])
def test_what_is_measured_on_the_way_is_told_as_it_is_measured(
    has_old: bool, mine: Path, old: Path, tmp_path: Path, better: None
) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    told: list[str] = []
    given = {"old_data": old, "keep": 100.0} if has_old else {}
    settings = TrainSettings(
        out=tmp_path / "run", start=start, data=(mine,), steps=2, batch_size=2, workers=0, device="cpu", **given
    )

    train("finetune", settings, Reporters(note=told.append, measured=lambda step, now: told.append(f"{step}: {now}")))

    figures = r"PQ \d+\.\d on held-out pictures" + (r", \d+\.\d on those of the old data" if has_old else "")
    begun = next(place for place, line in enumerate(told) if re.fullmatch(f"Before the first step: {figures}.", line))
    assert [re.fullmatch(f"{step}: {figures}", told[begun + step]) is None for step in (1, 2)] == [False, False]
    assert any("No old data are given (--old-data)" in line for line in told[:begun]) == (not has_old)


def test_how_much_of_the_old_may_be_lost_is_an_option(mine: Path, old: Path, tmp_path: Path) -> None:
    start = save_model(tiny.model(), tmp_path / "start")
    settings = TrainSettings(out=tmp_path / "run", start=start, data=(mine,), workers=0, keep=7.0)

    assert overridden(finetune_recipe(), settings).old_tolerance == pytest.approx(0.07)
    with pytest.raises(UsageError, match="none are given: name some with --old-data"):
        train("finetune", settings)
    for keep in (0.0, 7.0):
        with pytest.raises(UsageError, match="no use for keep"):
            train("mask2former-tiny", replace(settings, start=None, keep=keep))


def test_a_check_tells_of_classes_of_the_split_and_of_the_side_at_which_the_model_looks(
    mine: Path, objects: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    settings = TrainSettings(out=tmp_path / "run", start=find_model("storybook"), data=(mine,), seed=3)

    found = check("finetune", settings)
    by_objects = check("finetune", replace(settings, data=(tmp_path / "objects.json",)))

    segments = [s for sample in open_folder(mine).samples for s in sample.segments or () if not s.is_crowd]
    assert found.census is not None
    assert sum(one.objects for one in found.census.classes) == len(segments)
    assert {one.name for one in found.census.classes} == {"owl", "castle", "dog", "snow"}
    assert "8 pictures are learned from; 2 are held out" in found.facts[0]
    assert "--seed 3 decides" in found.facts[0]
    assert "longer side is 160 pixels; that of these is 64 (median)" in found.facts[1]
    assert by_objects.census is not None
    assert [(one.name, one.objects, one.pictures) for one in by_objects.census.classes] == [("drill", 1, 2)]
    assert any("never read drill" in note for note in by_objects.notes)
