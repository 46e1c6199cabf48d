"""Names of models, without torch: those inside the package with the words of their captions, folders, the hub's."""

import functools
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from lexiseg.core.concepts import same_word
from lexiseg.core.errors import ModelError
from lexiseg.core.files import file_mode
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.io.named_models import NAMED, near_names

CONFIG_FILE = "config.json"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WEIGHT_ENDINGS = (".pth", ".pt", ".pkl", ".bin", ".safetensors")
"""How files of weights end."""
SHIPPED_NAME = "storybook"
"""The default model."""
SHIPPED_OVSEG_NAME = "tiny-ovseg"
SHIPPED: Mapping[str, str] = {SHIPPED_NAME: "opsnet", SHIPPED_OVSEG_NAME: "ovseg"}
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
    if folder.suffix in WEIGHT_ENDINGS and not folder.exists():
        raise ModelError(f"there is no file {printable(folder)}: check the path of the checkpoint.")
    if not folder.is_dir():
        raise ModelError(
            f"there is no model folder {printable(folder)}; give a folder that holds {CONFIG_FILE} and "
            "model.safetensors, or a name that 'lexiseg models' shows, such as " + " or ".join(SHIPPED) + "."
        )
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"the model folder {printable(folder)} has no {CONFIG_FILE}; copy the whole folder again.")


def check_model(name_or_dir: str) -> str:
    """Checks that a name can be that of a model, before anything slow is imported; gives it back.

    Raises:
        ModelError: if it is neither shipped nor named, nor a model folder or file, nor a name of the hub.
    """
    path = Path(name_or_dir)
    if name_or_dir in NAMED and NAMED[name_or_dir].repository is None and not path.exists():
        raise elsewhere(name_or_dir)
    if name_or_dir in SHIPPED or name_or_dir in NAMED or stat.S_ISREG(file_mode(path)) or is_hub_name(name_or_dir):
        return name_or_dir
    if not file_mode(path) and (near := near_names(name_or_dir, tuple(SHIPPED))):
        raise ModelError(f"there is no model {printable(name_or_dir)}: {near}; 'lexiseg models' shows all names.")
    check_folder(path)
    return name_or_dir


def elsewhere(name: str) -> ModelError:
    """Where the file of a named model is that the hub does not hold, and what takes it; its licence first."""
    row = NAMED[name]
    warning = f"the weights of {name} are for non-commercial use; " if row.is_non_commercial else ""
    note = f" ({row.note})" if row.note else ""
    return ModelError(
        f"{warning}{name} (licence: {row.licence}) does not lie on the Hugging Face hub: get its file at "
        f"{row.address}{note}, and give that: lexiseg segment PICTURE --model FILE ..."
    )


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
    from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS  # here, as it imports numpy and PIL

    names = [*COLOURS, *PATTERNS]
    for listed in ("storybook-all", "storybook-dusk"):
        names += Vocabulary.of(listed).row_names()
    return frozenset(word for name in names for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", same_word(name))
