"""What lies on people's disks from commit fe5387f still loads and goes on, to the figures that its own code gets.

`tests/fixtures/fe5387f/write.py` says how the files came to be. They are used as people use them: by the command line,
and by names of the package itself.
"""

import json
import platform
import tarfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import lexiseg
from lexiseg.cli.main import app  # the one module that is named here; it follows the command line wherever that goes

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "fe5387f"
ARCHIVE = FIXTURES / "fixtures.tar.xz"
EXPECTED: dict[str, Any] = json.loads((FIXTURES / "expected.json").read_text())
OF_THE_MACHINE = ("images_per_second", "waiting", "peak_memory_mb")
"""What a log says beside losses."""
SENTINEL = ["counted by nobody.png", None]
"""A picture that no data set has, in the counts of a finished shard."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files as fe5387f left them, in the current folder: the commands that are recorded name them from there."""
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "fe5387f"
    # An unmarked house and tree were stuff then; a recipe that says so is still the same.
    recipes = (FIXTURES / "recipes.py").read_text().replace("house, tree|oak,", "house:stuff, tree|oak:stuff,")
    (folder / "recipes.py").write_text(recipes)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "cache"))
    return folder


def run(arguments: Sequence[str]) -> None:
    """Runs a command that must succeed."""
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def log_of(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's log, without what they say of the machine."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in OF_THE_MACHINE} for line in lines]


def differences(found: Any, expected: Any, *, rel: float = 1e-3, absolute: float = 1e-4) -> list[str]:
    """Where plain data differ: numbers by more than a tolerance, anything else at all."""
    ours, theirs = dict(leaves(found)), dict(leaves(expected))
    told = [f"{path} is only on one side" for path in sorted(ours.keys() ^ theirs.keys())]
    for path in ours.keys() & theirs.keys():
        one, other = ours[path], theirs[path]
        is_number = type(one) in (int, float) and type(other) in (int, float)
        if one != (pytest.approx(other, rel=rel, abs=absolute) if is_number else other):
            told.append(f"{path} is {one}, not {other}")
    return told


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of plain data under the path that leads to it."""
    if not isinstance(content, dict | list):
        yield path, content
        return
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield from leaves(value, f"{path}/{key}")


def bring_here(path: Path) -> None:
    """Puts this machine's versions into a plan; with others nothing is resumed, and rightly so.

    Nothing else in a plan depends on the machine: its samples are told apart by the sizes of files of the archive.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    plan = content.get("plan", content)
    plan["versions"] = {package: installed(package) for package in plan["versions"]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def installed(package: str) -> str:
    """The version of a package, or of Python."""
    if package == "python":
        return platform.python_version()
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@pytest.mark.parametrize("name", EXPECTED["models"])
@pytest.mark.usefixtures("home")
def test_a_model_folder_still_finds_what_it_found(name: str) -> None:
    expected = EXPECTED["models"][name]

    model = lexiseg.load(Path("models", name), device="cpu")
    # Without negatives, as the rule for these is another since; when this was recorded, none was near any word.
    found = model.segment(expected["picture"], expected["words"], negatives=False).to_jsonable()

    assert (found["height"], found["width"]) == (expected["height"], expected["width"])
    assert len(found["segments"]) == len(expected["segments"]) > 1
    for ours, theirs in zip(found["segments"], expected["segments"], strict=True):
        assert [ours[key] for key in ("id", "name", "is_thing")] == [theirs[key] for key in ("id", "name", "is_thing")]
        assert ours["score"] == pytest.approx(theirs["score"], abs=5e-3)
        assert [ours["area"], *ours["box"]] == pytest.approx([theirs["area"], *theirs["box"]], abs=2)


RETIRED = {"is_closed_set", "has_enhancer", "enhancer_shares_projection", "clip", "test_sides"}
"""Fields of recipes that a closed-set one had beside its own, and the flag that told it from an OPSNet's."""


LATER = {"enhancer_is_masked": True, "padding": "black"}
"""Fields that an OPSNet's recipe has got since, with what was done before there was a choice."""


LATER_OF_ALL = {"nameless": []}
"""Likewise of every segmenter's recipe."""


def decided(out: Path) -> dict[str, Any]:
    """What `recipe.json` says, in today's form: a closed-set recipe has no fields of an OPSNet, and none has a flag."""
    content = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    gone = RETIRED if content["recipe"].get("is_closed_set") else {"is_closed_set"}
    recipe = {key: value for key, value in content["recipe"].items() if key not in gone}
    if "merge" in (model := recipe.get("model", {})):
        question = {"negatives": ["background", "object"], "score_threshold": None}
        clip = {"colour_scale": "clip", **model["clip"]}
        recipe["model"] = {
            "question": question,
            **model,
            "merge": {"void_competes": False, **model["merge"]},
            "clip": clip,
        }
    recipe = {**LATER, **recipe} if "has_enhancer" in recipe else recipe
    return {**content, "recipe": {**LATER_OF_ALL, **recipe} if "criterion" in recipe else recipe}


@pytest.mark.parametrize("name", EXPECTED["trainings"])
def test_an_interrupted_training_goes_on_to_the_losses_that_it_would_have_had(name: str, home: Path) -> None:
    expected, out = EXPECTED["trainings"][name], home / "runs" / name
    recipe = decided(out)

    run(expected["arguments"])

    log = log_of(out)
    assert [line["step"] for line in log] == [line["step"] for line in expected["log"]]
    assert differences(log, expected["log"]) == []
    assert decided(out) == recipe
    assert {"config.json", "model.safetensors"} <= {path.name for path in (out / "model").iterdir()}
    if name != "mask2former":  # whose folder is in the layout of transformers
        assert lexiseg.load_model(out / "model").config.longest_side == 64
    if "outcome" in expected:
        assert differences(json.loads((out / "finetune.json").read_text()), expected["outcome"]) == []


@pytest.mark.parametrize("name", EXPECTED["evaluations"])
def test_a_half_finished_evaluation_is_counted_anew_as_its_merge_had_another_overlap_rule(
    name: str, home: Path
) -> None:
    expected, out = EXPECTED["evaluations"][name], home / "evaluations" / name
    for folder in sorted(out.glob(".*parts")):
        bring_here(folder / "plan.json")
        shard = json.loads((folder / "000000.json").read_text())
        shard["scenes"].append(SENTINEL)
        (folder / "000000.json").write_text(json.dumps(shard))

    run(expected["arguments"])
    run([argument.replace(name, "anew") for argument in expected["arguments"] if argument != "--resume"])

    report, anew = (json.loads((folder / "report.json").read_text()) for folder in (out, out.with_name("anew")))
    assert report["num_pictures"] == len(report["scenes"])
    assert {key: report[key] for key in expected["figures"]} == {key: anew[key] for key in expected["figures"]}
    assert [report[key] for key in ("num_pictures", "weights")] == [
        expected["figures"][key] for key in ("num_pictures", "weights")
    ]


@pytest.mark.parametrize("name", EXPECTED["mining"])
def test_mined_pairs_are_taken_up_where_they_were_left(name: str, home: Path) -> None:
    expected, out = EXPECTED["mining"][name], home / "pairs" / name
    bring_here(out / ("index.json" if name == "finished" else "plan.json"))
    shard = out / "000000.tar"
    before = shard.stat().st_mtime_ns, shard.read_bytes()

    run(expected["arguments"])

    assert (shard.stat().st_mtime_ns, shard.read_bytes()) == before
    index = json.loads((out / "index.json").read_text())
    rows = chain.from_iterable(part["words"] for part in index["shards"])
    assert [index["words"][row] for row in rows] == expected["words"]
    scores = list(chain.from_iterable(part["scores"] for part in index["shards"]))
    assert differences(scores, expected["scores"], absolute=1e-3) == []


def test_a_clip_is_adapted_by_pairs_that_were_mined_before(home: Path) -> None:
    expected = EXPECTED["adaptation"]

    run(expected["arguments"])

    # in bf16, which processors round differently
    assert differences(log_of(home / "runs" / "adapted"), expected["log"], rel=3e-2) == []
    assert lexiseg.load_model(home / "runs" / "adapted" / "model").config.longest_side == 64


def test_the_stored_files_name_no_module_and_are_small(home: Path) -> None:
    stored = [path for path in home.rglob("*") if path.is_file() and path.name != "recipes.py"]

    assert len(stored) > 100
    assert [path for path in stored if b"lexiseg." in path.read_bytes()] == []
    assert sum(path.stat().st_size for path in FIXTURES.iterdir() if path.is_file()) < 1_000_000
