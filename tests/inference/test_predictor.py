import inspect
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lexiseg.core.errors import DeviceError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference import predictor
from lexiseg.inference.encoded import EncodedImage
from lexiseg.inference.predictor import Model, choose_device, load
from lexiseg.io.checkpoint import weights_hash

WORDS = "cat, dog, sky:stuff"


@pytest.fixture
def pixels(np_rng: np.random.Generator) -> np.ndarray:
    return np_rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_path_pillow_and_array_give_the_same_result(tiny: Model, pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "same.png"
    Image.fromarray(pixels).save(path)

    results = [tiny.segment(image, WORDS, score_threshold=0.0) for image in (path, str(path), Image.open(path), pixels)]

    assert results[0].segments
    for result in results[1:]:
        np.testing.assert_array_equal(result.segmentation, results[0].segmentation)
        assert result.segments == results[0].segments
    assert [result.name for result in results] == ["same", "same", "picture", "picture"]


def test_a_vocabulary_leaves_no_trace_in_the_model(tiny: Model, pixels: np.ndarray) -> None:
    before = weights_hash(tiny.network.state_dict())
    first = tiny.segment(pixels, WORDS, score_threshold=0.0)

    tiny.segment(pixels, "whale", score_threshold=0.0, negatives=False)
    again = tiny.segment(pixels, WORDS, score_threshold=0.0)

    assert weights_hash(tiny.network.state_dict()) == before
    np.testing.assert_array_equal(again.segmentation, first.segmentation)
    assert again.segments == first.segments


def test_words_are_encoded_once_per_content(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(tiny.network)
    calls: list[Vocabulary] = []
    real = tiny.network.embed_vocabulary

    def counting(asked: Vocabulary, **settings: object) -> object:
        calls.append(asked)
        return real(asked, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny.network, "embed_vocabulary", counting)
    first = model.encode(Vocabulary.of(WORDS))
    assert model.encode(Vocabulary.of(WORDS.replace(", ", ","))) is first
    assert len(calls) == 1

    model.encode(Vocabulary.of(WORDS), negatives=False)
    assert len(calls) == 2
    for number in range(predictor.MAX_REMEMBERED):
        model.encode(Vocabulary.of(f"word {number}"))
    model.encode(Vocabulary.of(WORDS))
    assert len(calls) == 2 + predictor.MAX_REMEMBERED + 1


def test_one_more_word_costs_one_embedding(
    tiny: Model, pixels: np.ndarray, embedded_names: list[tuple[str, ...]]
) -> None:
    image = Model(tiny.network).encode_image(pixels)
    image.segment("heron, sedge, reed")
    embedded_names.clear()

    image.segment("heron, reed, newt, sedge", score_threshold=0.0)
    image.segment("newt, reed")

    assert embedded_names == [("newt",)]


def test_unknown_words_are_told_once_and_only_by_the_shipped_model(
    tiny: Model, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = Model(tiny.network, is_shipped=True)
    with caplog.at_level(logging.WARNING, logger="lexiseg"):
        tiny.segment(pixels, "cat, zeppelin")
        assert caplog.messages == []

        shipped.segment(pixels, "cat, zeppelin")
        shipped.segment(pixels, "zeppelin, dog, kitten, striped owl")
        (message,) = caplog.messages
        assert "'zeppelin'" in message
        assert "'cat'" not in message

        shipped.segment(pixels, "zeppelin, quark")
        assert "'quark'" in caplog.messages[1]
        assert "'zeppelin'" not in caplog.messages[1]


def test_many_pictures_stream(tiny: Model, pixels: np.ndarray) -> None:
    taken: list[int] = []

    def endless():
        while True:
            taken.append(1)
            yield pixels

    stream = tiny.segment_many(endless(), WORDS)
    next(stream)
    next(stream)
    assert len(taken) == 2


def test_settings_out_of_range_are_refused(tiny: Model, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="score_threshold must lie in"):
        tiny.segment(pixels, WORDS, score_threshold=1.5)


def test_instances_come_from_the_same_call(tiny: Model, pixels: np.ndarray) -> None:
    result = tiny.segment(pixels, "cat, dog", score_threshold=0.0, negatives=False, with_instances=True)

    assert tiny.segment(pixels, "cat, dog").instances is None
    assert result.instances
    assert all(instance.mask.shape == (40, 60) and instance.mask.any() for instance in result.instances)
    semantic = result.semantic()
    for segment in result.segments:
        assert (semantic[result.segmentation == segment.id] == segment.class_id).all()


def test_a_device_that_is_not_there_is_refused_in_words() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(DeviceError, match="expected auto, cpu, cuda or mps"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no cuda"):
            choose_device("cuda")


def test_a_loaded_model_says_what_it_is(tiny_folder: Path) -> None:
    model = load(tiny_folder, device="cpu")

    assert "million parameters on cpu" in repr(model)
    assert not model.network.training
    assert not model.is_shipped


def test_many_pictures_take_the_settings_of_one_and_no_others(tiny: Model, pixels: np.ndarray) -> None:
    one = inspect.signature(Model.segment).parameters
    many = inspect.signature(Model.segment_many).parameters
    settings = {"score_threshold": 0.0, "negatives": False, "with_instances": True}

    assert {name: many[name] for name in list(one)[3:]} == {name: one[name] for name in list(one)[3:]}
    assert list(inspect.signature(EncodedImage.segment).parameters.values())[1:] == list(one.values())[2:]
    (result,) = tiny.segment_many([pixels], WORDS, **settings)
    assert result.segments == tiny.segment(pixels, WORDS, **settings).segments
    assert result.instances is not None
    with pytest.raises(TypeError, match="negative"):
        tiny.segment_many([pixels], WORDS, negative=False)
