"""Places in a taxonomy: by WordNet for any words, and those of the built-in lists."""

import importlib.util
import json
import shutil
import tomllib
from pathlib import Path

import pytest

from lexiseg.core import vocabulary as lists
from lexiseg.core.concepts import Concept
from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.words.trees import with_places
from lexiseg.core.words.wordnet import WordNet, is_wordnet
from little_wordnet import write_wordnet

ROOT = Path(__file__).resolve().parents[3]
DEBIAN = Path("/usr/share/wordnet")
PLACED = ("coco", "ade20k", "imagenet")


@pytest.fixture
def net(tmp_path: Path) -> WordNet:
    return WordNet.read(write_wordnet(tmp_path / "dict"))


def places(words: str | Vocabulary, net: WordNet, **senses: str) -> dict[str, str]:
    placed = with_places(Vocabulary.of(words), net, senses)
    return {name: " > ".join(concept.path) for name, concept in zip(placed.names, placed.concepts, strict=True)}


def test_kinds_that_part_the_words_are_steps_and_all_others_are_left_out(net: WordNet) -> None:
    assert places("siamese, tabby, lion, bird, drum, sky:stuff, grass:stuff", net) == {
        "siamese": "thing > animal > feline > cat",
        "tabby": "thing > animal > feline > cat",
        "lion": "thing > animal > feline",
        "bird": "thing > animal",
        "drum": "thing",
        "sky": "stuff",
        "grass": "stuff",
    }


def test_a_word_that_is_a_kind_of_others_is_a_leaf_below_its_own_node(net: WordNet) -> None:
    assert places("cat, tabby, oak cat, dog", net) == {
        "cat": "thing > mammal > cat",
        "tabby": "thing > mammal > cat",
        "oak cat": "thing > mammal > cat",
        "dog": "thing > mammal",
    }


def test_the_sense_is_the_one_of_the_id_the_chosen_one_or_the_first_that_can_be_seen(net: WordNet) -> None:
    bird, machine, writer = net.senses("crane")
    cranes = Vocabulary(
        (Concept("crane", id=bird), Concept("crane", id=machine), *Vocabulary.of("lion, drum").concepts)
    )

    assert [*places(cranes, net).values()] == ["thing > animal", "thing > machine", "thing > animal", "thing > machine"]
    assert places("crane, bird, drum", net)["crane"] == "thing > bird"
    assert places("crane, bird, drum", net, crane=machine)["crane"] == "thing > machine"
    assert places("crane|Stephen Crane, bird", net)["crane"] == "thing > bird"
    assert places("crane, drum", net, crane=writer)["crane"] == "thing"


def test_words_that_wordnet_lacks_stay_below_the_root(net: WordNet) -> None:
    assert places("teapot, cats, dog, vapour:stuff", net) == {
        "teapot": "thing",
        "cats": "thing > mammal",
        "dog": "thing > mammal",
        "vapour": "stuff",
    }


@pytest.mark.parametrize("listed", PLACED)
def test_most_concepts_of_the_great_lists_lie_at_depth_three_or_more(listed: str) -> None:
    concepts = Vocabulary.of(listed).concepts

    assert all(concept.path[0] == ("thing" if concept.is_thing else "stuff") for concept in concepts)
    assert sum(len(concept.path) >= 2 for concept in concepts) / len(concepts) > 0.8


@pytest.mark.parametrize("listed", PLACED)
def test_every_node_of_their_trees_parts_what_is_below_it(listed: str) -> None:
    def check(node: TaxonomyNode) -> None:
        assert len(node.children) + len(node.leaves) > 1
        for child in node.children:
            check(child)

    for kind in taxonomy(Vocabulary.of(listed)).children:
        check(kind)


@pytest.mark.parametrize(
    ("listed", "name", "place"),
    [
        ("coco", "cat", "thing > animal > mammal > carnivore"),
        ("coco", "mouse", "thing > device"),
        ("coco", "banana", "thing > food > produce > edible fruit"),
        ("coco", "brick wall", "stuff > structure > wall"),
        ("ade20k", "armchair", "thing > furniture > seat > chair"),
        ("ade20k", "lake", "stuff > body of water"),
        ("imagenet", "Siamese cat", "thing > animal > mammal > carnivore > feline > cat > domestic cat"),
        ("imagenet", "crane", "thing > animal > bird > aquatic bird > wading bird"),
    ],
)
def test_places_are_what_a_reader_expects(listed: str, name: str, place: str) -> None:
    vocabulary = Vocabulary.of(listed)

    assert " > ".join(vocabulary.concepts[vocabulary.names.index(name)].path) == place


def test_imagenets_classes_have_their_synsets_which_ascend() -> None:
    vocabulary = Vocabulary.of("imagenet")
    ids = [concept.id for concept in vocabulary.concepts]

    assert ids == sorted(set(ids))
    known = {
        "tench": "n01440764",
        "crane": "n02012849",
        "construction crane": "n03126707",
        "toilet tissue": "n15075141",
    }
    assert {name: ids[vocabulary.names.index(name)] for name in known} == known


@pytest.mark.skipif(not is_wordnet(DEBIAN), reason="WordNet is not installed (Debian's package wordnet-base)")
def test_the_lists_are_what_the_tool_makes_of_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("places", ROOT / "tools" / "places.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    own = tool.FOLDER
    shutil.copytree(own, tmp_path / "vocabularies")
    monkeypatch.setattr(tool, "FOLDER", tmp_path / "vocabularies")

    tool.main(DEBIAN)

    for listed in PLACED:
        assert (tmp_path / "vocabularies" / f"{listed}.json").read_text() == (own / f"{listed}.json").read_text()


def test_wordnets_licence_travels_with_what_is_made_of_it() -> None:
    licence = Path(lists.__file__).with_name("vocabularies") / "WORDNET-LICENSE.txt"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert "WordNet 3.0 Copyright 2006 by Princeton University" in licence.read_text()
    assert str(licence.resolve().relative_to(ROOT)) in project["license-files"]
    for listed in PLACED:
        assert f"{listed}.json" in licence.read_text()
        assert json.loads(licence.with_name(f"{listed}.json").read_text())["concepts"]
