"""Which system a model is, few know: everybody else asks the contract."""

import ast
import re
import tokenize
from io import StringIO
from pathlib import Path

import pytest

import lexiseg

SOURCE = Path(lexiseg.__file__).parent
KNOWS = {
    "__init__.py": "exports both",
    "cli/import_weights.py": "imports an OVSeg",
    "cli/main.py": "the table of commands, one of which imports an OVSeg",
    "cli/options/shared.py": "names the shipped models",
    "encoders/segmenters/detectron2.py": "says what a checkpoint is instead",
    "encoders/segmenters/published.py": "likewise, of a folder",
    "io/finding.py": "what a published file or name becomes",
    "io/folder_format.py": "names the one system of format 1",
    "io/kinds.py": "tells what a published file holds",
    "io/models.py": "the table of models",
    "io/named_models.py": "the table of published models",
    "io/ovseg/checkpoint.py": "reads official checkpoints of OVSeg",
    "io/ovseg/settings.py": "likewise",
    "io/ovseg/verify.py": "likewise",
    "io/shipped.py": "the table of shipped models",
    "io/sources.py": "what a model is put together of",
    "models/assemble.py": "makes an OPSNet without training",
    "models/opsnet.py": "OPSNet",
    "models/ovseg.py": "OVSeg",
    "models/presets.py": "published sizes",
    "training/clip/folders.py": "takes the CLIP out of an OPSNet, whose attention pool became its adapter",
    "training/launch.py": "the table of recipes' types",
    "training/recipes/__init__.py": "the table of recipes, four of which in a row make an OPSNet",
    "training/recipes/opsnet.py": "its recipes",
    "training/recipes/opsnet_plus.py": "its recipes",
    "training/recipes/ovseg.py": "its recipes",
    "training/recipes/storybook.py": "recipes of OPSNet",
    "training/segmentation/initial_weights.py": "what either begins from",
    "training/segmentation/opsnet.py": "what an OPSNet begins from",
    "training/segmentation/opsnet_plus.py": "the training of OPSNet+",
    "training/segmentation/ovseg.py": "what an OVSeg begins from",
    "training/segmentation/run.py": "runs those of OPSNet+",
}
"""Files in which code or a string, not prose, names a system, and why."""


def names_a_system(code: str) -> bool:
    tokens = tokenize.generate_tokens(StringIO(code).readline)
    names = (token.string for token in tokens if token.type == tokenize.NAME)
    if any(re.search("OPSNet|OVSeg", name) for name in names):
        return True
    nodes = list(ast.walk(ast.parse(code)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings)
    return any(isinstance(text, str) and re.search("opsnet|ovseg", text, re.IGNORECASE) for text in texts)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("isinstance(model, OPSNet)", True),
        ('system = "ovseg"', True),
        ('raise ValueError("give an OVSeg.")', True),
        ('say(f"{name} is no OPSNet")', True),
        ('def f():\n    """As OVSeg does."""', False),
        ('"""A module of OPSNet."""\nx = 1\n"""An attribute of OVSeg."""', False),
        ("x = 1  # as OVSeg has it", False),
    ],
)
def test_names_and_messages_count_and_prose_does_not(code: str, names: bool) -> None:
    assert names_a_system(code) == names


def test_no_other_file_asks_which_system_a_model_is() -> None:
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py")}
    found = {
        name
        for name, path in files.items()
        if not name.startswith("studies/")  # which are about the papers of the systems
        if names_a_system(path.read_text("utf-8"))
    }

    assert sorted(found - KNOWS.keys()) == [], "ask the contract in models/base.py instead"
    assert sorted(KNOWS.keys() - found) == [], "these need not be in the list any more"
