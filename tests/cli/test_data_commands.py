import subprocess
import sys
from pathlib import Path

import pytest

from lexiseg.cli.console import FAILURE, FINE, FLAWED
from lexiseg.cli.data import run_check, run_list, run_prepare
from lexiseg.cli.options.data import DataCheckOptions, DataListOptions, DataPrepareOptions
from lexiseg.core.errors import FormatError, UsageError
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.categories import own_vocabulary
from lexiseg.data.datasets.own_folder import open_folder
from lexiseg.training.segmentation.data_check import look_at_data
from miniatures import put_grey, put_json, put_picture, put_rgb, put_text, rows

SOURCE = str(Path(__file__).resolve().parents[2] / "src")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    """ADE20K with three pictures."""
    home = tmp_path / "ADEChallengeData2016"
    for name in "abc":
        put_picture(home / f"images/validation/{name}.jpg")
        put_grey(home / f"annotations/validation/{name}.png", rows(1, 3))
        put_rgb(home / f"annotations_instance/validation/{name}.png", rows(0), rows(0))
    return tmp_path


def test_the_list_shows_every_data_set_and_what_is_there(ade: Path, capfd: pytest.CaptureFixture[str]):
    run_list(DataListOptions())
    plain = capfd.readouterr().out
    run_list(DataListOptions(root=ade))
    marked = [line.split() for line in capfd.readouterr().out.splitlines()]

    assert all(name in plain for name in CATALOGUE)
    assert {line[0]: line[-1] for line in marked if line and line[0] in CATALOGUE} == {
        name: "val" if name == "ade20k" else "-" for name in CATALOGUE
    }


def test_a_whole_data_set_passes_the_check(ade: Path, capfd: pytest.CaptureFixture[str]):
    code = run_check(DataCheckOptions(name="ade20k", root=ade))

    out = capfd.readouterr().out
    assert code == FINE == 0
    assert "3 pictures are listed, 3 of them were opened." in out
    assert str(ade / "ADEChallengeData2016/images/validation") in out
    assert "148 of 150 classes) have no pixel." in out
    assert "All is well, but for what is noted." in out


def test_a_missing_part_is_said_with_its_source_and_fails_the_check(ade: Path, capfd: pytest.CaptureFixture[str]):
    code = run_check(DataCheckOptions(name="ade20k-panoptic", root=ade))

    out = capfd.readouterr().out
    assert code == FAILURE
    assert "The id maps are missing, expected at" in out
    assert "lexiseg data prepare ade20k-panoptic" in out


def test_missing_and_broken_files_are_named_and_the_rest_is_counted(ade: Path, capfd: pytest.CaptureFixture[str]):
    home = ade / "ADEChallengeData2016"
    (home / "images/validation/a.jpg").unlink()
    put_text(home / "annotations/validation/b.png", "no map")

    code = run_check(DataCheckOptions(name="ade20k", root=ade, every=True))

    out = capfd.readouterr().out
    assert code == FLAWED
    assert "1 files are missing: " in out
    assert "a.jpg" in out
    assert "1 can't be used:\n  b.jpg: " in out
    assert "All is well" not in out


def test_an_own_folder_is_checked_like_a_data_set_of_the_catalogue(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    put_picture(tmp_path / "images/a.jpg")
    put_grey(tmp_path / "labels/a.png", rows(0))
    put_text(tmp_path / "classes.txt", "cat")

    assert run_check(DataCheckOptions(name=str(tmp_path))) == FINE
    assert "1 pictures are listed" in capfd.readouterr().out


def test_a_check_shows_a_census(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    for split, value in (("train", 0), ("val", 1)):
        put_picture(tmp_path / f"images/{split}/a.jpg")
        put_grey(tmp_path / f"labels/{split}/a.png", rows(value, 255))
    put_text(tmp_path / "classes.txt", "wall\nowl\n" + "\n".join(f"c{n}" for n in range(60)))

    assert run_check(DataCheckOptions(name=str(tmp_path), every=True)) == FINE

    out = capfd.readouterr().out
    assert [line.split() for line in out.splitlines()[1:5]] == [
        ["class", "pictures", "%", "of", "pixels"],
        ["-----", "--------", "-----------"],
        ["wall", "1", "25.0"],
        ["owl", "1", "25.0"],
    ]
    assert "12 more classes have no more than the last of these." in out
    assert "50.0 % of them are ignored, by their value: 255 (50.0 %)." in out
    assert "Pictures per split folder: train 1, val 1." in out
    assert "Note: train and val are taken together" in out


def test_a_check_that_can_use_no_picture_shows_no_class(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    put_picture(tmp_path / "images/a.jpg")
    put_grey(tmp_path / "labels/a.png", rows(3))
    put_text(tmp_path / "classes.txt", "wall\nowl")

    assert run_check(DataCheckOptions(name=str(tmp_path))) == FLAWED
    assert "class" not in capfd.readouterr().out.split("1 can't be used")[0]


def test_preparing_says_how_many_files_were_made_and_then_the_check_passes(
    ade: Path, capfd: pytest.CaptureFixture[str]
):
    run_prepare(DataPrepareOptions(name="ade20k-panoptic", root=ade))
    first = capfd.readouterr().out
    run_prepare(DataPrepareOptions(name="ade20k-panoptic", root=ade, workers=2))
    again = capfd.readouterr().out

    assert "ade20k-panoptic (val) is prepared: 3 files were made." in first
    assert "all were there already" in again
    assert run_check(DataCheckOptions(name="ade20k-panoptic", root=ade)) == FINE


@pytest.mark.parametrize(("run", "options"), [(run_check, DataCheckOptions), (run_prepare, DataPrepareOptions)])
def test_an_unknown_name_or_a_missing_root_is_wrong_usage(run, options, tmp_path: Path):
    with pytest.raises(UsageError, match="did you mean ade20k"):
        run(options(name="ade2k", root=tmp_path))
    with pytest.raises(UsageError, match="--root DIR"):
        run(options(name="ade20k"))
    with pytest.raises(FormatError, match="no split 'test'"):
        run(options(name="ade20k-panoptic", root=tmp_path, split="test"))


def test_the_data_commands_need_no_torch():
    code = "import sys, lexiseg.cli.data as c; c.run_list(c.DataListOptions()); print('torch' in sys.modules)"

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": SOURCE}
    )

    assert answer.stdout.split()[-1] == "False"


def test_what_a_check_notes_a_training_notes_in_the_same_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    put_picture(tmp_path / "images/a.png")
    put_picture(tmp_path / "images/b.png")
    pictures = [{"id": n, "file_name": f"images\\{name}.png", "height": 6, "width": 8} for n, name in enumerate("ab")]
    objects = [
        {"id": 1, "image_id": 0, "category_id": 1, "segmentation": [[1, 1, 4, 1, 4, 4]]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [1, 1, 2, 2], "area": 4},
    ]
    document = {"images": pictures, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    path = put_json(tmp_path / "result.json", document)

    code = run_check(DataCheckOptions(name=str(path)))

    out = capfd.readouterr().out
    told = [line.removeprefix("Note: ") for line in out.splitlines() if line.startswith("Note: ")]
    assert code == FINE
    assert out.endswith("All is well, but for what is noted.\n")
    assert len(told) == 3  # no area, no box, no outline
    data = open_folder(path)
    assert set(told) <= set(look_at_data(data, own_vocabulary(data.categories), per_class=False).notes)


def test_boxes_alone_teach_nothing_and_missing_pictures_are_told_with_what_is_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    put_picture(tmp_path / "images/other.png")
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 2], "area": 4, "iscrowd": 0}
    picture = {"id": 0, "file_name": "a.png", "height": 6, "width": 8}
    document = {"images": [picture], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}

    code = run_check(DataCheckOptions(name=str(put_json(tmp_path / "result.json", document))))

    out = capfd.readouterr().out
    assert code == FLAWED
    assert "Problem: none of the 1 pictures has an object that is no crowd" in out
    assert f"{tmp_path / 'images'} holds other.png." in out
