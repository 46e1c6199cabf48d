"""`lexiseg mine`: what a person sees, and what lies in the folder afterwards."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from command_runs import Ran, Run
from lexiseg.data.pairs.format import PairDataset, PairRecord
from lexiseg.data.pairs.writer import PairWriter
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.io.models import load_model, save_model
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.clip.folders import write_clip
from lexiseg.training.mining.sheet import COLUMNS, contact_sheet, statistics
from miniatures import put_ids, put_json, put_picture, put_text, rows


@pytest.fixture(scope="module")
def ovseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    return save_model(tiny.ovseg(longest_side=64), tmp_path_factory.mktemp("models") / "ovseg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of base."""
    root = tmp_path_factory.mktemp("a data set") / "data"
    write_storybook(StorybookSpec(role="base", split="train", count=3, size=(48, 48)), root)
    return root


@pytest.fixture
def mine(run: Run, ovseg: Path, tmp_path: Path) -> Run:
    def _mine(*arguments: object, out: str = "out") -> Ran:
        common = ("--model", ovseg, "--device", "cpu", "--out", tmp_path / out, "--workers", 0)
        return run("mine", *common, *arguments)

    return _mine


def write_pairs(folder: Path, number: int) -> PairDataset:
    """Noise with words."""
    rng = np.random.default_rng(0)
    writer = PairWriter(folder, crop_size=8, plan={})
    writer.begin()
    records = [
        PairRecord(
            crop=rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
            mask=rng.random((8, 8)) < 0.5,
            word="cat" if place % 3 else f"a word that is too long for its place {place}",
            picture="1.jpg",
            score=place / 100 if place % 2 else None,
            box=(0, 0, 8, 8),
            source="a test",
        )
        for place in range(number)
    ]
    writer.write(0, records, {"pictures": 5, "with_pairs": 1, "skipped": []})
    writer.close(1)
    return PairDataset(folder)


def test_drawn_pictures_are_drawn_mined_counted_and_shown(mine: Run, tmp_path: Path) -> None:
    ran = mine("--data", "storybook", "--count", 2, "--role", "novel", "--seed", 3)

    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    names = {"data", "000000.tar", "index.json", "statistics.json", "sheet.png"}
    assert {path.name for path in out.iterdir()} == names
    pairs, counted = PairDataset(out), json.loads((out / "statistics.json").read_text())
    assert len(pairs) == counted["pairs"] > 2
    assert counted["pictures"] == counted["pictures_with_pairs"] == 2
    assert counted["pairs_per_picture"] == len(pairs) / 2
    word, number = next(iter(pairs.counts().items()))
    assert f"Most frequent: {word} {number}, " in ran.out
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > sheet.height
    images = json.loads((out / "data" / "panoptic.json").read_text())["images"]
    text = " ".join(image["captions"][0] for image in images)
    assert [word for word in pairs.words if word not in text] == []


def test_earlier_pairs_are_kept_resumed_or_replaced_as_asked(mine: Run, drawn: Path, tmp_path: Path) -> None:
    first = mine("--data", drawn, "--source", "labels")
    made = (tmp_path / "out" / "000000.tar").read_bytes()

    assert "already holds pairs" in mine("--data", drawn).err
    assert (tmp_path / "out" / "000000.tar").read_bytes() == made
    assert mine("--data", drawn, "--source", "labels", "--resume").out == first.out
    assert "mean cosine" not in first.out
    assert "mean cosine" in mine("--data", drawn, "--overwrite").out


def test_a_refused_run_draws_nothing_and_a_resumed_one_nothing_anew(mine: Run, tmp_path: Path) -> None:
    asked = ("--data", "storybook", "--count", 2, "--source", "labels")
    mine(*asked)
    folder = tmp_path / "out" / "data"
    drawn = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}

    refused = mine("--data", "storybook", "--count", 3, "--source", "labels")
    same, other_count = mine(*asked, "--resume"), mine("--data", "storybook", "--count", 3, "--resume")
    other_pairs = mine("--data", "storybook", "--count", 2, "--resume")

    assert "already holds pairs" in refused.err
    assert same.code == 0, same.err
    assert "holds drawn data of another role, split, count or seed" in other_count.err
    assert "another model, data or settings" in other_pairs.err
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")} == drawn
    order = '{"count": 2, "role": "base", "seed": 0, "size": [160, 160], "split": "train", "vocabulary": null}'
    assert (folder / "order.json").read_text() == order  # to the letter, or earlier folders would be refused
    assert mine("--data", "storybook", "--count", 3, "--source", "labels", "--overwrite").code == 0
    assert len(json.loads((folder / "panoptic.json").read_text())["images"]) == 3


def test_captions_and_words_come_from_files(mine: Run, drawn: Path, tmp_path: Path) -> None:
    lines = "000000000000.png\ta Zeppelin over two ice creams\n000000000001.png\tnothing but drums\n"
    captions, words = put_text(tmp_path / "captions.tsv", lines), put_text(tmp_path / "words.yaml", "- ice cream\n")

    tagged = mine("--data", drawn, "--captions", captions, "--words", words)
    listed = mine("--data", drawn, "--captions", captions, "--words", words, "--tagger", "none", out="listed")

    assert (tagged.code, listed.code) == (0, 0), tagged.err + listed.err
    assert PairDataset(tmp_path / "out").words == ("drum", "ice cream", "zeppelin")
    assert PairDataset(tmp_path / "listed").words == ("ice cream",)


def test_several_captions_name_more_than_one(mine: Run, drawn: Path, tmp_path: Path) -> None:
    mine("--data", drawn)
    mine("--data", drawn, "--captions-per-picture", 5, out="five")

    assert len(PairDataset(tmp_path / "five")) > len(PairDataset(tmp_path / "out"))


def test_another_clip_picks_the_pairs_if_it_speaks_the_models_language(
    mine: Run, run: Run, ovseg: Path, drawn: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    model = load_model(ovseg)
    assert isinstance(model, OVSeg)
    other = copy.deepcopy(model.clip)
    with torch.no_grad():
        other.clip.visual.proj.mul_(-1)  # the image tower alone: what was most alike is least alike now
    write_clip(tmp_path / "clip", other)
    stranger = tiny.seeded(VitClip(tiny.VIT), 9)
    write_clip(tmp_path / "stranger", stranger)

    own = mine("--data", drawn, "--tagger", "none", out="own")
    asked = mine("--data", drawn, "--tagger", "none", "--clip", tmp_path / "clip")
    refused = mine("--data", drawn, "--clip", tmp_path / "stranger", out="refused")
    of_opsnet = run("mine", "-m", tiny_folder, "--data", drawn, "--clip", tmp_path / "clip", "--out", tmp_path / "no")

    assert (own.code, asked.code) == (0, 0), own.err + asked.err
    first, second = (PairDataset(tmp_path / out) for out in ("own", "out"))
    assert [record.word for record in first] == [record.word for record in second]
    assert any(one.score != two.score for one, two in zip(first, second, strict=True))
    assert (refused.code, of_opsnet.code) == (1, 1)
    assert "text tower that the model was trained with" in refused.err
    assert "--clip is for models whose CLIP sees crops, not for an OPSNet" in of_opsnet.err


def test_the_labels_of_a_known_data_set_are_its_words_not_its_files_names(mine: Run, tmp_path: Path) -> None:
    home = tmp_path / "coco"
    put_picture(home / "train2017" / "000000000001.jpg", height=40, width=40)
    put_ids(home / "annotations" / "panoptic_train2017" / "000000000001.png", rows(1, 2, height=40, width=40))
    segments = [{"id": 1, "category_id": 184}, {"id": 2, "category_id": 1}]
    content = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "height": 40, "width": 40}],
        "annotations": [{"image_id": 1, "file_name": "000000000001.png", "segments_info": segments}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 184, "name": "tree-merged", "isthing": 0},
        ],
    }
    put_json(home / "annotations" / "panoptic_train2017.json", content)

    ran = mine("--data", "coco-panoptic", "--root", tmp_path, "--source", "labels")

    assert ran.code == 0, ran.err
    assert PairDataset(tmp_path / "out").words == ("person", "tree")


def test_an_unreadable_picture_is_named_and_makes_the_status_3(mine: Run, drawn: Path, tmp_path: Path) -> None:
    picture = sorted((drawn / "images").iterdir())[1]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:90])

    ran = mine("--data", drawn, "--limit", 2)
    picture.write_bytes(whole)

    assert ran.code == 3
    assert picture.name in ran.err
    assert json.loads((tmp_path / "out" / "statistics.json").read_text())["unreadable"] == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--data", "nowhere"), "there is no data set 'nowhere'"),
        (("--data", "storybook", "--split", "other"), "the splits train, val, test, not 'other'"),
        (("--data", "DRAWN", "--captions", "missing.tsv"), "missing.tsv"),
        (("--data", "DRAWN", "--words", "a:b"), "unknown mark"),
        (("--data", "DRAWN", "--tagger", "spacy"), "pip install spacy"),
        (
            ("--data", "DRAWN", "--source", "labels", "--captions", "a.tsv", "--captions-per-picture", "1"),
            "--captions and --captions-per-picture would change nothing, as labels are no nouns",
        ),
        (
            ("--data", "DRAWN", "--source", "labels", "--words", "cat", "--tagger", "textblob"),
            "--words and --tagger would change nothing",
        ),
        (("--data", "DRAWN", "--role", "base", "--count", "200"), "--role and --count would change nothing"),
    ],
)
def test_what_is_of_no_use_is_told_in_a_sentence(
    mine: Run, drawn: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)

    ran = mine(*(str(drawn) if option == "DRAWN" else option for option in options))

    assert ran.code in (1, 2)
    assert complaint in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_data_without_captions_ask_for_a_file(mine: Run, drawn: Path, tmp_path: Path) -> None:
    document = json.loads((drawn / "panoptic.json").read_text())
    bare = tmp_path / "bare"
    (bare / "panoptic").mkdir(parents=True)
    for image in document["images"]:
        del image["captions"]
    put_json(bare / "panoptic.json", document)

    ran = mine("--data", bare)

    assert ran.code == 1
    assert "--captions" in ran.err


def test_statistics_count_words_pictures_and_cosines(tmp_path: Path) -> None:
    found = statistics(write_pairs(tmp_path / "pairs", 6))

    assert (found.pairs, found.words, found.pictures, found.pictures_with_pairs) == (6, 3, 5, 1)
    assert found.pairs_per_picture == 1.2
    assert found.mean_score == pytest.approx((0.01 + 0.03 + 0.05) / 3, abs=1e-4)
    assert found.most_frequent[0] == ("cat", 4)
    assert found.least_frequent[-1] == ("cat", 4)


def test_the_contact_sheet_is_the_same_for_a_seed_and_fits_any_number(tmp_path: Path) -> None:
    many = write_pairs(tmp_path / "many", 100)
    few, none = write_pairs(tmp_path / "few", 3), write_pairs(tmp_path / "none", 0)

    sheet = np.asarray(contact_sheet(many, seed=1))

    assert np.array_equal(sheet, np.asarray(contact_sheet(many, seed=1)))
    assert not np.array_equal(sheet, np.asarray(contact_sheet(many, seed=2)))
    assert contact_sheet(few).width < sheet.shape[1] * 4 / COLUMNS
    assert contact_sheet(few).height < sheet.shape[0] / 4
    assert len(np.unique(np.asarray(contact_sheet(none)))) <= 3  # paper and nothing else
    assert statistics(none).mean_score is None
