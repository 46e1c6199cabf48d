"""The contract of a model is enough: a third system, made up here, is used everywhere after one line in one table."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

import lexiseg
import tiny
from lexiseg.cli.main import app
from lexiseg.core.structures import (
    ImageBatch,
    LayerPrediction,
    MaskPrediction,
    MaskProposals,
    VocabularyEmbeddings,
)
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.id_maps import save_ids
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.text import TextMemory
from lexiseg.io.models import MODELS
from lexiseg.layers.modulation import class_cosines
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.models.vocabulary_embedding import QuestionConfig, embed_vocabulary
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.launch import AROUND_CLIP, RUNNERS, Runner
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.initial_weights import Origin
from lexiseg.training.segmentation.recipe import TrainingRecipe
from lexiseg.training.segmentation.run import check_run, train_segmenter

SIDE, STRIDE, SCALE = 64, 4, 10.0
WORDS = Vocabulary.of("sky:stuff, grass:stuff", ("a photo of a {}.",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Cosines of the query and of CLIP's view of the whole picture, weighted."""

    clip_share: float = 0.0

    OPTIONS: ClassVar[tuple[str, ...]] = ("clip_only",)

    @property
    def told(self) -> str:
        return f"cosines, CLIP's share {self.clip_share:g}"

    def overridden(self, **options: Any) -> "Blend":
        return Blend(clip_share=1.0) if options.get("clip_only") else self


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonConfig:
    """Sizes, words and ways to answer."""

    clip: ClipConfig
    training_vocabulary: Vocabulary
    longest_side: int = SIDE
    shortest_side: int | None = None
    merge: MergeConfig = field(default_factory=lambda: MergeConfig(score_threshold=0.0))
    fusion: Blend = field(default_factory=Blend)
    question: QuestionConfig = field(default_factory=QuestionConfig)


class Halves(nn.Module):
    """Proposes the upper and the lower half of every picture."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.eye(2, dim))
        self.sharpness = nn.Parameter(torch.tensor(8.0))

    @property
    def backbone_parameters(self) -> list[nn.Parameter]:
        return [self.sharpness]

    def forward(self, pixel_values: Tensor, *, every_layer: bool = False) -> MaskProposals:
        batch, _, height, width = pixel_values.shape
        is_upper = torch.arange(height // STRIDE, device=pixel_values.device) < height // STRIDE // 2
        upper = torch.where(is_upper, self.sharpness, -self.sharpness)[:, None].expand(-1, width // STRIDE)
        proposals = MaskProposals(
            mask_logits=torch.stack([upper, -upper]).expand(batch, -1, -1, -1),
            query_embed=self.queries.expand(batch, -1, -1),
        )
        return MaskProposals(
            mask_logits=proposals.mask_logits,
            query_embed=proposals.query_embed,
            aux=(proposals,) if every_layer else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen(EncodedImages):
    """Halves of pictures, and CLIP's view of the whole for each."""

    whole: Tensor


class Horizon(OpenVocabularySegmenter):
    """Names the halves of a picture."""

    clip_only = Blend(clip_share=1.0)
    semantic_rule = "soft"
    has_targets_per_class = True
    samples_points = True

    def __init__(self, config: HorizonConfig) -> None:
        super().__init__()
        self.config = config
        self.segmenter = Halves(config.clip.embed_dim)
        self.head = nn.Linear(config.clip.embed_dim, config.clip.embed_dim, bias=False)
        self.void = nn.Parameter(torch.full((2,), -1.0))
        self.clip = Clip(config.clip).requires_grad_(False).eval()

    def propose(self, images: ImageBatch, *, every_layer: bool = False) -> MaskProposals:
        return self.segmenter(images.pixel_values, every_layer=every_layer)

    def encode(self, images: ImageBatch, proposals: MaskProposals | None = None) -> Seen:
        proposals = proposals or self.propose(images)
        with torch.no_grad():
            whole = F.normalize(self.clip.encode_image(images.pixel_values), dim=-1)[:, None]
        return Seen(proposals=proposals, whole=whole.expand_as(proposals.query_embed))

    def answer(self, encoded: Seen, words: VocabularyEmbeddings, fusion: Fusion | None = None) -> MaskPrediction:
        blend, proposals = fusion or self.config.fusion, encoded.proposals
        assert isinstance(blend, Blend)
        logits = self._logits(proposals, words)
        by_clip = SCALE * class_cosines(encoded.whole, words)
        void_probs = logits.softmax(-1)[..., -1] * (1 - blend.clip_share)
        return MaskPrediction(
            mask_logits=proposals.mask_logits,
            class_logits=(1 - blend.clip_share) * logits[..., :-1] + blend.clip_share * by_clip,
            void_probs=void_probs,
            iou_scores=torch.ones_like(void_probs),
            num_concepts=words.num_concepts,
        )

    def embed_vocabulary(
        self,
        vocabulary: Vocabulary,
        *,
        negatives: bool,
        cache_dir: Path | None = None,
        memory: TextMemory | None = None,
    ) -> VocabularyEmbeddings:
        return embed_vocabulary(
            self.clip,
            vocabulary,
            self.config.training_vocabulary,
            negatives=negatives,
            cache_dir=cache_dir,
            memory=memory,
        )

    def predict_layers(self, images: ImageBatch, words: VocabularyEmbeddings) -> tuple[LayerPrediction, ...]:
        last = self.propose(images, every_layer=True)
        return tuple(
            LayerPrediction(mask_logits=layer.mask_logits.float(), class_logits=self._logits(layer, words))
            for layer in (*last.aux, last)
        )

    def _logits(self, proposals: MaskProposals, words: VocabularyEmbeddings) -> Tensor:
        embed = F.normalize(self.head(proposals.query_embed).float(), dim=-1)
        cosines = class_cosines(embed, words)
        return SCALE * torch.cat([cosines, self.void.expand(len(embed), -1)[..., None]], -1)


def horizon() -> Horizon:
    """Names both halves, but takes one for the other."""
    model = tiny.seeded(Horizon(HorizonConfig(clip=tiny.CLIP, training_vocabulary=WORDS))).eval()
    words = model.embed_vocabulary(WORDS, negatives=False)
    with torch.no_grad():
        model.segmenter.queries.copy_(torch.eye(2, tiny.CLIP.embed_dim))
        model.segmenter.sharpness.fill_(8.0)
        model.void.fill_(-1.0)
        model.head.weight.zero_()
        model.head.weight[:, :2] = words.text_embed.flip(0).T
    return model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model's folder, after one line in the table of models."""
    monkeypatch.setitem(MODELS, "horizon", (HorizonConfig, Horizon))
    return lexiseg.save_model(horizon(), tmp_path / "horizon")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of sky over grass, in COCO's panoptic format."""
    root = tmp_path_factory.mktemp("pictures") / "data"
    for name in ("images", "panoptic"):
        (root / name).mkdir(parents=True)
    ids = np.where(np.arange(SIDE)[:, None] < SIDE // 2, 1, 2) * np.ones((1, SIDE), int)
    images, annotations = [], []
    for number in range(1, 7):
        noise = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{number}.png")
        save_ids(root / "panoptic" / f"{number}.png", ids)
        images.append({"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
        segments = [
            {
                "id": place,
                "category_id": place,
                "area": SIDE * SIDE // 2,
                "iscrowd": 0,
                "bbox": [0, top, SIDE, SIDE // 2],
            }
            for place, top in ((1, 0), (2, SIDE // 2))
        ]
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": segments})
    categories = [{"id": 1, "name": "sky", "isthing": 0}, {"id": 2, "name": "grass", "isthing": 0}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "panoptic.json").write_text(json.dumps(content))
    return root


def run(*arguments: object) -> None:
    """The command line."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr


def test_a_third_system_is_saved_loaded_and_segments(folder: Path, pictures: Path) -> None:
    picture = pictures / "images" / "1.png"
    loaded = lexiseg.load(folder, device="cpu")

    found = loaded.segment(picture, "sky:stuff, grass:stuff")

    assert isinstance(loaded.network, Horizon)
    assert tiny.same(tiny.state(loaded.network), tiny.state(horizon()))
    assert [(segment.name, segment.box[1]) for segment in sorted(found.segments, key=lambda one: one.box[1])] == [
        ("grass", 0),
        ("sky", SIDE // 2),
    ]
    with pytest.raises(ValueError, match="expected a Blend, got an EnsembleConfig: a Horizon takes no other"):
        loaded.segment(picture, "sky", fusion=lexiseg.EnsembleConfig())


def test_a_third_system_is_asked_by_the_command_line(folder: Path, pictures: Path, tmp_path: Path) -> None:
    common = ("segment", pictures / "images" / "1.png", "--model", folder, "--vocabulary", "sky:stuff, grass:stuff")

    run(*common, "--out", tmp_path / "plain")
    run(*common, "--out", tmp_path / "best", "--best-only")

    plain, best = (
        json.loads((tmp_path / name / "panoptic.json").read_text())["annotations"][0]["segments_info"]
        for name in ("plain", "best")
    )
    assert [segment["category_id"] for segment in plain] == [1, 2]
    assert len(best) == 1  # CLIP says the same of both halves, and a region is given to one word


def test_a_third_system_is_evaluated_and_diagnosed(folder: Path, pictures: Path, tmp_path: Path) -> None:
    common = ("evaluate", "--model", folder, "--data", pictures, "--workers", 0)

    run(*common, "--out", tmp_path / "panoptic", "--diagnose")
    run(*common, "--out", tmp_path / "semantic", "--task", "semantic")

    report, semantic = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("panoptic", "semantic"))
    assert report["pq"] == 0.0  # every half is found, and bears the other's name
    assert {(pair["true"], pair["given"]) for pair in report["diagnosis"]["confusions"]} == {
        ("sky", "grass"),
        ("grass", "sky"),
    }
    assert semantic["miou"] == 0.0
    assert semantic["settings"]["semantic_rule"] == "soft"


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonRecipe(TrainingRecipe):
    """Everything that decides a training, but the pictures."""

    model_type = Horizon

    vocabulary: Vocabulary = WORDS


def test_a_third_system_is_trained_by_recipes_of_its_own(
    folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(recipe: HorizonRecipe, settings: TrainSettings) -> tuple[Horizon, Origin]:
        return horizon(), {}

    runner = Runner(run=partial(train_segmenter, first), check=check_run, options=AROUND_CLIP)
    monkeypatch.setitem(cast("dict[Any, Runner]", RUNNERS), HorizonRecipe, runner)
    recipe = HorizonRecipe(
        framing=Framing(image_size=SIDE),
        num_pictures=0,
        steps=2,
        batch_size=2,
        optim=OptimConfig(lr=0.1, weight_decay=0.0),
        criterion=CriterionConfig(num_points=85),
    )

    report = check_run(recipe, TrainSettings(out=tmp_path, data=(pictures,)))
    made = lexiseg.load(lexiseg.train(recipe, tmp_path / "run", data=pictures, device="cpu", workers=0), device="cpu")

    assert (report.num_pictures, report.problems) == (6, ())
    assert isinstance(made.network, Horizon)
    known = made.network.provenance
    assert [(one.part, one.name) for one in known.sources] == [("masks", "data")]
    assert [(one.recipe, one.steps, one.lr) for one in known.trainings] == [("HorizonRecipe", 2, 0.1)]
    assert not tiny.same(tiny.state(made.network), tiny.state(horizon()))
    with pytest.raises(lexiseg.UsageError, match="HorizonRecipe has no use for prompt"):
        lexiseg.train(recipe, tmp_path / "other", data=pictures, device="cpu", prompt=folder)


def test_a_third_system_is_fine_tuned(folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    budget = ("--steps", 40, "--batch-size", 4, "--lr", 0.1, "--workers", 0)

    run("train", "finetune", "--start", folder, "--data", pictures, "--out", out, *budget)

    outcome = json.loads((out / "finetune.json").read_text())
    assert (outcome["before"], outcome["after"]) == (0.0, 1.0)
    assert lexiseg.load(out / "model", device="cpu").network.config.training_vocabulary.names == ("sky", "grass")
