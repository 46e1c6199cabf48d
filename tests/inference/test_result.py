import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lexiseg.core.files import StagingFolder
from lexiseg.core.structures import Guess, Segment
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.id_maps import load_ids
from lexiseg.inference.formats import FORMATS
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import RECORD, Categories, Request, ResultWriter, check_unspoilt


@pytest.fixture
def result() -> Result:
    """Two cats on grass, and void."""
    ids = np.zeros((30, 50), np.int32)
    ids[:20, :10], ids[:10, 20:30], ids[25:] = 1, 2, 3
    segments = tuple(
        Segment(
            id=number,
            class_id=class_id,
            name=name,
            score=score,
            is_thing=name == "cat",
            area=int((ids == number).sum()),
            box=box,
            guesses=(Guess(name=name, score=score),),
        )
        for number, class_id, name, score, box in (
            (1, 1, "cat", 0.9, (0, 0, 10, 20)),
            (2, 1, "cat", 0.8, (20, 0, 10, 10)),
            (3, 0, "grass", 0.7, (0, 25, 50, 5)),
        )
    )
    return Result(
        segmentation=ids,
        segments=segments,
        vocabulary=Vocabulary.of("grass:stuff, cat|kitten"),
        picture=np.full((30, 50, 3), 200, np.uint8),
        source=Path("photos/tom.jpg"),
    )


def test_it_reads_well_and_shows_itself_as_a_picture(result: Result) -> None:
    assert repr(result) == "<Result tom: 50 x 30 pixels, cat 0.90 ×2, grass 0.70>"
    with Image.open(io.BytesIO(result._repr_png_())) as shown:
        assert shown.size == result.overlay().size


def test_saving_under_a_prefix_never_touches_the_picture(result: Result, tmp_path: Path) -> None:
    (tmp_path / "tom.png").write_bytes(b"the picture itself")

    overlay, ids, document = result.save(tmp_path / "tom")

    assert (tmp_path / "tom.png").read_bytes() == b"the picture itself"
    np.testing.assert_array_equal(load_ids(ids), result.segmentation)
    with Image.open(overlay) as drawn:
        assert drawn.size == result.overlay().size
    content = json.loads(document.read_text())
    assert content["categories"] == [
        {"id": 1, "name": "grass", "isthing": 0},
        {"id": 2, "name": "cat", "isthing": 1},
    ]
    assert content["annotations"][0]["file_name"] == ids.name
    assert content["annotations"][0]["segments_info"][1] == {
        "id": 2,
        "category_id": 2,
        "area": 100,
        "bbox": [20, 0, 10, 10],
        "iscrowd": 0,
        "score": 0.8,
    }


def test_saving_into_a_folder_takes_the_pictures_name(result: Result, tmp_path: Path) -> None:
    files = result.save(tmp_path)

    assert [path.name for path in files] == ["tom.overlay.png", "tom.panoptic.png", "tom.panoptic.json"]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_the_semantic_map_names_pixels(result: Result) -> None:
    semantic = result.semantic()

    assert semantic[0, 0] == 1
    assert semantic[29, 0] == 0
    assert semantic[22, 0] == -1


def test_saving_that_fails_leaves_the_folder_as_it_was(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result.save(tmp_path / "old")
    before = sorted(tmp_path.iterdir())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StagingFolder, "publish", full)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(ValueError, match="can't be written"):
            result.save(folder / "x", FORMATS)

    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_no_file_can_have_is_one_sentence(result: Result, tmp_path: Path) -> None:
    (tmp_path / "taken.png").mkdir()
    names = {"taken.png": "/a", f"{'x' * 300}.png": "/b"}
    request = Request(question={}, identity_of=names.get)
    with ResultWriter(tmp_path, Categories.of(result.vocabulary), request=request) as writer:
        for name in names:
            with pytest.raises(ValueError, match="can't be written"):
                writer.add(result, stem=name[:-4], picture_name="x.png")

    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_categories_of_several_vocabularies_share_numbers() -> None:
    categories = Categories.of(Vocabulary.of("cat, sky:stuff"), Vocabulary.of("owl, cat, sky:thing"))

    assert [(c["id"], c["name"], c["isthing"]) for c in categories.to_coco()] == [
        (1, "cat", 1),
        (2, "sky", 0),
        (3, "owl", 1),
        (4, "sky", 1),
    ]


def test_earlier_results_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    check_unspoilt(tmp_path / "new", ["cat"], [])
    (tmp_path / "cat.overlay.png").touch()
    with pytest.raises(ValueError, match="no result of lexiseg"):
        check_unspoilt(tmp_path, ["cat"], [])
    (tmp_path / "panoptic.json").touch()
    check_unspoilt(tmp_path, ["cat"], [])
    with pytest.raises(ValueError, match="would be replaced"):
        check_unspoilt(tmp_path, ["cat"], [tmp_path / "cat.png"])


def request(words: str, *, resume: bool = False) -> Request:
    question = {"description": "lexiseg test", "words": words}
    return Request(question=question, identity_of={"x.png": "/x"}.get, resume=resume)


def test_a_close_that_fails_keeps_what_is_finished_for_a_run_that_resumes(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    categories = Categories.of(result.vocabulary)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(StagingFolder, "publish", full)
        with (
            pytest.raises(ValueError, match="make room, and the same command with --resume"),
            ResultWriter(tmp_path, categories, request=request("a")) as writer,
        ):
            writer.add(result, stem="x", picture_name="x")
    with ResultWriter(tmp_path, categories, request=request("a", resume=True)) as writer:
        assert writer.finished == {"x.png"}

    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.overlay.png", "panoptic.json", RECORD}


def test_of_two_runs_with_other_words_the_second_does_not_begin(result: Result, tmp_path: Path) -> None:
    categories = Categories.of(result.vocabulary)

    with ResultWriter(tmp_path, categories, request=request("a")) as writer:
        with pytest.raises(ValueError, match="another run writes results of other words"):
            ResultWriter(tmp_path, categories, request=request("b"))
        with ResultWriter(tmp_path, categories, request=request("a")):  # as many as there are processors
            pass
        writer.add(result, stem="x", picture_name="x")

    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.overlay.png", "panoptic.json", RECORD}


def test_a_run_that_was_killed_while_it_moved_its_files_stops_no_later_one(result: Result, tmp_path: Path) -> None:
    categories = Categories.of(result.vocabulary)
    killed = ResultWriter(tmp_path, categories, request=request("a"))
    killed.add(result, stem="x", picture_name="/x")
    (staged,) = tmp_path.glob(".partial-*")
    (staged / "x.overlay.png").rename(tmp_path / "x.overlay.png")
    killed._staging.leave()

    with ResultWriter(tmp_path, categories, request=request("a", resume=True)) as writer:
        assert not writer.finished
        writer.add(result, stem="x", picture_name="/x")

    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.overlay.png", "panoptic.json", RECORD}
