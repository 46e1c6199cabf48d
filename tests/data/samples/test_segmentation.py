from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from lexiseg.core.errors import FormatError
from lexiseg.core.frames import Frame
from lexiseg.core.structures import NAMELESS
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.data.samples.copy_paste import TrueSegment
from lexiseg.data.samples.segmentation import (
    MixedDataset,
    SegmentationDataset,
    collate,
    mixed_keys,
    to_targets,
    training_keys,
)
from lexiseg.data.samples.transforms import Framing, View, draw_view, view_ids, view_picture

CATEGORIES = (
    Category(id=3, name="cat", is_thing=True),
    Category(id=7, name="dog", is_thing=True),
    Category(id=70, name="sky", is_thing=False),
    Category(id=71, name="cloud", is_thing=False),
)
JITTER = Framing(image_size=64, flip_probability=0.5, scale_range=(0.5, 2.0))


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four pictures of different sizes; a pixel's colour is a function of its segment."""
    root = tmp_path_factory.mktemp("scenes")
    with PanopticWriter(root, CATEGORIES) as writer:
        for i, (h, w) in enumerate([(40, 60), (60, 40), (64, 64), (30, 90)]):
            ids = np.zeros((h, w), np.int32)
            ids[: h // 2], ids[: h // 2, : w // 3] = 1, 2
            ids[h // 2 : -5, 5:20], ids[h // 2 : -5, 20:32] = 3, 4
            pixels = np.stack([ids * 50, 255 - ids * 50, ids * 10], -1).astype(np.uint8)
            names = {1: 70, 2: 71, 3: 3, 4: 3}
            writer.add(i, Image.fromarray(pixels), ids, names, crowd={4} if i == 2 else ())
    return read_panoptic(root)


def test_an_example_at_its_own_size_keeps_every_pixel(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 70: 1, 71: 1}, Framing(image_size=64))

    example = data[2]

    source = np.asarray(Image.open(panoptic.samples[2].image_path))
    assert np.array_equal((example.pixel_values * 255).round().permute(1, 2, 0).numpy(), source)
    assert example.frame == Frame.fit((64, 64), longest=64)


def test_stuff_is_one_mask_per_class_and_things_one_each(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 70: 1, 71: 1}, Framing(image_size=60))

    targets = data[0].targets

    assert targets.class_ids.tolist() == [1, 0, 0]
    assert targets.masks.shape == (3, 16, 16)
    assert targets.masks.sum(0).max() == 1
    # 40 x 60 pixels are 10 x 15 cells; sky and cloud are the upper half of them.
    assert targets.masks[0, :5, :15].all()
    assert targets.masks[0].sum() == 75
    # Void is ignored, padding is not.
    assert not targets.ignored[10:].any()
    assert not targets.ignored[:, 15:].any()
    assert (targets.masks.any(0) | targets.ignored)[:10, :15].all()


def test_crowd_void_and_unmapped_categories_are_ignored(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 71: 1}, Framing(image_size=64))

    targets = data[2].targets

    assert targets.class_ids.tolist() == [1, 0]  # neither sky (unmapped) nor the crowd of cats
    assert targets.ignored[2, 12]
    assert targets.ignored[10, 6]
    assert targets.ignored[15, 15]
    assert not (targets.ignored & targets.masks.any(0)).any()


def test_what_has_no_name_is_a_mask_of_its_own_each_time(panoptic: Dataset):
    class_ids = {3: 0, 70: NAMELESS, 71: NAMELESS}

    whole = SegmentationDataset(panoptic, class_ids, Framing(image_size=60))[0].targets
    per_class = SegmentationDataset(panoptic, class_ids, Framing(image_size=60), per_class=True)[0].targets

    assert whole.class_ids.tolist() == [NAMELESS, NAMELESS, 0, 0]  # two stuffs, as two things
    assert per_class.class_ids.tolist() == [NAMELESS, NAMELESS, 0]
    assert whole.masks[:2].sum() == 75
    assert not (whole.ignored & whole.masks.any(0)).any()


def test_a_picture_without_known_segments_has_no_masks(panoptic: Dataset):
    targets = SegmentationDataset(panoptic, {}, Framing(image_size=64))[0].targets

    assert targets.masks.shape[0] == targets.class_ids.shape[0] == 0
    assert targets.ignored.any()


def test_flipping_mirrors_picture_and_masks_together(panoptic: Dataset):
    class_ids = {3: 0, 70: 1, 71: 2}
    straight = SegmentationDataset(panoptic, class_ids, Framing(image_size=64))[2]
    mirrored = SegmentationDataset(panoptic, class_ids, Framing(image_size=64, flip_probability=1.0))[2]

    assert torch.equal(mirrored.pixel_values, straight.pixel_values.flip(-1))
    # Centres lie between pixels: a mirrored sample may take the neighbour on the other side.
    for one, other in zip(mirrored.targets.masks, straight.targets.masks.flip(-1), strict=True):
        assert (one ^ other).sum() <= 0.2 * other.sum()


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31))
def test_views_stay_inside_picture_and_canvas(height: int, width: int, seed: int):
    view = draw_view((height, width), JITTER, torch.Generator().manual_seed(seed))

    h, w = view.frame.original
    assert 0 <= view.top <= height - h
    assert 0 <= view.left <= width - w
    assert 1 <= max(view.frame.resized) <= 64
    assert all(0 <= p - r < 32 for p, r in zip(view.frame.padded, view.frame.resized, strict=True))
    ids, inside = view_ids(np.ones((height, width), np.int32), view)
    assert ids.shape == (view.frame.padded[0] // 4, view.frame.padded[1] // 4)
    assert inside.any()
    assert np.array_equal(ids == 1, inside)


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 200))
def test_without_jitter_a_view_is_the_plain_frame(height: int, width: int, longest: int):
    view = draw_view((height, width), Framing(image_size=longest), torch.Generator())

    assert view.frame == Frame.fit((height, width), longest=longest)
    assert not view.is_flipped


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_masks_lie_where_the_picture_shows_them(seed: int):
    rng = np.random.default_rng(seed)
    ids = np.ones((96, 120), np.int32)
    top, left = rng.integers(0, 50, 2)
    ids[top : top + 40, left : left + 40] = 2
    picture = np.repeat(((ids - 1) * 255).astype(np.uint8)[..., None], 3, -1)
    view = draw_view(ids.shape, JITTER, torch.Generator().manual_seed(seed))

    seen, inside = view_ids(ids, view)
    pixels = view_picture(picture, view)[0]

    # Cells whose whole neighbourhood has one colour must carry the id of that colour.
    cells = torch.nn.functional.avg_pool2d(pixels[None], 6, 4, padding=1)[0].numpy()
    assert (seen[(cells > 0.999) & inside] == 2).all()
    assert (seen[(cells < 0.001) & inside] == 1).all()


def test_the_same_key_gives_the_same_example_and_epochs_differ(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 70: 1}, JITTER, seed=5)

    again = SegmentationDataset(panoptic, {3: 0, 70: 1}, JITTER, seed=5)
    other = SegmentationDataset(panoptic, {3: 0, 70: 1}, JITTER, seed=6)

    assert torch.equal(data[3, 1].pixel_values, again[3, 1].pixel_values)
    assert torch.equal(data[0, 1].pixel_values, again[1].pixel_values)
    frames = [data[epoch, 1].frame for epoch in range(6)]
    assert len(set(frames)) > 3
    assert [other[epoch, 1].frame for epoch in range(6)] != frames


def test_workers_change_nothing(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 70: 1, 71: 2}, JITTER, seed=1)
    keys = list(islice(training_keys(4, seed=1), 8))

    alone, helped = (
        list(DataLoader(data, batch_size=2, sampler=keys, num_workers=n, collate_fn=collate)) for n in (0, 2)
    )

    assert len(alone) == len(helped) == 4
    for (images, targets), (their_images, their_targets) in zip(alone, helped, strict=True):
        assert images.frames == their_images.frames
        assert torch.equal(images.pixel_values, their_images.pixel_values)
        for one, other in zip(targets, their_targets, strict=True):
            assert torch.equal(one.masks, other.masks)
            assert torch.equal(one.class_ids, other.class_ids)
            assert torch.equal(one.ignored, other.ignored)


def test_a_batch_has_one_canvas_and_padding_belongs_to_nothing(panoptic: Dataset):
    data = SegmentationDataset(panoptic, {3: 0, 70: 1, 71: 2}, Framing(image_size=64))
    examples = [data[i] for i in range(4)]

    images, targets = collate(examples)

    assert images.pixel_values.shape == (4, 3, 64, 64)
    assert {frame.padded for frame in images.frames} == {(64, 64)}
    assert [frame.resized for frame in images.frames] == [e.frame.resized for e in examples]
    for example, target in zip(examples, targets, strict=True):
        assert target.masks.shape[1:] == target.ignored.shape == (16, 16)
        assert target.masks.sum() == example.targets.masks.sum()
        assert target.ignored.sum() == example.targets.ignored.sum()


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(0, 99), st.integers(0, 50), st.integers(1, 4))
def test_processes_share_one_sequence_and_resume_in_it(n: int, seed: int, start: int, world: int):
    whole = list(islice(training_keys(n, seed=seed), start + 40))

    parts = [list(islice(training_keys(n, seed=seed, start=start, rank=r, world_size=world), 10)) for r in range(world)]

    assert [key for step in zip(*parts, strict=True) for key in step] == whole[start:][: 10 * world]
    assert sorted(index for epoch, index in whole if epoch == 0)[:n] == list(range(min(n, len(whole))))


def test_epochs_have_different_orders():
    keys = list(islice(training_keys(50, seed=0), 100))

    assert [i for _, i in keys[:50]] != [i for _, i in keys[50:]]
    assert {epoch for epoch, _ in keys} == {0, 1}


def test_an_empty_data_set_cannot_train():
    with pytest.raises(ValueError, match="empty data set"):
        next(training_keys(0, seed=0))


def test_a_picture_of_another_size_is_named(tmp_path: Path, panoptic: Dataset):
    with PanopticWriter(tmp_path / "set", CATEGORIES) as writer:
        writer.add(1, Image.new("RGB", (8, 8)), np.ones((8, 8), np.int32), {1: 3})
    Image.new("RGB", (8, 9)).save(tmp_path / "set/images/000000000001.png")
    data = SegmentationDataset(read_panoptic(tmp_path / "set"), {3: 0}, Framing(image_size=32))

    with pytest.raises(FormatError, match=r"000000000001\.png: the picture is 8 x 9"):
        data[0]


def test_a_segment_that_falls_between_the_cells_has_no_mask():
    ids = np.ones((32, 32), np.int32)
    ids[0, 0] = 2
    segments = [
        TrueSegment(id=1, class_id=0, is_thing=False, is_crowd=False),
        TrueSegment(id=2, class_id=1, is_thing=True, is_crowd=False),
    ]
    frame = Frame.fit((32, 32), longest=32)
    seen, inside = view_ids(ids, View(top=0, left=0, is_flipped=False, frame=frame))

    targets = to_targets(seen, inside, segments)

    assert targets.class_ids.tolist() == [0]
    assert targets.masks.all()


def test_things_of_donors_are_pasted_the_more_often_the_larger_the_share(panoptic: Dataset):
    class_ids = {3: 0, 70: 1, 71: 2}
    keys = [(epoch, index) for epoch in range(20) for index in range(len(panoptic.samples))]

    def changed(share: float, framing: Framing) -> float:
        plain = SegmentationDataset(panoptic, class_ids, framing, seed=3)
        pasted = SegmentationDataset(panoptic, class_ids, framing, donors=plain, paste_share=share, seed=3)
        assert torch.equal(pasted[keys[7]].pixel_values, pasted[keys[7]].pixel_values)
        return np.mean([not torch.equal(pasted[key].pixel_values, plain[key].pixel_values) for key in keys])

    still = Framing(image_size=64)
    assert 0 < changed(0.5, still) < changed(1.0, still)
    assert changed(0.0, JITTER) == 0  # trainings that paste nothing see the views that they always saw


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 0},
        {"stride": 6},
        {"flip_probability": 1.5},
        {"scale_range": (2.0, 1.0)},
        {"scale_range": (0.0, 1.0)},
    ],
)
def test_a_framing_refuses_nonsense(wrong: dict[str, object]):
    with pytest.raises(ValueError, match="must"):
        Framing(**{"image_size": 64, **wrong})


def test_semantic_targets_are_one_mask_per_class_crowds_included(panoptic: Dataset):
    class_ids, framing = {3: 0, 70: 1, 71: 2}, Framing(image_size=64)
    apart = SegmentationDataset(panoptic, class_ids, framing)[2].targets
    targets = SegmentationDataset(panoptic, class_ids, framing, per_class=True)[2].targets

    things = targets.masks[targets.class_ids.tolist().index(0)]
    own = apart.masks[apart.class_ids.tolist().index(0)]
    assert sorted(targets.class_ids.tolist()) == [0, 1, 2]
    assert bool(apart.ignored.any())  # the crowd
    assert torch.equal(things, own | apart.ignored & things)
    assert (things & apart.ignored).sum() > 0
    assert torch.equal(targets.ignored, apart.ignored & ~things)
    assert (targets.masks.sum(0) + targets.ignored == 1).all()


def test_label_maps_make_the_targets_of_the_panoptic_truth_they_were_painted_from(panoptic: Dataset, tmp_path: Path):
    samples = []
    for sample in panoptic.samples:
        ids = panoptic.annotation(sample, strict=True).to_segmentation(()).ids
        category_of = {segment.id: segment.category_id for segment in sample.segments}
        labels = np.vectorize(lambda i, of=category_of: of.get(int(i), 255))(ids).astype(np.uint8)
        path = tmp_path / f"{sample.image_id}.png"
        Image.fromarray(labels).save(path)
        samples.append(Sample(file_name=path.name, image_path=sample.image_path, mask_path=path))
    semantic = semantic_dataset(
        categories=panoptic.categories,
        samples=tuple(samples),
        class_of={category.id: place for place, category in enumerate(panoptic.categories)},
    )

    for index in range(len(samples)):
        one = SegmentationDataset(panoptic, {3: 0, 70: 1}, JITTER, per_class=True, seed=5)[(1, index)]
        other = SegmentationDataset(semantic, {3: 0, 70: 1}, JITTER, per_class=True, seed=5)[(1, index)]

        order = [one.targets.class_ids.tolist().index(c) for c in other.targets.class_ids.tolist()]
        assert torch.equal(one.pixel_values, other.pixel_values)
        assert torch.equal(one.targets.masks[order], other.targets.masks)
        assert torch.equal(one.targets.ignored, other.targets.ignored)


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=6),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_large_scale_jitter_keeps_ids_exact_and_shows_only_what_is_in_the_window(
    height: int, width: int, choices: list[int], seed: int, has_fixed_canvas: bool
):
    """Whatever the view, every cell's id is one of the picture's at that place, bit for bit, up to 24 bits."""
    ids = np.random.default_rng(seed).choice(np.array(choices, np.int32), (height, width))
    framing = Framing(image_size=64, scale_range=(0.1, 2.0), flip_probability=0.5, has_fixed_canvas=has_fixed_canvas)
    view = draw_view((height, width), framing, torch.Generator().manual_seed(seed))
    seen, inside = view_ids(ids, view)

    frame = view.frame
    window = ids[view.top : view.top + frame.original[0], view.left : view.left + frame.original[1]]
    window = window[:, ::-1] if view.is_flipped else window
    for row, column in np.argwhere(inside)[:: max(1, inside.sum() // 20)]:
        y = min((4 * row + 2) * frame.original[0] // frame.resized[0], frame.original[0] - 1)
        x = min((4 * column + 2) * frame.original[1] // frame.resized[1], frame.original[1] - 1)
        assert seen[row, column] == window[y, x]
    assert not seen[~inside].any()
    assert window.shape == frame.original
    assert inside.any()
    assert max(frame.resized) <= 64
    if has_fixed_canvas:
        assert frame.padded == (64, 64)


def test_colour_jitter_changes_pixels_alone_and_leaves_the_view_as_it_was(panoptic: Dataset):
    class_ids = {3: 0, 70: 1}
    plain = SegmentationDataset(panoptic, class_ids, JITTER, seed=7)
    jittered = SegmentationDataset(panoptic, class_ids, replace(JITTER, jitters_colour=True), seed=7)
    changed = 0
    for index in range(4):
        one, other = plain[(2, index)], jittered[(2, index)]
        height, width = one.frame.resized
        changed += not torch.equal(one.pixel_values, other.pixel_values)
        assert one.frame == other.frame
        assert torch.equal(one.targets.masks, other.targets.masks)
        assert not other.pixel_values[:, height:].any()
        assert not other.pixel_values[:, :, width:].any()
        assert torch.equal(other.pixel_values, jittered[(2, index)].pixel_values)
    assert changed


def test_a_fixed_canvas_must_fit_the_stride():
    with pytest.raises(ValueError, match="multiple of the stride 32, got 50"):
        Framing(image_size=50, has_fixed_canvas=True)


@settings(deadline=None)
@given(share=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0]), start=st.integers(0, 60), world=st.integers(1, 3))
def test_a_mixture_is_even_and_processes_share_and_resume_its_sequence(share: float, start: int, world: int):
    whole = list(islice(mixed_keys((5, 3), share, seed=1), 120))
    for end in (10, 20, 120):
        assert sum(part for part, _, _ in whole[:end]) == int(share * end + 1e-9)
    assert len(set(whole)) == len(whole)
    for rank in range(world):
        mine = mixed_keys((5, 3), share, seed=1, start=start, rank=rank, world_size=world)
        assert list(islice(mine, 20)) == whole[start + rank :: world][:20]


def test_each_part_of_a_mixture_has_classes_of_its_own(panoptic: Dataset):
    framing = Framing(image_size=64)
    new, old = (SegmentationDataset(panoptic, ids, framing) for ids in ({3: 0}, {70: 5}))
    mixed = MixedDataset([new, old])

    assert mixed[0, 1, 2].targets.class_ids.tolist() == new[1, 2].targets.class_ids.tolist() == [0]
    assert mixed[1, 0, 2].targets.class_ids.tolist() == [5]
    assert len(mixed) == 8
