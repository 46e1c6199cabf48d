"""Questions: JSON and words, checked before they cost anything, and never a file."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lexiseg.core.errors import VocabularyError
from lexiseg.inference.predictor import Model
from lexiseg.server.asks import Word, question_of, read_request, words_of
from lexiseg.server.errors import RequestError
from lexiseg.server.settings import Limits

LIMITS = Limits(words=20)


@pytest.mark.parametrize(
    "words",
    [
        "cat|kitten, sky:stuff",
        "cat|kitten\nsky:stuff",
        "  cat|kitten ;\t sky:stuff  ",
        "a cat. a dog.",
        "[cat, 'a dog']",
        "n02124075 Egyptian cat, tabby\nn02085620 Chihuahua",
        "coco",
        " COCO ",
    ],
)
def test_words_are_read_as_the_library_reads_them(tiny: Model, words: str) -> None:
    assert words_of(words, tiny, Limits()) == tiny.read(words)


def test_words_of_a_list_say_what_they_are(tiny: Model) -> None:
    listed = ["cat|kitten", Word(name="sky", synonyms=["heaven"], is_thing=False, path=["stuff"]), Word(name="dog")]

    sky = words_of(listed, tiny, LIMITS).concepts[1]

    assert words_of(listed, tiny, LIMITS).names == ("cat", "sky", "dog")
    assert (sky.synonyms, sky.is_thing, sky.path) == (("heaven",), False, ("stuff",))


@pytest.mark.parametrize(
    "name", ["secret.yaml", "secret.json", "secret.txt", "wordnet", "../secret.yaml", "/etc/passwd"]
)
def test_no_word_opens_a_file(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "wordnet").mkdir()
    for file in ("secret.yaml", "secret.json", "secret.txt", "wordnet/data.noun", "wordnet/index.noun"):
        (tmp_path / file).write_text('["hidden"]')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))

    read = [words_of(spec, tiny, LIMITS) for spec in (name, f"{tmp_path}/{name}", [name], [Word(name=name)])]

    assert all("hidden" not in one.names for one in read)
    assert read[0].names == (name,)


@pytest.mark.parametrize(
    "spec",
    [
        ", ".join(f"w{n}" for n in range(21)),
        "\n".join(f"w{n}" for n in range(21)),
        ";".join(f"w{n}" for n in range(21)),
        "|".join(f"w{n}" for n in range(21)),
        [f"w{n}" for n in range(21)],
        [Word(name="a", synonyms=[f"w{n}" for n in range(20)])],
        [Word(name=f"a{n}", path=[f"n{n}", f"m{n}"]) for n in range(11)],
        "coco",
    ],
)
def test_too_many_words_are_refused(tiny: Model, spec: Any) -> None:
    vocabulary = spec if isinstance(spec, str) else [w if isinstance(w, str) else w.model_dump() for w in spec]
    request = read_request(json.dumps({"vocabulary": vocabulary, "tree": True}).encode())

    with pytest.raises(RequestError, match="at most 20 names") as refused:
        question_of(request, tiny, LIMITS)

    assert refused.value.status == 422


@pytest.mark.parametrize("spec", ["a" * 300, "cat|" + "b" * 300, ["c" * 300], [Word(name="a", path=["d" * 300])]])
def test_a_long_word_is_refused_before_anything_remembers_it(tiny: Model, spec: Any) -> None:
    with pytest.raises(RequestError, match="at most 200 letters"):
        words_of(spec, tiny, LIMITS)


@pytest.mark.parametrize("spec", ["", " , ", "cat, cat", "cat:thingy", ["a,b"], [Word(name="")], "a\x00b", "a" * 210])
def test_what_is_no_vocabulary_is_told_in_the_words_of_the_library(tiny: Model, spec: Any) -> None:
    with pytest.raises(VocabularyError):
        words_of(spec, tiny, LIMITS)


@pytest.mark.parametrize("text", [" ", ",", "\n", ". ", "[", "a\n", "|", ";", "\r ", "\u3000", ":", "n00000000 a,"])
def test_no_text_takes_longer_to_read_than_its_length_deserves(tiny: Model, text: str) -> None:
    began = time.process_time()

    with pytest.raises((RequestError, VocabularyError)):
        words_of(text * 1_000_000, tiny, LIMITS)

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expected an object"),
        ("{", "Expected an object"),
        ("[]", "Expected an object"),
        ("[" * 100_000, "Expected an object"),
        ('{"vocabulary": ' + "[" * 100_000, "Expected an object"),
        ('{"vocabulary": "\\ud800"}', "Expected an object"),
        ("\xff", "Expected an object"),
        ("{}", '"vocabulary" is missing'),
        ('{"vocabulary": 3}', '"vocabulary" must be words'),
        ('{"vocabulary": [3]}', '"vocabulary" must be words'),
        ('{"vocabulary": [{"name": "a", "synonym": "b"}]}', '"vocabulary" must be words'),
        ('{"vocabulary": [{"name": "a", "path": ' + json.dumps(["b"] * 33) + "}]}", "of 32 at most"),
        ('{"vocabulary": "cat", "handle": "../etc"}', "32 hexadecimal digits"),
        ('{"vocabulary": "cat", "handle": "' + "A" * 32 + '"}', "32 hexadecimal digits"),
        ('{"vocabulary": "cat", "handle": "' + "0" * 32 + '\\n"}', "32 hexadecimal digits"),
        ('{"vocabulary": "cat", "score_threshold": 2}', '"score_threshold"'),
        ('{"vocabulary": "cat", "score_threshold": NaN}', '"score_threshold"'),
        ('{"vocabulary": "cat", "score_threshold": "0.2"}', '"score_threshold"'),
        ('{"vocabulary": "cat", "negatives": "yes"}', '"negatives"'),
        ('{"vocabulary": "cat", "formats": "overlay"}', '"formats"'),
        ('{"vocabulary": "cat", "model": "other"}', "'model' is unknown; known are vocabulary, handle"),
    ],
)
def test_what_is_no_question_is_told_in_one_sentence(text: str, told: str) -> None:
    with pytest.raises(RequestError, match=re.escape(told)) as refused:
        read_request(text.encode("latin-1"))

    assert refused.value.status == 422
    assert refused.value.sentence.endswith(".")
    assert "\n" not in refused.value.sentence
    assert len(refused.value.sentence) < 400


def test_a_question_of_megabytes_is_refused_unread() -> None:
    with pytest.raises(RequestError, match="at most") as refused:
        read_request(b" " * (2**22 + 1))

    assert refused.value.status == 413


def test_a_list_of_nonsense_is_not_reported_entry_by_entry() -> None:
    began = time.process_time()

    with pytest.raises(RequestError):
        read_request(b'{"vocabulary": [' + b"3," * 10**6 + b"3]}")

    assert time.process_time() - began < 1


def test_bad_words_are_refused_before_a_picture_is_looked_at(client: TestClient, png: bytes) -> None:
    before = client.app.state.service.metrics.encodes  # type: ignore[attr-defined]

    answer = client.post("/v1/segment", files={"picture": png}, data={"request": '{"vocabulary": "cat, cat"}'})

    assert answer.status_code == 422
    assert "stands twice" in answer.json()["error"]
    assert client.app.state.service.metrics.encodes == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"vocabulary": "cat"}, 422),
        ({"vocabulary": "cat", "handle": "0" * 32}, 410),
        ({"vocabulary": "cat", "handle": "0" * 31}, 422),
    ],
)
def test_a_handle_is_needed_and_an_unknown_one_tells_nothing(client: TestClient, body: Any, status: int) -> None:
    assert client.post("/v1/segment", json=body).status_code == status
