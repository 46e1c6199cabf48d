import json
from pathlib import Path
from typing import Any

import pytest

import lexiseg
import tiny
from lexiseg.core.errors import ModelError
from lexiseg.io.folder_format import FORMAT, MIGRATIONS, parse_config
from lexiseg.io.models import load_model, save_model, system_of, training_vocabulary
from lexiseg.models.provenance import Figure, Provenance, Source, Training

KNOWN = Provenance(
    made="trained by lexiseg",
    sources=(Source(part="CLIP", name="owner/clip", licence="mit", revision="abc"), Source(part="masks", name="coco")),
    trainings=(Training(recipe="opsnet", seed=3, steps=10, versions={"torch": "2.6"}),),
    figures=(Figure(name="PQ", value=0.5, data="coco", pictures=7, weights="00", command="lexiseg evaluate"),),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tiny.model()
    model.provenance = KNOWN
    return save_model(model, tmp_path / "model")


def changed(folder: Path, **fields: Any) -> Path:
    """The folder, with fields of config.json set, or removed where they are None."""
    path = folder / "config.json"
    document = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return folder


def test_every_earlier_format_has_a_way_to_the_next() -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT))


def test_a_folder_says_its_format_its_writer_and_where_the_model_comes_from(folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())

    assert (document["format"], document["lexiseg"], document["system"]) == (FORMAT, lexiseg.__version__, "opsnet")
    assert load_model(folder).provenance == KNOWN
    assert load_model(save_model(load_model(folder), folder.with_name("again"))).provenance == KNOWN


def test_a_folder_of_format_1_is_read_as_it_was(folder: Path) -> None:
    wanted = tiny.state(load_model(folder))

    first = changed(folder, format=None, lexiseg=None, provenance=None)
    assert tiny.same(tiny.state(load_model(first)), wanted)
    nameless = changed(folder, system=None)  # from before there was a second system
    assert tiny.same(tiny.state(load_model(nameless)), wanted)
    assert load_model(nameless).provenance == Provenance()
    assert system_of(nameless) == "opsnet"


def test_a_later_format_is_refused_in_a_sentence_that_says_to_update(folder: Path) -> None:
    later = changed(folder, format=FORMAT + 1, training_vocabulary={"words": "in another form"})

    for read in (load_model, system_of, training_vocabulary):
        with pytest.raises(ModelError, match=rf"is of format {FORMAT + 1}, .* up to {FORMAT}: update it"):
            read(later)


@pytest.mark.parametrize("number", [0, -1, "2", True, 2.0, [2]])
def test_a_format_that_is_no_number_is_refused(folder: Path, number: object) -> None:
    with pytest.raises(ModelError, match=r"format must be a whole number from 1"):
        load_model(changed(folder, format=number))


def test_a_field_that_is_not_known_names_the_lexiseg_that_wrote_it(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"written by lexiseg '99\.0', this is .* unknown fields \('?wings"):
        load_model(changed(folder, wings=2, lexiseg="99.0"))
    with pytest.raises(ModelError, match=r"'\s*: has unknown fields|in '[^']*': has unknown fields"):
        load_model(changed(folder, lexiseg=lexiseg.__version__))
    with pytest.raises(ModelError, match=r"provenance: made must be a text"):
        load_model(changed(folder, wings=None, provenance={"made": 3}))


def test_what_a_document_says_is_not_changed_by_reading_it() -> None:
    document = {"format": 1, "training_vocabulary": 1, "sources": {"clip": "here"}}

    found = parse_config(document, "config.json")

    assert document == {"format": 1, "training_vocabulary": 1, "sources": {"clip": "here"}}
    assert (found.system, found.config, found.sources) == ("opsnet", {"training_vocabulary": 1}, {"clip": "here"})
    with pytest.raises(ModelError, match="sources must be an object"):
        parse_config({"sources": ["here"]}, "config.json")
