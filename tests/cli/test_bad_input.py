"""Bad input through the command line: one sentence, the right exit code, no traceback, nothing half-written."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from command_runs import Run, one_sentence


def black_png(path: Path, side: int) -> None:
    """Writes a large 1-bit PNG that is small on disk, row by row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(1), bytes(1 + -(-side // 8))
    pixels = b"".join(packer.compress(row * 1000) for _ in range(side // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_a_missing_picture(ask: Run, tmp_path: Path) -> None:
    one_sentence(ask(tmp_path / "nothing.jpg"), 1, "nothing.jpg", "does not exist")
    assert not (tmp_path / "out").exists()


def test_a_text_that_is_called_jpg(ask: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear reader, this is no picture.")

    one_sentence(ask(tmp_path / "letter.jpg"), 1, "letter.jpg", "not a picture")
    assert not (tmp_path / "out").exists()


def test_a_truncated_jpeg(ask: Run, picture: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    with Image.open(picture) as image:
        image.save(whole)
    (tmp_path / "half.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    one_sentence(ask(tmp_path / "half.jpg"), 1, "half.jpg", "cut off")
    assert not (tmp_path / "out").exists()


def test_a_picture_of_zero_bytes(ask: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()

    one_sentence(ask(tmp_path / "empty.png"), 1, "empty.png", "0 bytes")
    assert not (tmp_path / "out").exists()


def test_a_decompression_bomb(ask: Run, tmp_path: Path) -> None:
    black_png(tmp_path / "bomb.png", 30_000)

    one_sentence(ask(tmp_path / "bomb.png"), 1, "bomb.png", "too large")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures(ask: Run, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()

    one_sentence(ask(tmp_path / "bare"), 1, "holds no pictures")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("", "at least one word"),
        (" ", "at least one word"),
        ("cat,,dog", "empty name"),
        ("w" * 10_000, "at most 200 characters"),
        ("cat, dog, Cat", "stands twice"),
        ("cat|kitten, kitten", "stands twice"),
        ("sky:stuf", 'did you mean ":stuff"?'),
        ("nowhere.yaml", "cannot read"),
    ],
    ids=["nothing", "space", "hole", "10000 characters", "duplicate", "duplicate synonym", "suffix", "no file"],
)
def test_words_that_make_no_vocabulary_are_a_mistake_of_usage(
    ask: Run, picture: Path, tmp_path: Path, words: str, part: str
) -> None:
    ran = ask(picture, vocabulary=words)

    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("lexiseg: ")
    assert part in line
    assert len(line) < 500
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_file_of_another_kind(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "words.doc").write_text("cat\ndog\n")

    one_sentence(ask(picture, vocabulary=tmp_path / "words.doc"), 2, ".yaml")


def test_an_output_folder_that_cannot_be_written(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder.")

    one_sentence(ask(picture, out=tmp_path / "file" / "out"), 1, "can't be written")
    one_sentence(ask(picture, out=tmp_path / "file"), 1, "can't be written")
    assert (tmp_path / "file").read_text() == "I am no folder."


def test_results_never_replace_a_picture_or_a_foreign_file(ask: Run, picture: Path, tmp_path: Path) -> None:
    before = picture.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{picture.stem}.png").write_text("somebody's")

    one_sentence(ask(picture, out=picture.parent), 1, "would be replaced")
    one_sentence(ask(picture), 1, "is there already")
    assert picture.read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{picture.stem}.png"]


def test_a_model_folder_that_is_missing(ask: Run, picture: Path, tmp_path: Path) -> None:
    one_sentence(ask(picture, model=tmp_path / "nowhere"), 1, "there is no model folder")
    one_sentence(ask(picture, model="somebody/something"), 1, "somebody/something", "HF_HUB_OFFLINE")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def broken(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model folder, for breaking."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "broken"))


def test_a_model_folder_without_config(ask: Run, picture: Path, tmp_path: Path, broken: Path) -> None:
    (broken / "config.json").unlink()

    one_sentence(ask(picture, model=broken), 1, "has no config.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "this is no JSON"),
        ("{}", "lacks fields"),
        ('{"heads": 3}', "unknown fields"),
        ("[]", "must hold an object"),
    ],
)
def test_a_model_folder_with_a_damaged_config(ask: Run, picture: Path, broken: Path, text: str, part: str) -> None:
    (broken / "config.json").write_text(text)

    one_sentence(ask(picture, model=broken), 1, "config.json", part)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("segmenter", "num_heads", 5),
        ("segmenter", "num_heads", 0),
        ("clip", "embed_dim", -1),
        ("clip", "text_heads", 3),
    ],
)
def test_a_model_whose_config_cannot_be_built(
    ask: Run, picture: Path, broken: Path, part: str, key: str, value: int
) -> None:
    document = json.loads((broken / "config.json").read_text())
    document[part][key] = value
    (broken / "config.json").write_text(json.dumps(document))

    one_sentence(ask(picture, model=broken), 1, "config.json")


def test_a_model_folder_with_a_wrong_shape(ask: Run, picture: Path, tmp_path: Path, broken: Path) -> None:
    document = json.loads((broken / "config.json").read_text())
    document["segmenter"]["num_queries"] = 9
    (broken / "config.json").write_text(json.dumps(document))

    one_sentence(ask(picture, model=broken), 1, "another shape", "instead of [9, 32]")
    assert not (tmp_path / "out").exists()


def test_a_model_folder_with_truncated_weights(ask: Run, picture: Path, tmp_path: Path, broken: Path) -> None:
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])

    one_sentence(ask(picture, model=broken), 1, "damaged or cut off")
    assert not (tmp_path / "out").exists()


def test_numbers_outside_their_range_are_a_mistake_of_usage(run: Run, picture: Path, tmp_path: Path) -> None:
    common = ("segment", picture, "--vocabulary", "cat", "--out", tmp_path / "out")

    for option, value in [("--score-threshold", 2), ("--alpha", -1), ("--rank-by", "luck"), ("--device", "abacus")]:
        ran = run(*common, option, value)
        assert ran.code == 2
        assert option in ran.err
    assert not (tmp_path / "out").exists()


def test_two_ways_to_weigh_clip_are_a_mistake_of_usage(run: Run, ask: Run, picture: Path, tmp_path: Path) -> None:
    one_sentence(ask(picture, "--clip-only", "--alpha", 3), 2, "--alpha and --clip-only")
    one_sentence(ask(picture, "--alpha", 3, "--clip-ratio", 1), 2, "give one of them")
    drawn = ("--data", "storybook", "--count", 1, "--out", tmp_path / "out")
    one_sentence(run("evaluate", *drawn, "--clip-only", "--clip-ratio", 1), 2, "--clip-ratio and --clip-only")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_behind(ask: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lexiseg.inference.predictor.Model.segment_many", stop)
    ran = ask(picture)

    assert ran.code == 130
    assert ran.err == "lexiseg: interrupted.\n"
    assert not (tmp_path / "out").exists()


def test_other_commands_fail_in_one_sentence_too(run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")

    one_sentence(run("storybook", "--count", 1, "--out", tmp_path / "full"), 1, "is not empty")
    one_sentence(run("storybook", "--count", 1, "--out", out, "--size", "huge"), 2, "--size")
    one_sentence(run("evaluate", "--model", tiny_folder, "--data", tmp_path / "nowhere", "--out", out), 1, "nowhere")
    one_sentence(run("vocabulary", "cat,cat"), 2, "stands twice")
    one_sentence(run("train", "perpetuum-mobile", "--out", out), 2, "opsnet-tiny")
    one_sentence(run("train", "opsnet-tiny"), 2, "--out")
    one_sentence(run("train", "opsnet-tiny", "--out", out), 1, "--clip")
    one_sentence(
        run("train", "clip-tiny", "--steps", 3, "--data", out, "--out", out), 2, "no use for --data and --steps"
    )
    one_sentence(run("train", "storybook", "--clip", out, "--out", out), 2, "no use for --clip")
    clip = ("--clip", "RN50", "--clip-weights", tmp_path / "none.pt", "--out", out)
    one_sentence(run("assemble", tmp_path / "nowhere", *clip), 1, "nowhere")
    assert not out.exists()
