"""Figures 3 to 5 from pictures to pages."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from lexiseg.io.models import save_model
from lexiseg.studies import reproduce
from lexiseg.studies.figures import many_words
from lexiseg.studies.figures import plan as plans
from lexiseg.studies.figures.paper import CLAIMS, FIGURES
from lexiseg.studies.figures.plan import DESCENT, MANY_WORDS, PROTOTYPES, plan_figures
from lexiseg.studies.opsnet.trainings import plan_trainings
from lexiseg.studies.reproduce import prepare
from lexiseg.studies.worlds import FULL, QUICK, Preset, World
from tiny import model as random_opsnet

TINY = Preset(name="quick", seeds=(0,), test=2, val=1)
MEAN_QUERIES = "mean queries"
"""Of a model of random weights, too few masks match for them."""
NAMES = ["Figure 3", "Figure 4", "Figure 5", "O16", "O17"]


@pytest.fixture(autouse=True)
def only_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "PLANS", (plan_figures,))
    monkeypatch.setattr(plans, "TRAIN", {"quick": 5})
    monkeypatch.setattr(many_words, "NUM_DISTRACTORS", 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(random_opsnet(), tmp_path_factory.mktemp("model") / "opsnet")


@pytest.mark.slow
def test_all_figures_are_drawn_and_told_and_both_claims_judged(folder: Path, tmp_path: Path) -> None:
    page = prepare(NAMES, World(model=str(folder)), TINY, tmp_path / "out").run(jobs=1)

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    drawn = [name for figure in results["figures"] for name in figure["pictures"]]
    assert {Path(name).name for name in drawn} == {
        f"{stem}.{kind}" for stem in ("figure-3", "figure-4", "figure-5", "figure-5-levels") for kind in ("png", "svg")
    }
    for name in drawn:
        if name.endswith(".svg"):
            ET.parse(tmp_path / "out" / name)
        else:
            with Image.open(tmp_path / "out" / name) as picture:
                assert picture.width >= 400
            assert f"({name})" in page.read_text()
    claims = {claim["name"]: claim for claim in results["claims"]}
    not_run = [c["says"] for c in claims["O16"]["contrasts"] if c["verdict"] == "not run"]
    assert [says for says in not_run if MEAN_QUERIES not in says] == [
        "COCO nearest, centred: Figure 4: text embeddings above Figure 4: class layer of Mask2Former"
    ]
    alike = next(c for c in claims["O16"]["contrasts"] if c["says"].startswith("COCO nearest, centred"))
    assert alike["spread"] > 0
    assert "COCO top-1" in page.read_text()


@pytest.mark.slow
def test_real_layouts_give_the_same_figures_without_what_only_drawn_scenes_know(
    folder: Path, coco_sample: Path, tmp_path: Path
) -> None:
    home = tmp_path / "data" / "coco"
    (home / "annotations").mkdir(parents=True)
    (home / "val2017").symlink_to(coco_sample / "input_images")
    (home / "panoptic_val2017").symlink_to(coco_sample / "panoptic_examples")
    (home / "annotations" / "panoptic_val2017.json").symlink_to(coco_sample / "panoptic_examples.json")

    work = prepare(NAMES, World(model=str(folder), root=tmp_path / "data"), TINY, tmp_path / "out")
    work.run(jobs=1)

    results = json.loads((tmp_path / "out" / "results.json").read_text())
    contrasts = [contrast for claim in results["claims"] for contrast in claim["contrasts"]]
    not_run = {contrast["says"] for contrast in contrasts if contrast["verdict"] == "not run"}
    assert any("unannotated" in says for says in not_run)
    assert any("ADE20K" in says for says in not_run)
    assert not any(
        says.startswith("COCO") for says in not_run if "class layer" not in says and MEAN_QUERIES not in says
    )
    assert all(figure["pictures"] for figure in results["figures"])
    record = json.loads((tmp_path / "out" / "units" / f"{MANY_WORDS}.json").read_text())["result"]
    figures = record["arms"]["Figure 3: true masks, many words"]
    assert 0 <= figures["COCO top-1"]["value"] <= figures["COCO top-5"]["value"] <= 100
    assert not any("unannotated" in name for name in figures)
    assert record["costs"]["COCO"]["words"] == 133 + 40


def test_every_figure_has_a_unit_and_every_arm_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "TRAIN", {"full": 5})
    world = World(model="storybook")
    plan = plan_figures(world, FULL) | plan_trainings(world, FULL)

    assert plans.CLOSED in plan.units[PROTOTYPES].needs
    assert {figure.unit for figure in FIGURES} == {MANY_WORDS, PROTOTYPES, DESCENT}
    assert {arm for one in (*FIGURES, *CLAIMS) for arm in one.arms} <= plan.arms.keys()
    assert all(unit.settings == json.loads(json.dumps(unit.settings)) for unit in plan.units.values())
    assert all(need in plan.units for unit in plan.units.values() for need in unit.needs)


def test_data_sets_that_are_not_there_have_no_unit(folder: Path, tmp_path: Path) -> None:
    plan = plan_figures(World(model=str(folder), root=tmp_path), QUICK)

    assert plan.units == plan.arms == {}
