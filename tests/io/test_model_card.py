import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image

import tiny
from lexiseg.core.errors import ModelError
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.model_card import common_licence, read_figures
from lexiseg.io.models import save_model
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.provenance import Provenance, Source, Training

CLIP = Source(part="CLIP", name="owner/clip", licence="mit", revision="abc")
MASKS = Source(part="masks", name="storybook-base", licence="apache-2.0")


def card_of(
    model: OpenVocabularySegmenter, folder: Path, provenance: Provenance, **how: Any
) -> tuple[str, ModelCardData]:
    """The card in a model's folder, and what the hub makes of its front matter."""
    model.provenance = provenance
    text = (save_model(model, folder, overwrite=True, **how) / "README.md").read_text()
    data = ModelCard(text).data
    assert isinstance(data, ModelCardData)
    return text, data


@pytest.mark.parametrize("build", [tiny.model, tiny.ovseg])
def test_the_front_matter_is_what_the_hub_reads(build: Any, tmp_path: Path) -> None:
    text, card = card_of(build(), tmp_path / "my model", Provenance(made="assembled", sources=(CLIP,)))

    front = card.to_dict()
    assert (front["library_name"], front["pipeline_tag"]) == ("lexiseg", "image-segmentation")
    assert (card.license, card.base_model) == ("mit", ["owner/clip"])
    assert {"lexiseg", "open-vocabulary", "panoptic-segmentation"} < set(card.tags or ())
    assert "# my model\n" in text
    assert "5 names (3 things, 2 stuff)" in text


def test_the_python_of_a_card_runs_beside_its_folder(tmp_path: Path) -> None:
    text, _ = card_of(tiny.model(), tmp_path / "mine", Provenance())
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "picture.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert len(code.splitlines()) == 3
    assert "cat, dog, bird, sky:stuff" in code
    with Image.open(tmp_path / "found.png") as found:
        assert found.width >= 50


def test_what_is_not_known_is_said_to_be_so(tmp_path: Path) -> None:
    text, card = card_of(tiny.model(), tmp_path / "mine", Provenance())

    assert (card.license, card.to_dict()["license_name"]) == ("other", "unknown")
    for sentence in ("How it was made is not recorded", "None were recorded", "Not recorded: ask whoever made it"):
        assert sentence in text


def test_licences_are_joined_only_if_they_are_one(tmp_path: Path) -> None:
    strict = Source(part="whole model", name="OVSeg", licence="cc-by-nc-4.0")

    assert common_licence((CLIP, CLIP)) == "mit"
    assert common_licence((CLIP, strict)) is common_licence((CLIP, Source(part="start", name="x"))) is None
    text, card = card_of(tiny.ovseg(), tmp_path / "mine", Provenance(sources=(CLIP, strict)))
    assert card.license == "other"
    assert "owner/clip: mit; OVSeg: cc-by-nc-4.0" in text


def test_a_training_is_told_with_what_it_was_of(tmp_path: Path) -> None:
    training = Training(recipe="opsnet-tiny", seed=3, steps=10, batch_size=4, lr=0.1, versions={"torch": "2.6"})
    known = Provenance(made="trained", sources=(MASKS,), trainings=(training,))

    text, _ = card_of(tiny.model(), tmp_path / "mine", known)

    assert "| opsnet-tiny | 3 | 10 | 4 | 0.1 |  | torch 2.6 |" in text
    assert "drawn pictures: photographs need other weights" in text


def report(path: Path, model: OpenVocabularySegmenter, **changes: Any) -> Path:
    """A report.json with what is read of one."""
    own = {key: to_jsonable(getattr(model.config, key)) for key in ("fusion", "merge")}
    settings: Mapping[str, Any] = {**own, "task": "panoptic", "negatives": False, "precision": "bf16"}
    told = {
        "pq": 0.512,
        "groups": {"unseen": {"pq": 0.25}},
        "num_pictures": 7,
        "weights": weights_hash(model.state_dict()),
        "settings": settings,
        "data": {"name": "/home/somebody/my-pictures", "limit": 7, "root": None, "split": "val"},
    }
    path.write_text(json.dumps(told | changes))
    return path


def test_a_card_has_the_figures_of_a_report_and_the_command_that_gives_them(tmp_path: Path) -> None:
    model = tiny.model()
    weights = weights_hash(model.state_dict())
    figures = read_figures(report(tmp_path / "report.json", model), model.config, weights)

    text, card = card_of(model, tmp_path / "mine", Provenance(figures=figures), dtype=torch.float16)

    command = "`lexiseg evaluate --data my-pictures --split val --limit 7 --precision bf16`"
    assert f"| my-pictures | PQ | 51.2 | 7 | {command} |" in text
    assert f"| my-pictures, unseen | PQ | 25.0 | 7 | {command} |" in text
    assert "measured before the weights were rounded" in text
    assert card.eval_results is not None
    assert [(one.dataset_name, one.metric_type, one.metric_value) for one in card.eval_results] == [
        ("my-pictures", "PQ", 51.2)
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"weights": "0" * 16}, "is of other weights than"),
        (
            {"settings": {"fusion": {}, "merge": {}, "task": "panoptic", "negatives": True}},
            "other settings than the model's",
        ),
        ({"groups": 3}, "is no report of 'lexiseg evaluate'"),
        ({"pq": "good"}, "is no report of 'lexiseg evaluate'"),
    ],
)
def test_a_report_of_something_else_is_refused(changes: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    model = tiny.model()

    with pytest.raises(ModelError, match=complaint):
        read_figures(report(tmp_path / "report.json", model, **changes), model.config, weights_hash(model.state_dict()))
