"""Fixtures for every test: seeded randomness, clean global state, and the shared data.

lexiseg is imported inside fixtures alone: shapes are checked in what is imported after pytest has begun.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub: no test may download

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

# Examples come from the test's name, not from a clock: a failure in CI is a failure at home;
# no deadline, because the two cores may be busy with something else.
settings.register_profile("lexiseg", deadline=None, max_examples=40, derandomize=True, database=None)
settings.load_profile("lexiseg")

TOLD = "told"
THREADS = 1  # the tests are many and tiny: threads would cost more than they save


@pytest.fixture
def rng() -> torch.Generator:
    """Randomness for tensors, drawn on the CPU so that every device sees the same numbers."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def np_rng() -> np.random.Generator:
    """Randomness for arrays."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _clean_torch() -> Iterator[None]:
    """Gives every test the same global state of torch, whatever the one before did to it."""
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    torch.set_num_threads(THREADS)
    yield
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(grad)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says a measured figure in the summary behind all tests, wherever the test ran."""
    return lambda sentence: record_property(TOLD, sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests measured."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    told = [(key, value) for report in reports for key, value in getattr(report, "user_properties", ()) if key == TOLD]
    for _, sentence in sorted(set(told)):
        terminalreporter.write_line(sentence)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the repository; tests that need it skip where it is absent.

    What the README claims is held without it too, by slow twins and data sets in miniature; CONTRIBUTING.md says which.
    """
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of shared data does not lie beside this repository")
    return folder


@pytest.fixture(params=["true", "miniature"])
def coco_sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of COCO panoptic as they are published: true ones where they are at hand, and drawn ones always."""
    if request.param == "true":
        return request.getfixturevalue("shared") / "real" / "coco_panoptic"
    from miniatures import put_coco_sample

    return put_coco_sample(tmp_path_factory.mktemp("coco") / "miniature")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps remembered words out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXISEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as people have them, with random weights."""
    import tiny as tiny_models
    from lexiseg.inference.predictor import Model
    from lexiseg.io.models import save_model
    from lexiseg.models.opsnet import OPSNet, OPSNetConfig

    config = OPSNetConfig(
        segmenter=tiny_models.RESNET,
        clip=tiny_models.CLIP,
        training_vocabulary=tiny_models.TRAINING,
        longest_side=64,
    )
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    # The first start that finds something in noise; not `tiny.model`, whose masks are all or nothing. What a seed
    # draws depends on the version of transformers.
    for seed in range(20):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            network = OPSNet(config)
        if Model(network).segment(noise, "cat, dog, sky:stuff", score_threshold=0.0).segments:
            break
    return save_model(network, tmp_path_factory.mktemp("models") / "tiny model")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Any:
    """That model, loaded."""
    from lexiseg.inference.predictor import load

    return load(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def untrained() -> Any:
    """An OPSNet that says something of everything, and nothing that is right; tests leave it as it is."""
    from random_opsnet import random_opsnet

    return random_opsnet().eval()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three drawn scenes of role novel."""
    from lexiseg.storybook.export import StorybookSpec, write_storybook

    spec = StorybookSpec(role="novel", split="val", count=3, size=(96, 96))
    return write_storybook(spec, tmp_path_factory.mktemp("novel") / "data")


@pytest.fixture
def picture(tmp_path: Path, np_rng: np.random.Generator) -> Path:
    """A small picture on disk."""
    path = tmp_path / "a picture.png"
    Image.fromarray(np_rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def embedded_names(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The names of each call of `embed_names` from now on."""
    from lexiseg.encoders import text

    calls: list[tuple[str, ...]] = []
    real = text.embed_names

    def counted(encoder: Any, names: Any, templates: Any) -> Any:
        calls.append(tuple(names))
        return real(encoder, names, templates)

    monkeypatch.setattr(text, "embed_names", counted)
    return calls
