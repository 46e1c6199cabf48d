"""Names of models, without torch: those inside the package with the words of their captions, folders, the hub's."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import ModelError
from lexiseg.core.files import file_mode
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS

CONFIG_FILE = "config.json"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SHIPPED_NAME = "storybook"
"""The default model."""
SHIPPED: Mapping[str, str] = {SHIPPED_NAME: "opsnet", "tiny-ovseg": "ovseg"}
"""Each shipped model's name and folder: an OPSNet and an OVSeg, both of the drawn world."""


def shipped_folder(name: str = SHIPPED_NAME) -> Path:
    """The folder of a shipped model."""
    return Path(__file__).with_name("shipped_weights") / SHIPPED[name]


def is_hub_name(name_or_dir: str | Path) -> bool:
    """Whether a name is "owner/name" on the hub: neither that path nor its parent folder exists here."""
    text = str(name_or_dir)
    return bool(HUB_NAME.fullmatch(text)) and not (file_mode(Path(text)) or file_mode(Path(text).parent))


def check_folder(folder: Path) -> None:
    """Checks that a model folder is there and has a configuration.

    Raises:
        ModelError: if not.
    """
    if not folder.is_dir():
        raise ModelError(
            f"there is no model folder {printable(folder)}; give a folder that holds {CONFIG_FILE} and "
            "model.safetensors, or the name of a shipped model: " + " or ".join(SHIPPED) + "."
        )
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"the model folder {printable(folder)} has no {CONFIG_FILE}; copy the whole folder again.")


def check_model(name_or_dir: str) -> str:
    """Checks that a name can be that of a model, before anything slow is imported; gives it back.

    Raises:
        ModelError: if it is neither shipped, nor a model folder, nor a name of the hub.
    """
    if name_or_dir not in SHIPPED and not is_hub_name(name_or_dir):
        check_folder(Path(name_or_dir))
    return name_or_dir


def unknown_concepts(vocabulary: Vocabulary) -> tuple[str, ...]:
    """The names of concepts outside the training captions of the shipped models.

    Their CLIP was trained on captions of the drawn world only. A concept counts as known if every word of one of its
    names occurs there ("red barn door" does, as "red" and "barn door" do).
    """
    known = _known_words()

    def is_known(concept: Concept) -> bool:
        return any(set(_words(name)) <= known for name in concept.names if _words(name))

    return tuple(concept.name for concept in vocabulary.concepts if not is_known(concept))


@functools.cache
def _known_words() -> frozenset[str]:
    """Every single word of the drawn world's names, its near-synonyms and its attributes."""
    names = [*COLOURS, *PATTERNS]
    for listed in ("storybook-all", "storybook-dusk"):
        names += Vocabulary.of(listed).row_names()
    return frozenset(word for name in names for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", same_word(name))
