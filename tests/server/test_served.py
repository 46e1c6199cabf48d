"""A model as strangers ask it: one more word costs one embedding, and many new ones stop nobody else for long."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import text
from lexiseg.inference.encoded import Question
from lexiseg.inference.predictor import Model
from lexiseg.server.errors import RequestError
from lexiseg.server.served import ServedModel
from lexiseg.server.service import Service
from lexiseg.server.settings import Limits, Settings
from serving import loading

AWAITED = threading.Event()  # which is never set
MANY = [f"word {number}" for number in range(10)]


@pytest.fixture
def encoded(embedded_names: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The names of each call of the text tower, of one name at once."""
    monkeypatch.setattr(text, "BATCH_SIZE", 1)
    return embedded_names


@pytest.fixture
def serving_for(tiny: Model) -> Iterator[Callable[[float], Service]]:
    """Gives a service whose questions may take so many seconds."""
    services: list[Service] = []

    def serve(seconds: float) -> Service:
        service = Service(Settings(device="cpu", limits=Limits(seconds=seconds)), load_model=loading(tiny))
        services.append(service)
        asyncio.run(service.prepare())
        return service

    yield serve
    for service in services:
        service.close()


def question(model: Any, words: Any, *, tree: bool = False) -> Question:
    usual: dict[str, Any] = {"negatives": True, "score_threshold": None, "fusion": None, "rank_by": None}
    return Question.of(model, words, with_instances=False, tree=tree, **usual)


@pytest.mark.parametrize("negatives", [True, False])
def test_what_depends_on_all_words_is_what_the_library_says(tiny: Model, negatives: bool) -> None:
    served = ServedModel(tiny)
    served.encode(tiny.read(MANY), negatives=negatives)
    words = tiny.read(["train", *MANY[3:7], "cat|kitten"])

    found = served.encode(words, negatives=negatives)
    expected = tiny.network.embed_vocabulary(words, negatives=negatives)

    assert found.concept_index.tolist() == expected.concept_index.tolist()
    assert (found.num_concepts, found.domain_similarity) == (6, pytest.approx(expected.domain_similarity))
    torch.testing.assert_close(found.text_embed, expected.text_embed)
    torch.testing.assert_close(found.similarity, expected.similarity)
    assert found.is_trained is not None
    assert expected.is_trained is not None
    assert torch.equal(found.is_trained, expected.is_trained)


def test_one_more_word_costs_one_embedding(tiny: Model, encoded: list[tuple[str, ...]]) -> None:
    served = ServedModel(tiny)
    served.encode(tiny.read(MANY))
    encoded.clear()

    served.encode(tiny.read([*MANY, "octopus"]))
    served.encode(tiny.read(MANY[::-1]))
    served.encode(tiny.read([*MANY, "octopus"]))

    assert encoded == [("octopus",)]


def test_words_that_are_many_are_read_in_steps_and_the_last_with_the_answer(
    tiny: Model, encoded: list[tuple[str, ...]]
) -> None:
    served = ServedModel(tiny)
    encoded.clear()
    asked = question(served, [{"name": name, "path": ["node", name]} for name in MANY], tree=True)

    assert asked.tree is not None
    steps = served.steps_before(asked)
    for step in steps:
        step()
    read = encoded.copy()
    for vocabulary, negatives in ((asked.vocabulary, True), (asked.tree.nodes, False)):
        served.encode(vocabulary, negatives=negatives)

    assert read == [(name,) for name in MANY]
    assert encoded == [*read, ("node",)]
    assert served.steps_before(asked) == []


def test_a_question_that_takes_too_long_is_refused_and_its_repeat_goes_on(
    serving_for: Callable[[float], Service], png: bytes, encoded: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serving_for(0.5)
    handle, kept = service.look(png, AWAITED)
    asked = question(service.served, MANY)
    encoded.clear()
    quick = text.embed_names

    def slow(*given: Any) -> Any:
        time.sleep(0.15)
        return quick(*given)

    monkeypatch.setattr(text, "embed_names", slow)
    with pytest.raises(RequestError, match="goes on from there") as refused:
        service.ask(handle, kept, asked, AWAITED)
    before = len(encoded)
    for _ in MANY:
        with suppress(RequestError):
            service.ask(handle, kept, asked, AWAITED)
            break

    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "2"})
    assert 1 <= before < len(MANY)
    assert encoded == [(name,) for name in MANY]
    result, _ = service.ask(handle, kept, asked, AWAITED)
    assert result.vocabulary.names == tuple(MANY)
    assert len(encoded) == len(MANY)


def test_another_question_comes_between(
    serving_for: Callable[[float], Service], png: bytes, encoded: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serving_for(60.0)
    handle, kept = service.look(png, AWAITED)
    known, long = question(service.served, "cat, dog"), question(service.served, MANY)
    service.ask(handle, kept, known, AWAITED)
    encoded.clear()
    begun, quick = threading.Event(), text.embed_names

    def slow(*given: Any) -> Any:
        begun.set()
        time.sleep(0.2)
        return quick(*given)

    monkeypatch.setattr(text, "embed_names", slow)
    asking = threading.Thread(target=service.ask, args=(handle, kept, long, AWAITED))
    asking.start()
    begun.wait(timeout=60)
    service.ask(handle, kept, known, AWAITED)
    between = len(encoded)
    asking.join()

    assert between < len(MANY)
    assert encoded == [(name,) for name in MANY]


def test_nothing_more_is_embedded_for_a_client_that_has_gone(
    serving_for: Callable[[float], Service], png: bytes, encoded: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, gone = serving_for(60.0), threading.Event()
    handle, kept = service.look(png, AWAITED)
    encoded.clear()
    real = text.embed_names

    def leaving(*given: Any) -> Any:
        if len(encoded) == 2:
            gone.set()
        return real(*given)

    monkeypatch.setattr(text, "embed_names", leaving)
    with pytest.raises(RequestError, match="Nobody"):
        service.ask(handle, kept, question(service.served, MANY), gone)

    assert encoded == [(name,) for name in MANY[:3]]


def test_vocabularies_are_remembered_up_to_a_number(tiny: Model) -> None:
    served = ServedModel(tiny)
    for number in range(40):
        served.encode(Vocabulary.of(f"word, word {number % 5} {number}"))

    assert len(served._known) == 32
