"""Pictures with labels: seen whole, skipped where there are none, refused where a label is no class."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lexiseg.core.errors import FormatError, VocabularyError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.categories import builtin_categories, own_vocabulary
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.samples.labelled import LabelledPictures, collate_labelled, with_labels
from lexiseg.data.samples.transforms import Framing
from lexiseg.storybook.export import StorybookSpec, write_storybook
from miniatures import put_json, put_picture

FRAMING = Framing(image_size=64, flip_probability=0.5, scale_range=(0.1, 2.0))
CATEGORIES = tuple(Category(id=i, name=name, is_thing=True) for i, name in ((7, "cat"), (3, "dog"), (9, "bee")))


def labelled(folder: Path, *labels: tuple[int, ...]) -> Dataset:
    sizes = [(40, 30), (30, 40), (20, 20), (64, 64)]
    return Dataset(
        kinds=frozenset({"labels"}),
        categories=CATEGORIES,
        samples=tuple(
            Sample(
                file_name=f"{number}.png",
                image_path=put_picture(folder / f"{number}.png", height=height, width=width),
                labels=places,
            )
            for number, (places, (height, width)) in enumerate(zip(labels, sizes, strict=False))
        ),
    )


def test_pictures_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    pictures = LabelledPictures(labelled(tmp_path, (0,), (), (2, 1)), FRAMING, seed=0)

    assert [sample.file_name for sample in pictures.samples] == ["0.png", "2.png"]
    assert (len(pictures), pictures.num_skipped) == (2, 1)


def test_a_class_named_twice_counts_once(tmp_path: Path) -> None:
    pictures = LabelledPictures(labelled(tmp_path, (2, 0, 2)), FRAMING, seed=0)

    assert pictures[0, 0].labels.tolist() == [True, False, True]


def test_a_picture_is_seen_whole_whatever_the_jitter_of_masks(tmp_path: Path) -> None:
    pictures = LabelledPictures(labelled(tmp_path, (0,), (1,)), FRAMING, seed=0)

    for epoch in range(8):
        example = pictures[epoch, 0]
        assert example.frame.original == (40, 30)
        assert example.frame.resized == (64, 48)


def test_a_batch_knows_which_cells_belong_to_a_picture(tmp_path: Path) -> None:
    pictures = LabelledPictures(labelled(tmp_path, (0,), (1,)), FRAMING, seed=0)

    batch = collate_labelled([pictures[0, 0], pictures[0, 1]])

    assert batch.images.pixel_values.shape == (2, 3, 64, 64)
    assert batch.labels.tolist() == [[True, False, False], [False, True, False]]
    assert batch.inside[0].all(0).tolist() == [True] * 12 + [False] * 4  # 48 of 64 pixels wide, at stride 4
    assert batch.inside[1].all(1).tolist() == [True] * 12 + [False] * 4
    assert [frame.padded for frame in batch.images.frames] == [(64, 64)] * 2


def test_an_item_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    source = labelled(tmp_path, (0,), (1,))
    one, other = (LabelledPictures(source, FRAMING, seed=4) for _ in range(2))

    seen = [one[epoch, 1].pixel_values for epoch in range(6)]

    assert all(torch.equal(other[epoch, 1].pixel_values, values) for epoch, values in reversed(list(enumerate(seen))))
    assert not all(torch.equal(values, seen[0]) for values in seen)  # some are mirrored


def test_without_any_label_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="none of the 2 pictures has a label"):
        LabelledPictures(labelled(tmp_path, (), ()), FRAMING, seed=0)


def test_a_label_beyond_the_categories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"1.png: labels must be places among the 3 categories, got \(0, 3\)"):
        LabelledPictures(labelled(tmp_path, (0,), (0, 3)), FRAMING, seed=0)


def test_drawn_labels_are_read_without_opening_a_mask(tmp_path: Path) -> None:
    written = write_storybook(
        StorybookSpec(role="image-level", split="train", count=3, size=(32, 32)), tmp_path / "drawn"
    )
    for path in (tmp_path / "drawn" / "panoptic").glob("*.png"):
        path.unlink()

    found = with_labels(read_panoptic(tmp_path / "drawn"))

    names = [[found.categories[place].name for place in sample.labels] for sample in found.samples]
    assert names == [list(sample.extras["labels"]) for sample in written.samples]
    assert LabelledPictures(found, FRAMING, seed=0)[0, 0].labels.sum() == len(names[0]) > 0


def test_a_label_that_is_no_category_is_refused(tmp_path: Path) -> None:
    written = write_storybook(
        StorybookSpec(role="image-level", split="train", count=2, size=(32, 32)), tmp_path / "drawn"
    )
    strange = replace(written.samples[1], extras={"labels": ["cat", "unicorn"]})

    with pytest.raises(FormatError, match="is labelled 'unicorn', which is none of the"):
        with_labels(replace(written, samples=(written.samples[0], strange)))
    with pytest.raises(FormatError, match="no picture has labels"):
        with_labels(replace(written, samples=(replace(strange, extras={}),)))


def test_reals_labels_make_batches_of_a_thousand_classes(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        put_picture(tmp_path / f"imagenet/val/ILSVRC2012_val_{number:08d}.JPEG")
    put_json(tmp_path / "imagenet/real.json", [[970, 795], [], [0]])

    found = open_dataset("imagenet-real", tmp_path)
    assert found.kinds == {"labels"}
    pictures = LabelledPictures(found, FRAMING, seed=0)
    batch = collate_labelled([pictures[0, place] for place in range(len(pictures))])

    assert pictures.num_skipped == 1
    assert batch.labels.nonzero().tolist() == [[0, 795], [0, 970], [1, 0]]


def test_words_keep_the_order_of_the_categories_and_get_the_synonyms_of_their_list() -> None:
    listed = builtin_categories("storybook", range(len(Vocabulary.of("storybook"))))
    words = own_vocabulary(listed[::-1])

    assert words.names == Vocabulary.of("storybook").names[::-1]
    assert "kitten" in words.row_names()
    assert own_vocabulary(CATEGORIES).row_names() == ("cat", "dog", "bee")
    with pytest.raises(VocabularyError, match="'cat' stands twice"):
        own_vocabulary((*CATEGORIES, replace(CATEGORIES[0], id=1)))
