"""From what was typed to words; without torch, so that a mistake is told at once."""

from pathlib import Path

from lexiseg.core.files import file_mode
from lexiseg.core.vocabulary import Vocabulary


def read_words(text: str) -> Vocabulary:
    """Reads `--vocabulary`: words, a file, or a built-in name.

    Raises:
        VocabularyError: if they make no vocabulary.
    """
    is_file = file_mode(Path(text)) != 0 and Path(text).is_file()
    return Vocabulary.of(Path(text) if is_file else text)
