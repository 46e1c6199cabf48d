"""Words on the command line: what is told of them, and what the terminal sees."""

import io
import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from command_runs import Run
from lexiseg.cli import console
from lexiseg.core.vocabulary import Vocabulary, builtin_names
from lexiseg.encoders.cut_words import note_on_cut_words
from lexiseg.encoders.text import text_embed
from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder
from little_wordnet import write_wordnet

LONG = (
    "a large round red disc that stands upright on the green meadow in front of the blue sky on a sunny day "
    "and is seen from far away "
)
ONE, OTHER = f"{LONG}by a child with a kite", f"{LONG}by a man with no hat"


def test_segment_tells_once_what_unmarked_words_are_taken_for(run: Run, picture: Path, tmp_path: Path) -> None:
    words = "flower, lighthouse, sky, door:stuff"

    ran = run("segment", picture, picture, "-v", words, "--out", tmp_path / "out", "--device", "cpu")

    assert ran.err.count("Taken for things: 'flower', 'lighthouse'; for stuff: 'sky'") == 1
    assert ran.err.count("door") == 1  # as a word that was never read
    written = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    kinds = {category["name"]: category["isthing"] for category in written["categories"]}
    assert kinds == {"flower": 1, "lighthouse": 1, "sky": 0, "door": 0}


def test_the_best_region_of_a_word_that_is_not_there_says_so(run: Run, picture: Path, tmp_path: Path) -> None:
    common = ("segment", picture, "-v", "owl, cat", "--best-only", "--device", "cpu")

    plain = run(*common, "--out", tmp_path / "a")
    (answer,) = map(json.loads, run(*common, "--json", "--out", tmp_path / "b").out.splitlines())

    found = [segment["name"] for segment in answer["segments"]]
    assert sorted([*found, *answer["not_there"]]) == ["cat", "owl"]
    assert answer["not_there"]  # noise is hardly both
    assert all(re.search(f"not there: .*{name}", plain.out) for name in answer["not_there"])


def test_the_built_in_lists_are_shown(run: Run) -> None:
    shown = run("vocabulary", "--list").out

    lines = [line for line in shown.splitlines()[2:] if line and not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(builtin_names())
    assert run("vocabulary").code == run("vocabulary", "cat", "--list").code == 2


def test_words_that_clip_cuts_off_are_told_and_those_that_became_one(run: Run, picture: Path, tmp_path: Path) -> None:
    clip = load_model(shipped_folder()).clip
    rows = text_embed(clip, Vocabulary.of([ONE, OTHER]), cache_dir=None)
    assert torch.equal(rows[0], rows[1])

    shown = run("vocabulary", f"{ONE}, {OTHER}, cat").err
    asked = run("segment", picture, "-v", f"{ONE}, {OTHER}", "--out", tmp_path / "out", "--device", "cpu").err

    for told in (shown, asked):
        assert "cuts off" in told
        assert re.search(r"child with a kite' and '.*man with no hat' became one", told)


def test_a_cut_is_told_where_tokens_are_lost_and_nowhere_else() -> None:
    def words(*names: str) -> Vocabulary:
        return Vocabulary.of(list(names), templates=("a {}.", "{} here"))

    assert note_on_cut_words(words("cat " * 12 + "dog", "kite"), 16) == ""  # "a" and 13, start and end
    told = note_on_cut_words(words("cat " * 20 + "dog", "cat " * 20 + "owl", "x"), 16)
    assert "became one" in told
    assert "behind" in told


def test_a_model_that_is_not_there_is_told_before_torch_is_imported() -> None:
    began = time.perf_counter()
    for command in ("segment x.png -v cat -o o", "evaluate -d storybook -o o", "demo"):
        code = (
            "import sys\nfrom lexiseg.cli.main import app\n"
            "try:\n    app(sys.argv[1:])\nfinally:\n    print('torch' in sys.modules)"
        )
        arguments = [sys.executable, "-c", code, *command.split(), "--model", "nofolder"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (1, "False"), done.stderr
        assert "there is no model folder 'nofolder'" in done.stderr
    assert time.perf_counter() - began < 30  # a second each, on a machine that does something else


class _Stream(io.TextIOWrapper):
    """Has what a TextIO has."""

    mode, name = "w", "stream"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_letters_that_a_terminal_would_obey_or_lacks_are_shown_as_escapes(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, _Stream(io.BytesIO(), encoding=encoding))
    text = "a\x1b[31mred\x07\r\x9b2J\u202eb 猫 é\tc"

    console.say(text)
    console.note(text)
    console.fail(ValueError(text))
    console.LogNotes().emit(logging.makeLogRecord({"msg": "%s", "args": (text,)}))

    for stream in (sys.stdout, sys.stderr):
        seen = stream.buffer.getvalue()  # type: ignore[attr-defined]
        decoded = seen.decode(encoding)
        assert not set(decoded) & set("\x1b\x07\r\x9b\u202e")
        assert "\\x1b[31mred" in decoded


def test_words_of_another_alphabet_reach_a_console_that_lacks_it(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "cp1252", "PATH": "/usr/bin", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-m", "lexiseg", "vocabulary", "猫, 汽车, café"],
        capture_output=True,
        check=False,
        env=environment,
    )

    assert done.returncode == 0, done.stderr
    assert b"\\u732b" in done.stdout
    assert "café".encode("cp1252") in done.stdout


def test_words_take_their_places_from_wordnet_and_segments_tell_their_paths(
    ask: Run, run: Run, picture: Path, tmp_path: Path
) -> None:
    wordnet = write_wordnet(tmp_path / "dict")
    words = ("--wordnet", wordnet)

    told = run("vocabulary", "siamese, tabby, lion, bird, sky", *words).out
    plain = ask(picture, "--tree", *words, vocabulary="cat, dog, sky:stuff")
    written = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"][0]["segments_info"]
    (answer,) = map(json.loads, ask(picture, "--tree", "--json", *words, out=tmp_path / "json").out.splitlines())

    assert re.search(r"lion +thing +thing > animal > feline", told)
    assert re.search(r"siamese +thing +thing > animal > feline > cat", told)
    assert written
    assert [segment["path"] for segment in written] == [segment["path"] for segment in answer["segments"]]
    assert all(segment["path"][0]["name"] in ("thing", "stuff") for segment in written)
    first = " > ".join(f"{step['name']} {step['score']:.2f}" for step in written[0]["path"])
    assert first in plain.out


def test_a_path_needs_places_and_a_best_region_has_none(ask: Run, run: Run, picture: Path, tmp_path: Path) -> None:
    assert "needs words with places in one" in ask(picture, "--tree").err
    best = run("segment", picture, "-v", "cat", "--tree", "--best-only", "--out", tmp_path / "best")
    assert "so --tree has no meaning" in best.err.replace("\n", " ")
    assert "is no WordNet folder" in run("vocabulary", "cat", "--wordnet", tmp_path).err


def test_wordnets_folder_is_a_vocabulary_of_its_nouns(run: Run, tmp_path: Path) -> None:
    shown = run("vocabulary", write_wordnet(tmp_path / "dict"))

    assert "18 things and 2 stuff" in shown.out
    assert re.search(r"crane \(n\d{8}\)", shown.out)
