"""Mining: each noun takes the crop that CLIP finds most like it, whoever does the work and however often it stops."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tiny
from lexiseg.core.batches import to_image_batch
from lexiseg.core.images import open_picture
from lexiseg.core.structures import MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.dataset import Dataset, Sample
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.data.id_maps import load_ids
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.text import embed_names
from lexiseg.io.models import load_model, save_model
from lexiseg.models.crops import RegionConfig, cut_regions
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.mining import mine as mining
from lexiseg.training.mining.mine import MiningConfig
from miniatures import put_grey, put_picture, rows

SIZE = 64
PICTURES = 5
NOUNS = NounFinder(vocabulary=Vocabulary.of("storybook-all"))
FEW = MiningConfig(templates=("a photo of a {}.",), shard_size=2)

# What a process of its own runs.
SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from lexiseg.core import processes
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.io.models import load_model
from lexiseg.training.mining.mine import MiningConfig, mine
root = Path(sys.argv[1])
dataset, nouns = read_panoptic(root / "data"), NounFinder(vocabulary=Vocabulary.of("storybook-all"))
config = MiningConfig(templates=("a photo of a {}.",), shard_size=2)
with processes.process_group():
    captions = tuple(sample.captions for sample in dataset.samples)
    mine(load_model(root / "model"), dataset, config, root / "shared", captions=captions, nouns=nouns)
"""


class StoppedError(Exception):
    """What an interruption raises here."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn pictures, and a model folder."""
    folder = tmp_path_factory.mktemp("mining")
    write_storybook(StorybookSpec(role="base", split="train", count=PICTURES, size=(SIZE, SIZE)), folder / "data")
    save_model(network(), folder / "model")
    return folder


class Corners(torch.nn.Module):
    """Proposes four overlapping corners and an empty mask: random weights propose everything or nothing."""

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        height, width = pixel_values.shape[-2] // 4, pixel_values.shape[-1] // 4
        mask_logits = torch.full((len(pixel_values), 5, height, width), -9.0)
        for query, (top, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            rows = slice(top * height // 3, (top + 2) * height // 3)
            columns = slice(left * width // 3, (left + 2) * width // 3)
            mask_logits[:, query + 1, rows, columns] = 9.0
        return MaskProposals(mask_logits=mask_logits, query_embed=torch.zeros(len(pixel_values), 5, 32))


def network(**changes: Any) -> OVSeg:
    return tiny.ovseg(longest_side=SIZE, **changes)


@pytest.fixture(scope="module")
def model() -> OVSeg:
    made = network()
    made.segmenter = Corners()  # type: ignore[assignment]
    return made


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return read_panoptic(root / "data")


@pytest.fixture
def mine(model: OVSeg, dataset: Dataset, tmp_path: Path) -> Callable[..., PairDataset]:
    """Mines the five pictures with their own captions."""

    def _mine(config: MiningConfig = FEW, out: str = "pairs", **changes: Any) -> PairDataset:
        how = {"captions": tuple(sample.captions for sample in dataset.samples), "nouns": NOUNS} | changes
        return mining.mine(how.pop("model", model), how.pop("dataset", dataset), config, tmp_path / out, **how)

    return _mine


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@torch.no_grad()
def test_each_noun_takes_the_crop_that_plain_clip_finds_most_like_it(
    mine: Callable[..., PairDataset], model: OVSeg, dataset: Dataset
) -> None:
    pairs = mine()

    found = iter(pairs[index] for index in range(len(pairs)))
    chosen = set()
    for sample in dataset.samples:
        images = to_image_batch([open_picture(sample.image_path)], longest=SIZE)
        (crops,) = cut_regions(images, model.propose(images).mask_logits, model.config.regions, pairs.crop_size)
        seen = F.normalize(model.clip.encode_image(crops.pixel_values), dim=-1)
        for noun in NOUNS(sample.extras["captions"][0]):
            cosines = seen @ embed_names(model.clip, [noun], FEW.templates)[0]
            best, record = int(cosines.argmax()), next(found)
            assert (record.word, record.picture) == (noun, sample.file_name)
            assert record.score == pytest.approx(float(cosines[best]), abs=1e-5)
            assert record.source == "proposals, nouns of 1 caption"
            expected = crops.pixel_values[best].clamp(0, 1).permute(1, 2, 0).numpy()
            assert np.abs(record.crop / 255 - expected).max() <= 0.5 / 255 + 1e-6
            assert np.array_equal(record.mask, crops.masks[best].numpy())
            chosen.add((record.picture, best))
    assert next(found, None) is None
    assert len(chosen) > PICTURES  # the choice is one


def test_labels_name_every_true_segment_but_crowds(mine: Callable[..., PairDataset], dataset: Dataset) -> None:
    first, *others = dataset.samples
    crowded = replace(first, segments=(replace(first.segments[0], is_crowd=True), *first.segments[1:]))

    pairs = mine(
        replace(FEW, source="labels"),
        dataset=replace(dataset, samples=(crowded, *others)),
        captions=(),
        nouns=None,
    )

    names = {category.id: category.name for category in dataset.categories}
    expected = [
        (sample.file_name, names[segment.category_id], segment.box)
        for sample in (crowded, *others)
        for segment in sample.segments
        if not segment.is_crowd
    ]
    records = [pairs[index] for index in range(len(pairs))]
    assert [(record.picture, record.word, record.box) for record in records] == expected
    assert {record.score for record in records} == {None}
    assert {record.source for record in records} == {"true masks, labels"}


def test_a_true_masks_crop_shows_its_segment_and_nothing_else(
    mine: Callable[..., PairDataset], dataset: Dataset
) -> None:
    pairs = mine(replace(FEW, source="labels", regions=RegionConfig(fill="zero")), captions=(), nouns=None)

    segment = dataset.samples[0].segments[-1]
    record = pairs[len(dataset.samples[0].segments) - 1]
    x, y, width, height = segment.box
    inside = load_ids(dataset.samples[0].mask_path)[y : y + height, x : x + width] == segment.id
    assert record.mask.mean() == pytest.approx(inside.mean(), abs=0.1)
    assert record.crop[~record.mask].mean() < 0.2 * record.crop[record.mask].mean()


def test_nouns_can_be_paired_with_true_masks(mine: Callable[..., PairDataset], dataset: Dataset) -> None:
    pairs = mine(replace(FEW, source="true-masks"))

    boxes = {(sample.file_name, segment.box) for sample in dataset.samples for segment in sample.segments}
    assert len(pairs) == len(mine(out="proposals"))
    assert all((pairs[index].picture, pairs[index].box) in boxes for index in range(len(pairs)))


def test_of_a_semantic_map_all_pixels_of_a_class_are_one_region(model: OVSeg, tmp_path: Path) -> None:
    put_picture(tmp_path / "1.png", height=SIZE, width=SIZE)
    put_grey(tmp_path / "labels.png", rows(7, 255, 9, 7, height=SIZE, width=SIZE))
    categories = tiny_categories("sky", "grass")
    dataset = semantic_dataset(
        categories=categories,
        samples=(Sample(file_name="1.png", image_path=tmp_path / "1.png", mask_path=tmp_path / "labels.png"),),
        class_of={7: 0, 9: 1},
    )

    pairs = mining.mine(model, dataset, replace(FEW, source="labels"), tmp_path / "pairs")

    assert [(pairs[i].word, pairs[i].box) for i in range(2)] == [("sky", (0, 0, 64, 64)), ("grass", (0, 32, 64, 16))]
    assert len(pairs) == 2


def tiny_categories(*names: str) -> Any:
    from lexiseg.data.dataset import Category

    return tuple(Category(id=number, name=name, is_thing=False) for number, name in enumerate(names))


def test_more_captions_name_more(mine: Callable[..., PairDataset], dataset: Dataset) -> None:
    one, five = mine(), mine(replace(FEW, captions=5), out="five")

    def words(pairs: PairDataset, picture: str) -> list[str]:
        return [r.word for r in (pairs[index] for index in range(len(pairs))) if r.picture == picture]

    assert len(five) > len(one)
    for sample in dataset.samples:
        assert set(words(one, sample.file_name)) <= set(words(five, sample.file_name))
        assert len(set(words(five, sample.file_name))) == len(words(five, sample.file_name))


def test_a_least_cosine_leaves_out_the_pairs_below_it(mine: Callable[..., PairDataset]) -> None:
    everything = mine()
    middle = float(np.median(everything.scores))

    some = mine(replace(FEW, least_cosine=middle), out="some")

    assert sorted(some.scores) == sorted(score for score in everything.scores if score >= middle)


def test_prompts_take_no_part_in_the_choice(mine: Callable[..., PairDataset], model: OVSeg) -> None:
    original = network(clip=replace(tiny.VIT, prompts=None))
    original.clip.load_state_dict(model.clip.state_dict(), strict=False)
    original.segmenter = model.segmenter
    assert model.clip.prompts is not None

    prompted, plain = mine(), mine(out="plain", model=original)

    assert np.array_equal(prompted.scores, plain.scores)


def test_an_opsnet_can_mine_too(mine: Callable[..., PairDataset]) -> None:
    assert len(mine(model=tiny.model())) == len(mine(out="ovseg"))


def test_what_is_interrupted_is_resumed_to_the_same_bytes(mine: Callable[..., PairDataset], tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        progress.append((done, total))
        if done == 3:
            raise StoppedError

    mine(out="whole")
    with pytest.raises(StoppedError):
        mine(out="stopped", report=stop)
    mine(out="stopped", resume=True, workers=1, report=lambda done, total: progress.append((done, total)))

    assert progress == [(1, 5), (2, 5), (3, 5), (1, 3), (2, 3), (3, 3)]
    assert files_in(tmp_path / "stopped") == files_in(tmp_path / "whole")
    mine(out="stopped", resume=True, report=stop)  # nothing is left to do, so nothing stops it
    with pytest.raises(ValueError, match="another model, data or settings"):
        mine(replace(FEW, captions=2), out="stopped", resume=True)


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(mine: Callable[..., PairDataset], root: Path, tmp_path: Path) -> None:
    (root / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    options = ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(root / "script.py"), str(root)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    subprocess.run([*torchrun, *options], env=environment, timeout=250, check=True)

    mine(model=load_model(root / "model"))
    assert files_in(root / "shared") == files_in(tmp_path / "pairs")


def test_an_unreadable_picture_is_left_out_named_and_tried_again(
    mine: Callable[..., PairDataset], dataset: Dataset, tmp_path: Path
) -> None:
    picture = dataset.samples[1].image_path
    content = picture.read_bytes()
    picture.write_bytes(bytes(len(content)))
    try:
        pairs = mine()
    finally:
        picture.write_bytes(content)

    assert dataset.samples[1].file_name not in {pairs[index].picture for index in range(len(pairs))}
    (skipped,) = [entry for about in pairs.about for entry in about["skipped"]]
    assert skipped["name"] == dataset.samples[1].file_name
    assert pairs.about[0]["with_pairs"] == 1
    assert sum(about["pictures"] for about in pairs.about) == PICTURES


def test_a_picture_whose_captions_name_nothing_is_not_even_opened(model: OVSeg, tmp_path: Path) -> None:
    put_picture(tmp_path / "1.png", height=SIZE, width=SIZE)
    samples = tuple(
        Sample(image_id=n, file_name=f"{n}.png", image_path=tmp_path / f"{n}.png", captions=(caption,))
        for n, caption in ((1, "a cat and a dog"), (2, "there is nothing"))
    )

    pairs = mining.mine(
        model,
        Dataset(samples=samples, kinds=frozenset({"captions"})),
        FEW,
        tmp_path / "pairs",
        captions=tuple(sample.captions for sample in samples),
        nouns=NOUNS,
    )

    assert [pairs[index].word for index in range(len(pairs))] == ["cat", "dog"]
    assert pairs.about == ({"pictures": 2, "with_pairs": 1, "skipped": []},)


@pytest.mark.parametrize("source", ["labels", "true-masks"])
def test_a_region_that_no_pixel_of_its_crop_shows_makes_no_pair(model: OVSeg, tmp_path: Path, source: Any) -> None:
    labels = rows(7, height=SIZE, width=SIZE)
    labels[1, 1] = 9  # between the pixels that a square of half the side keeps
    put_picture(tmp_path / "1.png", height=SIZE, width=SIZE)
    put_grey(tmp_path / "labels.png", labels)
    sample = Sample(file_name="1.png", image_path=tmp_path / "1.png", mask_path=tmp_path / "labels.png")
    dataset = semantic_dataset(tiny_categories("sky", "grass"), (sample,), {7: 0, 9: 1})
    config = replace(FEW, source=source, regions=RegionConfig(extent="picture"))

    pairs = mining.mine(model, dataset, config, tmp_path / "pairs", captions=[("sky",)], nouns=NOUNS)

    assert pairs.words == ("sky",)
    assert pairs[0].mask.all()


def test_a_box_lies_in_the_original_picture_and_may_touch_every_edge(model: OVSeg, tmp_path: Path) -> None:
    put_picture(tmp_path / "1.png", height=50, width=97)
    put_grey(tmp_path / "labels.png", rows(7, height=50, width=97))
    dataset = semantic_dataset(
        categories=tiny_categories("sky"),
        samples=(Sample(file_name="1.png", image_path=tmp_path / "1.png", mask_path=tmp_path / "labels.png"),),
        class_of={7: 0},
    )

    pairs = mining.mine(model, dataset, replace(FEW, source="labels"), tmp_path / "pairs")

    assert pairs[0].box == (0, 0, 97, 50)
    assert pairs[0].mask.all()


def test_what_a_source_needs_and_does_not_get_is_told(
    mine: Callable[..., PairDataset], dataset: Dataset, tmp_path: Path
) -> None:
    captioned = Dataset(
        kinds=frozenset({"captions"}),
        samples=(Sample(image_id=1, file_name="1", image_path=tmp_path / "1.png", captions=("a cat",)),),
    )

    with pytest.raises(ValueError, match="source labels needs panoptic or semantic masks"):
        mine(replace(FEW, source="labels"), dataset=captioned)
    with pytest.raises(ValueError, match="needs captions of 5 pictures"):
        mine(captions=())
    with pytest.raises(ValueError, match="hold no noun"):
        mine(captions=[("nothing",)] * PICTURES)
    with pytest.raises(ValueError, match="holds no pictures"):
        mine(dataset=replace(dataset, samples=()), captions=())
    with pytest.raises(ValueError, match="none of the 1 pictures can be read"):
        mine(dataset=captioned, captions=[("a cat",)], overwrite=True)
    with pytest.raises(ValueError, match="must be positive"):
        MiningConfig(captions=0)


def test_the_plan_of_pairs_says_what_they_were_made_of(mine: Callable[..., PairDataset], tmp_path: Path) -> None:
    mine()

    plan = json.loads((tmp_path / "pairs" / "index.json").read_text())["plan"]

    assert plan["config"]["source"] == "proposals"
    assert plan["config"]["regions"]["fill"] == "mean"
    assert plan["samples"][0] == PICTURES
    assert len(plan["weights"]) == 16
