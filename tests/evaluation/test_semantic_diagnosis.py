"""What masks and names cost mIoU: models that know the truth lose nothing to what they know."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from lexiseg.core.structures import MaskProposals
from lexiseg.data.dataset import Dataset
from lexiseg.data.id_maps import load_ids
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.evaluation.semantic_diagnosis import WAYS, SemanticDiagnosisTally, diagnose_semantic, renamed
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL

MODELS = {"opsnet": tiny.model, "ovseg": tiny.ovseg, "fcclip": tiny.fcclip}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    spec = StorybookSpec(role="semantic-only", split="val", count=2, size=(96, 96))
    return write_storybook(spec, tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> OpenVocabularySegmenter:
    return MODELS[request.param]()


def test_a_diagnosis_begins_at_the_evaluation(model: OpenVocabularySegmenter, dataset: Dataset) -> None:
    settings = EvaluationSettings(task="semantic", batch_size=2)

    done = diagnose_semantic(model, dataset, ALL, settings)

    own = replace(settings, semantic_rule=model.semantic_rule)
    assert done.quality["model"] == evaluate_dataset(model, dataset, ALL, own).quality
    assert tuple(done.quality) == WAYS
    assert done.num_pictures == 2
    plain = json.loads(json.dumps(done.to_jsonable()))
    assert plain["ways"]["true names"]["miou"] == done.quality["true names"].miou
    ((title, rows),) = done.tables()
    assert "truth" in title
    assert len({len(row) for row in rows}) == 1


class Truthful(torch.nn.Module):
    """Proposes the segments of one picture."""

    def __init__(self, masks: torch.Tensor) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        logits = torch.where(self.masks, 20.0, -20.0)[None]
        return MaskProposals(mask_logits=logits, query_embed=torch.zeros(1, len(self.masks), 32))


@pytest.mark.parametrize("kind", ["opsnet", "ovseg"])
def test_true_masks_with_true_names_lose_nothing(kind: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (sample, _), model = dataset.samples, MODELS[kind]()
    assert sample.mask_path is not None
    ids = torch.from_numpy(load_ids(sample.mask_path))
    masks = torch.stack([ids == segment.id for segment in sample.segments or ()])
    monkeypatch.setattr(model, "segmenter", Truthful(masks))
    monkeypatch.setattr(model, "config", replace(model.config, merge=replace(model.config.merge, score_threshold=0.0)))

    done = diagnose_semantic(model, replace(dataset, samples=(sample,)), ALL)

    assert done.quality["true names"].miou == 1.0
    named = done.quality["true masks, CLIP's names"]
    assert named.miou < 0.5  # of an untrained CLIP
    assert {one.iou for one in named.per_class if one.hits and one.hits == one.predicted_pixels} <= {1.0}


def test_counts_survive_json_and_add_up(dataset: Dataset) -> None:
    done = [
        diagnose_semantic(tiny.ovseg(), replace(dataset, samples=samples), ALL)
        for samples in (dataset.samples, dataset.samples[:1], dataset.samples[1:])
    ]
    assert done[0].quality["true names"].pixel_accuracy > max(0, min(d.quality["model"].pixel_accuracy for d in done))
    zero = SemanticDiagnosisTally()
    assert (zero + zero).ways == {}


def test_places_are_renamed_and_what_is_ignored_stays() -> None:
    labels = np.array([[-1, 0], [2, 5]], np.int32)
    assert renamed(labels, (0, 2), (2, 7)).tolist() == [[-1, 2], [7, 5]]
    assert renamed(np.full((1, 2), -1, np.int32), (), ()).tolist() == [[-1, -1]]
