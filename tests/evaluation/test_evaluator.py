"""The evaluator on drawn scenes, with a tiny model of random weights and with a model that knows the truth."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_vocabulary
from lexiseg.data.dataset import Category, Dataset
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped
from lexiseg.evaluation.report import EvaluationSettings, write_report
from lexiseg.models.crops import crop_embed
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from random_opsnet import (
    GROUPS,
    LOOSE,
    WORDS,
    batches_of,
    figures,
    read,
    tallies,
)


def test_figures_do_not_depend_on_the_batch_size_and_progress_counts_every_sample(
    untrained: OPSNet, scenes: Dataset
) -> None:
    progress: list[tuple[int, int]] = []
    one = evaluate_dataset(untrained, scenes, WORDS, EvaluationSettings(batch_size=1, merge=LOOSE))
    many = evaluate_dataset(
        untrained,
        scenes,
        WORDS,
        EvaluationSettings(batch_size=2, merge=LOOSE),
        report=lambda done, total: progress.append((done, total)),
    )

    assert [t.fp + t.tp for t in tallies(one.quality)] == [t.fp + t.tp for t in tallies(many.quality)]
    assert sum(c.tally.fp + c.tally.tp for c in one.quality.per_class) > 0  # it did predict something
    assert figures(one.quality) == pytest.approx(figures(many.quality), abs=1e-6)
    assert progress == [(2, 3), (3, 3)]


def test_the_report_is_json_with_fractions_at_its_top_level(untrained: OPSNet, scenes: Dataset, tmp_path: Path) -> None:
    report = evaluate_dataset(untrained, scenes, WORDS, EvaluationSettings(limit=1, merge=LOOSE), groups=GROUPS)

    path = write_report(report, tmp_path / "a folder" / "deep")
    document = json.loads(path.read_text(encoding="utf-8"))

    assert (document["pq"], document["sq"], document["rq"]) == tuple(
        getattr(report.quality.all, key) for key in ("pq", "sq", "rq")
    )
    assert 0 <= document["pq"] <= 1
    assert document["num_pictures"] == 1
    assert set(document["groups"]) == {"shared", "unseen"}
    assert document["groups"]["unseen"]["all"]["n"] + document["groups"]["shared"]["all"]["n"] == document["all"]["n"]
    assert document["settings"]["merge"]["score_threshold"] == 0.0
    assert document["settings"]["fusion"]["alpha"] == 10.0
    assert document["settings"]["negatives"] is False
    assert document["device"] == "cpu"
    assert document["dtype"] == "float32"
    assert len(document["weights"]) == 16
    assert document["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert sorted(item.name for item in path.parent.iterdir()) == ["report.json"]
    assert report.table()[1][0] == "all"
    assert report.table()[1][1] == f"{100 * document['pq']:.1f}"


def test_a_report_that_cannot_be_written_ends_in_one_sentence(
    untrained: OPSNet, scenes: Dataset, tmp_path: Path
) -> None:
    report = evaluate_dataset(untrained, scenes, WORDS, EvaluationSettings(limit=1))
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(ValueError, match=r"can't be written .*; choose a folder that can"):
        write_report(report, tmp_path / "taken" / "inside")


def test_evaluation_leaves_the_model_as_it_was(untrained: OPSNet, scenes: Dataset) -> None:
    untrained.train()
    untrained.segmenter.mask2former.pixel_level_module.encoder.eval()
    modes = [part.training for part in untrained.modules()]
    before = {name: value.clone() for name, value in untrained.state_dict().items()}

    evaluate_dataset(untrained, scenes, WORDS, EvaluationSettings(limit=1))

    assert [part.training for part in untrained.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in untrained.state_dict().items())
    untrained.eval()


def test_an_unreadable_picture_is_named_and_the_rest_is_counted(
    untrained: OPSNet, scenes: Dataset, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(scenes.samples[1].image_path.read_bytes()[:200])
    lost = tmp_path / "lost.png"
    samples = list(scenes.samples)
    samples[0] = replace(samples[0], image_path=broken)
    samples[1] = replace(samples[1], image_path=lost)
    progress: list[tuple[int, int]] = []

    report = evaluate_dataset(
        untrained,
        replace(scenes, samples=tuple(samples)),
        WORDS,
        report=lambda done, total: progress.append((done, total)),
    )

    assert [skipped.name for skipped in report.unreadable] == [samples[0].file_name, samples[1].file_name]
    assert all(skipped.reason for skipped in report.unreadable)
    assert report.num_pictures == 1
    assert progress[-1] == (3, 3)
    with pytest.raises(ValueError, match="none of the 1 pictures can be read"):
        evaluate_dataset(untrained, replace(scenes, samples=(samples[0],)), WORDS)


def test_words_and_categories_must_fit_and_the_message_names_what_is_near(scenes: Dataset) -> None:
    first = scenes.categories[0]
    misspelt = (replace(first, name=first.name + "x"), *scenes.categories[1:])

    with pytest.raises(ValueError, match=f"'{first.name}x' is none of the words.*near: '{first.name}'"):
        match_vocabulary(misspelt, WORDS)
    with pytest.raises(ValueError, match=f"'{first.name}' is no category"):
        match_vocabulary(scenes.categories[1:], WORDS)
    with pytest.raises(ValueError, match="are both the word"):
        match_vocabulary((*scenes.categories, replace(first, id=999, name=first.name.upper())), WORDS)


def test_a_synonym_matches_and_the_data_set_decides_what_is_a_thing() -> None:
    categories = (Category(id=7, name="Kitten", is_thing=False), Category(id=3, name="sky", is_thing=False))

    matched, category_ids = match_vocabulary(categories, Vocabulary.of("sky:stuff, cat|kitten"))

    assert category_ids == (3, 7)
    assert [concept.is_thing for concept in matched.concepts] == [False, False]
    assert matched.names == ("sky", "cat")


def test_a_group_with_an_unknown_name_is_refused(untrained: OPSNet, scenes: Dataset) -> None:
    with pytest.raises(ValueError, match="'zebroid' of group 'odd' is no category"):
        evaluate_dataset(untrained, scenes, WORDS, groups={"odd": ("zebroid",)})


def test_pictures_of_other_shapes_are_batched_apart(tmp_path: Path) -> None:
    wide = write_storybook(StorybookSpec(role="base", split="val", count=2, size=(40, 96)), tmp_path / "wide")
    tall = write_storybook(StorybookSpec(role="base", split="val", count=2, size=(96, 40)), tmp_path / "tall")
    mixed = [sample for pair in zip(wide.samples, tall.samples, strict=True) for sample in pair]

    batches = batches_of(replace(wide, samples=tuple(mixed)))

    shapes = [tuple(batch.images.pixel_values.shape) for batch in batches]
    assert shapes == [(2, 3, 64, 96), (2, 3, 96, 64)]
    with pytest.raises(ValueError, match="positive"):
        EvaluationSettings(batch_size=0)


def test_a_crop_of_the_whole_picture_is_the_picture_and_an_empty_mask_falls_back_on_it(untrained: OPSNet) -> None:
    frame = Frame.fit((64, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    images = ImageBatch(pixel_values=pixels, frames=(frame,))
    mask_logits = torch.full((1, 3, 16, 16), -5.0)
    mask_logits[:, 0] = 5.0
    mask_logits[:, 2, 4:12, 6:10] = 5.0

    kept = crop_embed(untrained.clip, images, mask_logits, keep_background=True)
    removed = crop_embed(untrained.clip, images, mask_logits, keep_background=False)

    whole = F.normalize(untrained.clip.encode_image(pixels), dim=-1)[0]
    assert torch.allclose(kept[0, 0], whole, atol=1e-5)
    assert torch.allclose(kept[0, 1], whole, atol=1e-5)
    tight = F.interpolate(pixels[:, :, 16:48, 24:40], (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.allclose(kept[0, 2], F.normalize(untrained.clip.encode_image(tight), dim=-1)[0], atol=1e-6)
    assert (kept[0, 2] - whole).abs().max() > 1e-5
    assert torch.allclose(kept.norm(dim=-1), torch.ones(1, 3), atol=1e-5)
    assert torch.allclose(removed[0, 0], whole, atol=1e-5)


def test_masking_hides_what_is_outside_the_mask_and_cropping_does_not(untrained: OPSNet) -> None:
    frame = Frame.fit((64, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    mask_logits = torch.full((1, 1, 64, 64), -5.0)
    mask_logits[0, 0].fill_diagonal_(5.0)  # its box is the whole picture
    outside = torch.where(mask_logits[0] > 0, pixels[0], 1 - pixels[0])[None]

    def both(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images = ImageBatch(pixel_values=picture, frames=(frame,))
        return (
            crop_embed(untrained.clip, images, mask_logits, keep_background=True),
            crop_embed(untrained.clip, images, mask_logits, keep_background=False),
        )

    cropped, masked = both(pixels)
    cropped_other, masked_other = both(outside)

    assert torch.equal(masked, masked_other)
    assert (cropped - cropped_other).abs().max() > 1e-4


def test_padding_is_no_part_of_a_crop(untrained: OPSNet) -> None:
    frame = Frame.fit((48, 64), longest=64)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    noisy = pixels.clone()
    noisy[:, :, 48:] = 0.5
    mask_logits = torch.full((1, 1, 16, 16), 5.0)  # also over the padding

    first = crop_embed(
        untrained.clip, ImageBatch(pixel_values=pixels, frames=(frame,)), mask_logits, keep_background=True
    )
    second = crop_embed(
        untrained.clip, ImageBatch(pixel_values=noisy, frames=(frame,)), mask_logits, keep_background=True
    )

    assert torch.equal(first, second)


def test_a_missing_segmentation_is_told_and_the_next_picture_is_read(scenes: Dataset, tmp_path: Path) -> None:
    first, second = scenes.samples[:2]
    bad = replace(scenes, samples=(replace(first, mask_path=tmp_path / "lost.png"), second))

    skipped, batch = read(bad, batch_size=2)

    assert isinstance(skipped, Skipped)
    assert skipped.name == first.file_name
    assert "lost.png" in skipped.reason
    assert isinstance(batch, AnnotatedBatch)
    assert batch.annotations[0].sample == second
