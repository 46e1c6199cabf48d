"""Which system a model is, few know: everybody else asks the contract."""

import re
import tokenize
from pathlib import Path

import lexiseg

SOURCE = Path(lexiseg.__file__).parent
KNOWS = {
    "__init__.py": "exports both",
    "cli/import_weights.py": "imports an OVSeg",
    "evaluation/study.py": "measures OPSNet's parts, one by one",
    "evaluation/upper_bounds.py": "likewise",
    "io/models.py": "the table of models",
    "io/ovseg/checkpoint.py": "reads official checkpoints of OVSeg",
    "io/ovseg/settings.py": "likewise",
    "io/ovseg/verify.py": "likewise",
    "models/assemble.py": "makes an OPSNet without training",
    "models/opsnet.py": "OPSNet",
    "models/ovseg.py": "OVSeg",
    "models/presets.py": "published sizes",
    "training/clip/folders.py": "takes the CLIP out of an OPSNet, whose attention pool became its adapter",
    "training/launch.py": "the table of recipes' types",
    "training/recipes/opsnet.py": "its recipes",
    "training/recipes/opsnet_plus.py": "its recipes",
    "training/recipes/ovseg.py": "its recipes",
    "training/recipes/own.py": "the types of recipes",
    "training/recipes/storybook.py": "recipes of OPSNet",
    "training/recipes/summary.py": "builds what a recipe trains",
    "training/segmentation/initial_weights.py": "what either begins from",
    "training/segmentation/opsnet.py": "what an OPSNet begins from",
    "training/segmentation/opsnet_plus.py": "the training of OPSNet+",
    "training/segmentation/ovseg.py": "what an OVSeg begins from",
    "training/segmentation/run.py": "runs the recipes of both",
}
"""Files in which code, not prose, names a system, and why."""


def names_a_system(path: Path) -> bool:
    with tokenize.open(path) as file:
        tokens = tokenize.generate_tokens(file.readline)
        return any(token.type == tokenize.NAME and re.search("OPSNet|OVSeg", token.string) for token in tokens)


def test_no_other_file_asks_which_system_a_model_is() -> None:
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if names_a_system(path)}

    assert sorted(found - KNOWS.keys()) == [], "ask the contract in models/base.py instead"
    assert sorted(KNOWS.keys() - found) == [], "these need not be in the list any more"
