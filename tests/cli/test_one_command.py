"""One command: a named model, one of the hub or a file is found, put together once, and used."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hub_server
import lexiseg
import tiny
from command_runs import Run
from hub_server import Hub
from lexiseg.core.errors import ModelError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.fcclip.checkpoint import export_fcclip
from lexiseg.io.finding import find_model
from lexiseg.io.hub_messages import hub_cache
from lexiseg.io.models import load_model
from lexiseg.io.named_models import NAMED

SEGMENTER, CLIP = "facebook/mask2former-swin-large-coco-panoptic", "owner/clip"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter and a CLIP in the layouts in which they are published."""
    root = tmp_path_factory.mktemp("published")
    segmenter = hub_server.put_segmenter(root / "segmenter")
    weights = load_file(segmenter / "model.safetensors")
    torch.save(weights, segmenter / "pytorch_model.bin")  # as the largest is published: with a pickle alone
    (segmenter / "model.safetensors").unlink()
    hub_server.put_clip(root / "clip")
    return root


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("lexiseg.io.finding.RN50", CLIP)  # a smaller one
    with hub_server.running() as server:
        hub_server.use(server, monkeypatch, tmp_path / "home")
        server.add_folder(SEGMENTER, published / "segmenter")
        server.add_folder(CLIP, published / "clip", licence="mit", commit=hub_server.OTHER_COMMIT)
        yield server


def bytes_beside_the_download(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "lexiseg").rglob("*") if path.is_file())


def test_one_command_fetches_assembles_and_segments_and_the_next_does_neither(
    hub: Hub, run: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def segment(out: str) -> str:
        asked = ("--vocabulary", "person, wall:stuff", "--model", "swin-l-coco", "--out", tmp_path / out)
        done = run("segment", picture, *asked, "--device", "cpu")
        assert done.code == 0, done.err
        return done.err

    first = segment("first")
    requests, sent = len(hub.asked), hub.sent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    second = segment("second")

    assert "licence: CC BY-NC 4.0 (non-commercial); by its page 'other'" in first
    assert first.index("Fetching") < first.index("Assembling swin-l-coco with CLIP owner/clip, once")
    for told in (first, second):
        assert f"swin-l-coco is {SEGMENTER}@85b5359 + {CLIP}@0123456, put together in" in told
    assert "Fetching" not in second
    assert "Assembling" not in second
    assert (len(hub.asked), hub.sent) == (requests, sent)
    pictures = [(tmp_path / out / "a picture.png").read_bytes() for out in ("first", "second")]
    assert pictures[0] == pictures[1]
    assert bytes_beside_the_download(tmp_path / "home") < 60_000 < sent


def test_a_name_a_folder_and_parts_give_the_same_weights_and_a_whole_folder_stands_alone(
    hub: Hub, published: Path, run: Run, tmp_path: Path
) -> None:
    named = load_model(find_model(SEGMENTER)).state_dict()
    local = load_model(find_model(published / "segmenter")).state_dict()
    joined = lexiseg.assemble("swin-l-coco", str(published / "clip"))
    done = run("assemble", published / "segmenter", "--clip", CLIP, "--out", tmp_path / "whole")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "whole" / "config.json").read_text()).get("sources") is None
    whole = load_model(tmp_path / "whole").state_dict()

    for state in (local, joined.state_dict(), whole):
        assert all(torch.equal(value, state[name]) for name, value in named.items())
    assert {source.name for source in joined.provenance.sources} == {SEGMENTER, "clip"}


@pytest.mark.parametrize("change", ["segmenter", "clip"])
def test_files_that_moved_or_changed_are_one_sentence(hub: Hub, published: Path, tmp_path: Path, change: str) -> None:
    parts = tmp_path / "parts"
    (parts / "segmenter").mkdir(parents=True)
    for path in (published / "segmenter").iterdir():
        (parts / "segmenter" / path.name).write_bytes(path.read_bytes())
    folder = find_model(parts / "segmenter")
    load_model(folder)

    os.utime(parts / "segmenter" / "pytorch_model.bin")  # copied again: the same content
    load_model(folder)

    if change == "segmenter":
        (parts / "segmenter").rename(parts / "elsewhere")
        complaint = "of which this model was assembled, is gone: put it back"
    else:
        next(hub_cache().glob("*clip/snapshots/*/*.safetensors")).unlink()
        complaint = r"owner/clip \(revision 0123456\) is no longer in the cache"
    with pytest.raises(ModelError, match=complaint):
        load_model(folder)


def test_a_changed_file_is_assembled_anew(hub: Hub, published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (published / "segmenter").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    before = find_model(copy)
    weights = torch.load(copy / "pytorch_model.bin", weights_only=True)
    torch.save(weights | {"class_predictor.bias": weights["class_predictor.bias"] + 1}, copy / "pytorch_model.bin")

    assert find_model(copy) != before
    with pytest.raises(ModelError, match="has changed since this model was assembled of it"):
        load_model(before)


@pytest.mark.parametrize("with_clip", [True, False])
def test_a_file_of_an_fcclip_finds_its_clip(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_clip: bool
) -> None:
    model = tiny.fcclip(clip=replace(tiny.CLIP, quick_gelu=True), training_vocabulary=Vocabulary.of("coco"))
    save_file(
        {name: value.clone() for name, value in model.clip.clip.state_dict().items()},
        next(hub_server.put_clip(tmp_path / "clip").glob("*.safetensors")),
    )
    hub.add_folder("owner/judge", tmp_path / "clip")
    sizes = tiny.CLIP.embed_dim, tiny.CLIP.feature_dim
    monkeypatch.setattr("lexiseg.io.finding.FCCLIP_CLIPS", {sizes: "owner/judge"})
    file = tmp_path / "fcclip_cocopan.pth"
    export_fcclip(model, file, with_clip=with_clip)

    folder = find_model(file)
    again = load_model(folder)

    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert any("owner/judge" in one for one in hub.asked) != with_clip
    assert find_model(file) == folder
    assert bytes_beside_the_download(tmp_path / "home") < 60_000


@pytest.mark.parametrize(
    "name", [("mask2former-swin-tiny", "checkpoint.pth"), ("mask2former-r50-tiny", "model_final_tiny.pkl")]
)
def test_a_file_of_an_official_mask2former_is_read_and_its_classes_must_have_names(
    hub: Hub, published: Path, shared: Path, name: tuple[str, str]
) -> None:
    file = shared.joinpath("golden", *name)

    with pytest.raises(ModelError, match=r"does not say what its 9 classes are called .* give their vocabulary"):
        find_model(file)

    model = lexiseg.assemble(file, published / "clip", vocabulary="a, b, c, d, e, f, g, h, i:stuff")
    assert len(model.config.training_vocabulary) == 9
    assert {source.name for source in model.provenance.sources} == {file.name, "clip"}


SCRIPT = """
import sys, time
import lexiseg.io.finding as finding
finding.RN50 = "owner/clip"
if sys.argv[2] == "slow":
    true = finding.save_folder
    def slow(*args, **kwargs):
        print("saving", flush=True)
        time.sleep(60)
        return true(*args, **kwargs)
    finding.save_folder = slow
print(finding.find_model(sys.argv[1]), flush=True)
"""


def start(hub: Hub, home: Path, speed: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, "swin-l-coco", speed]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | hub.environment(home), stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
def test_two_processes_assemble_once_and_one_that_is_killed_hinders_nobody(hub: Hub, tmp_path: Path) -> None:
    killed = start(hub, tmp_path / "home", "slow")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "saving\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    both = [start(hub, tmp_path / "home", "fast") for _ in range(2)]
    ends = [process.communicate(timeout=200) for process in both]

    assert [process.returncode for process in both] == [0, 0], ends
    assert ends[0][0] == ends[1][0] == f"{find_model('swin-l-coco')}\n"
    assert sum("Assembling" in err for _, err in ends) == 1
    assert sum(one.startswith("GET") and one.endswith("pytorch_model.bin") for one in hub.asked) == 1


def test_what_lies_elsewhere_is_said_before_anything_is_fetched(hub: Hub, run: Run, picture: Path) -> None:
    asked = ("--vocabulary", "cat", "--out", picture.parent / "out")

    for name, row in NAMED.items():
        if row.repository is None:
            done = run("segment", picture, *asked, "--model", name)
            assert done.code == 1
            assert row.address in done.err
            assert "lexiseg segment PICTURE --model FILE" in done.err
            assert done.err.count("\n") == 1
            assert row.is_non_commercial == done.err.startswith(
                f"lexiseg: the weights of {name} are for non-commercial"
            )
    assert hub.asked == []


def test_models_and_show_say_what_there_is(hub: Hub, run: Run) -> None:
    before = json.loads(run("models", "--json").out)
    find_model("swin-l-coco")
    after = json.loads(run("models", "--json").out)
    shown = json.loads(run("show", "swin-l-coco", "--json").out)

    assert (before["swin-l-coco"]["here"], after["swin-l-coco"]["here"]) == ("not yet", "yes")
    assert before["fcclip-r50"]["here"] == "a file of yours"
    assert all(row["pq_source"] for row in before.values() if row.get("pq", "none")[0].isdigit())
    assert (shown["things"], shown["stuff"]) == (["person", "cat"], ["sky"])
    assert shown["sources"]["segmenter"] == f"{SEGMENTER}@85b5359"
    assert shown["fusion"]["kind"] == "ModulationConfig"
    text = run("show", "swin-l-coco").out
    assert "fusion: embedding modulation, alpha 10, debiasing beta 0.5" in text
    assert (
        "pictures: shorter side 800 pixels, longer side at most 1333, as detectron2 does (8 bit, by Pillow), padded "
        "with the mean colour"
    ) in text
    assert "CC BY-NC 4.0 (non-commercial)" in run("show", SEGMENTER).out
    assert "trained on 2 things: person, cat" in text
    assert "57.8 closed set (arXiv 2112.01527)" in text


def test_shipped_models_are_shown_as_people_read(run: Run) -> None:
    assert "pictures: longer side 160 pixels, padded with black" in run("show", "storybook").out
    assert "fusion: ensemble of probabilities, CLIP's weight" in run("show", "tiny-ovseg").out


def test_the_table_of_models_costs_no_torch() -> None:
    code = (
        "import sys; from lexiseg.cli.main import app\n"
        "try: app(['models'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.rstrip().endswith("False")
    assert time.perf_counter() - began < 30


def test_a_model_that_points_to_its_parts_is_saved_whole_and_found_on_the_hub_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lexiseg.load("swin-l-coco", device="cpu")

    folder = model.save_pretrained(tmp_path / "whole")
    del hub.repositories[SEGMENTER], hub.repositories[CLIP]
    hub_server.use(hub, monkeypatch, tmp_path / "elsewhere")  # with an empty cache
    hub.add_folder("me/mine", folder)

    for name in (folder, "me/mine"):
        again = lexiseg.load(name, device="cpu").network
        assert tiny.same(tiny.state(again), tiny.state(model.network))
        assert again.provenance == model.network.provenance
    assert "sources" not in json.loads((folder / "config.json").read_text())
    assert f"- {SEGMENTER}\n" in (folder / "README.md").read_text()
