from pathlib import Path

import pytest

import tiny
from lexiseg.io.models import save_model
from lexiseg.models.provenance import Figure, Provenance, Source, Training
from lexiseg.training.engine.record import trained_by
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.recipes import named

BEFORE = Training(recipe="opsnet-tiny", seed=0)
CLIP = Source(part="CLIP", name="owner/clip", licence="mit")


def test_a_training_adds_itself_to_all_that_its_start_came_from_but_its_figures(tmp_path: Path) -> None:
    start = tiny.model()
    figure = Figure(name="PQ", value=0.5, data="x", pictures=1, weights="00", command="lexiseg evaluate")
    start.provenance = Provenance(sources=(CLIP,), trainings=(BEFORE,), figures=(figure,))
    settings = TrainSettings(
        out=tmp_path,
        name="opsnet-tiny-more",
        start=save_model(start, tmp_path / "start"),
        seed=4,
        data=(Path("a/coco"),),
    )

    found = trained_by(named("opsnet-tiny-more")(seed=4), settings)

    assert found.made == "trained by the recipe opsnet-tiny-more"
    assert found.sources == (CLIP, Source(part="masks", name="coco"))
    assert found.trainings[0] == BEFORE
    assert (found.trainings[1].seed, found.trainings[1].batch_size) == (4, 16)
    assert "torch" in (found.trainings[1].versions or {})
    assert found.figures == ()


def test_what_says_nothing_of_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "my-clip").mkdir()

    found = trained_by(named("opsnet-tiny")(), TrainSettings(out=tmp_path, clip=tmp_path / "my-clip"))

    assert found.sources[0] == Source(part="CLIP", name="my-clip")
    assert found.sources[1].name.startswith("storybook, ")
    assert found.sources[1].licence == "apache-2.0"


@pytest.mark.parametrize(("has_units", "precision"), [(True, "bf16"), (False, "float32")])
def test_the_precision_is_what_was_computed_in(
    has_units: bool, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has_units, raising=False)
    settings = TrainSettings(out=tmp_path, device="cpu", data=(Path("a/coco"),))

    found = trained_by(named("opsnet-tiny-more")(), settings)

    assert found.trainings[-1].precision == precision


def test_what_lies_in_the_hubs_cache_has_its_name_and_commit_there() -> None:
    snapshot = Path("/home/somebody/.cache/hub/models--facebook--mask2former--x/snapshots/85b5359")

    for path in (snapshot, snapshot / "model.safetensors"):
        assert Source.of("segmenter", path) == Source(
            part="segmenter", name="facebook/mask2former--x", revision="85b5359"
        )
    assert Source.of("CLIP", Path("/home/somebody/weights/RN50.pt"), "mit") == Source(
        part="CLIP", name="RN50.pt", licence="mit"
    )
