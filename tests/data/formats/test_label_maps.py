import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import IGNORED, Category, Dataset, Sample
from lexiseg.data.formats.label_maps import Encoding, load_values, semantic_dataset, to_places
from miniatures import put_grey, put_palette, put_picture, put_rgb, rows

CATEGORIES = (Category(id=7, name="road", is_thing=False), Category(id=300, name="cat", is_thing=True))


def dataset_of(path: Path, encoding: Encoding = "grey") -> Dataset:
    sample = Sample(file_name="a.jpg", image_path=path.with_name("a.jpg"), mask_path=path)
    return semantic_dataset(CATEGORIES, (sample,), {7: 0, 300: 1}, encoding=encoding)


def refusal(path: Path, encoding: Encoding = "grey") -> str:
    dataset = dataset_of(path, encoding)
    with pytest.raises(FormatError) as caught:
        dataset.annotation(dataset.samples[0]).to_semantic(())
    message = str(caught.value)
    assert message.startswith("a.jpg: ")
    assert len(message.splitlines()) == 1
    return message


def test_values_become_places_and_all_others_are_ignored(tmp_path: Path):
    dataset = dataset_of(put_grey(tmp_path / "a.png", rows(7, 300, 299, 65535, 0, 301), bits=16))

    labels = dataset.annotation(dataset.samples[0]).to_semantic(())

    assert labels.dtype == np.int32
    assert labels[:, 0].tolist() == [0, 1, IGNORED, IGNORED, IGNORED, IGNORED]


@pytest.mark.parametrize("put", [put_grey, put_palette])
def test_a_palette_is_read_by_its_indices_like_a_grey_picture(tmp_path: Path, put):
    assert np.array_equal(load_values(put(tmp_path / "a.png", rows(0, 7, 255))), rows(0, 7, 255))


def test_two_level_and_32_bit_maps_are_read(tmp_path: Path):
    Image.fromarray(rows(0, 1).astype(bool)).save(tmp_path / "a.png")
    Image.fromarray(rows(-3, 7, 70_000).astype(np.int32)).save(tmp_path / "b.tif")

    assert np.array_equal(load_values(tmp_path / "a.png"), rows(0, 1))
    assert to_places(load_values(tmp_path / "b.tif"), {7: 0})[:, 0].tolist() == [-1, -1, 0, 0, -1, -1]


def test_red_and_green_of_ade20k_make_a_class(tmp_path: Path):
    path = put_rgb(tmp_path / "a.png", rows(10, 19, 120), rows(44, 44, 85), blue=9)

    assert load_values(path, "ade-full")[[0, 2, 4], 0].tolist() == [300, 300, 12 * 256 + 85]


def test_a_matrix_of_matlab_is_read(tmp_path: Path):
    savemat(tmp_path / "a.mat", {"LabelMap": rows(7, 459).astype(np.uint16)}, do_compression=True)

    assert np.array_equal(load_values(tmp_path / "a.mat", "mat"), rows(7, 459))


@given(st.lists(st.integers(0, 400), min_size=1, max_size=6, unique=True), st.lists(st.integers(0, 65535), min_size=1))
def test_places_agree_with_a_dictionary(known: list[int], values: list[int]):
    class_of = {value: place for place, value in enumerate(known)}

    for dtype in (np.uint16, np.int32, np.int64):
        places = to_places(np.array([values], dtype), class_of)
        assert places[0].tolist() == [class_of.get(value, IGNORED) for value in values]


def test_a_missing_label_map_is_named_with_its_picture(tmp_path: Path):
    assert "there is no such label map" in refusal(tmp_path / "gone.png")
    assert "there is no such label map" in refusal(tmp_path / "gone.mat", "mat")


def test_colours_where_classes_are_expected_are_refused_with_the_way_out(tmp_path: Path):
    assert "got mode RGB" in refusal(put_picture(tmp_path / "a.png"))
    assert "grey PNG" in refusal(put_picture(tmp_path / "a.png"))
    assert "expected an RGB" in refusal(put_grey(tmp_path / "b.png", rows(1)), "ade-full")


@pytest.mark.parametrize("encoding", ["grey", "ade-full", "mat"])
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "header"])
def test_damaged_files_end_in_one_sentence(tmp_path: Path, encoding: Encoding, damage: str):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40))
    writers = {
        "grey": lambda: put_grey(tmp_path / "a.png", noise).read_bytes(),
        "ade-full": lambda: put_rgb(tmp_path / "a.png", noise, noise).read_bytes(),
        "mat": lambda: _matrix(tmp_path, noise),
    }
    whole = writers[encoding]()
    path = tmp_path / ("b.mat" if encoding == "mat" else "b.png")
    path.write_bytes({"empty": b"", "cut": whole[:200], "text": b"not a map", "header": whole[:9] + b"x" * 50}[damage])

    assert "this is no readable label map" in refusal(path, encoding) or "LabelMap" in refusal(path, encoding)


def _matrix(folder: Path, values: np.ndarray) -> bytes:
    savemat(folder / "whole.mat", {"LabelMap": values.astype(np.uint16)}, do_compression=True)
    return (folder / "whole.mat").read_bytes()


def test_a_matrix_of_another_name_or_form_is_refused(tmp_path: Path):
    savemat(tmp_path / "a.mat", {"Other": np.zeros((2, 2), np.uint16)})
    savemat(tmp_path / "b.mat", {"LabelMap": np.zeros((2, 2))})
    savemat(tmp_path / "c.mat", {"LabelMap": np.zeros((2, 2, 2), np.uint8)})

    assert "there is none" in refusal(tmp_path / "a.mat", "mat")
    assert "whole numbers" in refusal(tmp_path / "b.mat", "mat")
    assert "(2, 2, 2)" in refusal(tmp_path / "c.mat", "mat")


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (90_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))

    assert "this is no readable label map" in refusal(tmp_path / "a.png")


def test_the_scene_parsing_sample_holds_its_classes(shared: Path):
    folder = shared / "real" / "sceneparsing"
    listed = [line.split("\t") for line in (folder / "objectInfo150.txt").read_text().splitlines()[1:]]
    raw = load_values(folder / "convertFromADE" / "ADE_train_00000970_raw.png", "ade-full")
    challenge = load_values(folder / "convertFromADE" / "ADE_train_00000970_challenge.png")

    assert len(listed) == 150
    assert challenge.max() <= 150
    assert raw.shape == (768, 1024)
    assert challenge.shape == (512, 683)  # the challenge's pictures are smaller
    shrunk = raw[(np.arange(512) * 768) // 512][:, (np.arange(683) * 1024) // 683]
    # The same scene: each class of the challenge lies on one class of the full data set nearly everywhere.
    for value in np.unique(challenge[challenge > 0]):
        inside = shrunk[challenge == value]
        assert np.bincount(inside).max() > 0.7 * inside.size
