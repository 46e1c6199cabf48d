import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from lexiseg.core.errors import ModelError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model, save_model, training_vocabulary
from lexiseg.io.shipped import shipped_folder, unknown_concepts
from lexiseg.models.opsnet import OPSNet


@pytest.fixture(scope="module")
def model() -> OPSNet:
    return tiny.model(clip_scale=1.5)


def test_a_model_comes_back_with_every_weight_and_word(model: OPSNet, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()

    again = load_model(save_model(model, tmp_path / "model", extra_files={"README.md": "a card"}))

    assert again.config == model.config
    assert not again.training
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (tmp_path / "model" / "README.md").read_text() == "a card"


def test_weights_of_another_model_are_refused(model: OPSNet, tmp_path: Path) -> None:
    folder = save_model(model, tmp_path / "model")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"num_queries": 8', '"num_queries": 5'))

    with pytest.raises(ModelError, match="another shape"):
        load_model(folder)


def test_names_lead_to_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()

    assert find_model("storybook") == shipped_folder()
    assert find_model("tiny-ovseg") == shipped_folder("tiny-ovseg") != shipped_folder()
    assert find_model("mine") == Path("mine")
    assert find_model("mine/lost") == Path("mine/lost")
    assert find_model("./owner/name") == Path("owner/name")
    assert find_model(tmp_path / "nowhere") == tmp_path / "nowhere"


def test_the_hub_is_asked_only_for_an_owner_and_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(name: str, **_: object) -> None:
        asked.append(name)
        raise ModelError("not here.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lexiseg.io.finding.fetch", ask)

    with pytest.raises(ModelError, match="not here"):
        find_model("owner/name")
    for path in ("../name", "/owner/name", "a/b/c", "owner", "~/name"):
        find_model(path)
    assert asked == ["owner/name"]


def test_the_shipped_weights_know_the_drawn_world_by_name_synonym_and_attribute() -> None:
    known = Vocabulary.of("cat, Kitten, red striped owl, jet, thingummy|sky, traffic light")
    foreign = Vocabulary.of("zeppelin, 猫, 🐘, cat food")

    assert unknown_concepts(known) == ()
    assert unknown_concepts(foreign) == foreign.names
    for listed in ("storybook", "storybook-novel", "storybook-dusk"):
        assert unknown_concepts(Vocabulary.of(listed)) == ()


@pytest.mark.parametrize("layout", ["pytorch_model.bin", "model.safetensors.index.json"])
def test_a_model_folder_is_read_in_shards_and_as_a_pickle_too(model: OPSNet, tmp_path: Path, layout: str) -> None:
    folder = save_model(model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    if layout.endswith("bin"):
        torch.save(weights, folder / layout)
    else:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        (folder / layout).write_text(json.dumps({"weight_map": dict.fromkeys(weights, "model-1.safetensors")}))
    (folder / "model.safetensors").unlink(missing_ok=True)

    assert all(torch.equal(v, weights[name]) for name, v in load_model(folder).state_dict().items())


def test_what_is_frozen_stays_frozen_when_it_is_loaded(model: OPSNet, tmp_path: Path) -> None:
    loaded = load_model(save_model(model, tmp_path / "model"))

    trained = {name: p.requires_grad for name, p in loaded.named_parameters()}
    assert trained == {name: p.requires_grad for name, p in model.named_parameters()}
    assert not any(trained[name] for name in trained if name.startswith("clip."))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_number_that_is_none_is_refused(model: OPSNet, tmp_path: Path, value: float) -> None:
    folder = save_model(model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = next(reversed([name for name, v in weights.items() if v.is_floating_point() and v.numel() > 1]))
    weights[name].view(-1)[-1] = value
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(ModelError, match=f"NaN or infinity in {name}"):
        load_model(folder)


def test_whole_numbers_are_no_weights(model: OPSNet, tmp_path: Path) -> None:
    folder = save_model(model, tmp_path / "model")
    weights = {name: v.to(torch.int32) for name, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(ModelError, match="has whole numbers in"):
        load_model(folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("longest_side", 10**9),
        ("longest_side", 0),
        ("segmenter.decoder_layers", 10**8),
        ("segmenter.encoder_layers", 10**8),
        ("clip.text_layers", 10**8),
        ("clip.layers", [1, 1, 1, 10**8]),
        ("segmenter.num_queries", 10**9),
        ("segmenter.feedforward_dim", 10**9),
        ("clip.context_length", 10**7),
    ],
)
def test_sizes_that_no_model_has_are_refused_in_seconds(
    model: OPSNet, tmp_path: Path, place: str, value: object
) -> None:
    folder = save_model(model, tmp_path / "model")
    document = json.loads((folder / "config.json").read_text())
    *path, key = place.split(".")
    (document[path[0]] if path else document)[key] = value
    (folder / "config.json").write_text(json.dumps(document))

    began = time.process_time()
    with pytest.raises(ModelError):
        load_model(folder)
    assert time.process_time() - began < 10


def test_the_training_vocabulary_is_known_from_the_config_alone(model: OPSNet, tmp_path: Path) -> None:
    folder = save_model(model, tmp_path / "model")
    (folder / "model.safetensors").unlink()

    assert training_vocabulary(folder) == model.config.training_vocabulary
