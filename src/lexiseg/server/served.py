"""A model as strangers ask it: their words leave nothing behind, neither in its memory, nor on disk, nor in the log."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from lexiseg.core.devices import Precision
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.encoded import EncodedImage, VocabularyLike
from lexiseg.inference.predictor import Model

MOST_BYTES = 2**26
"""Of embeddings of vocabularies that are remembered."""


class ServedModel:
    """A model with a bounded memory of words, for one thread."""

    def __init__(self, model: Model, folder: Path) -> None:
        """Embeds the model's own words, and looks at a first picture, so that the first request is as quick as others.

        Args:
            model: the model.
            folder: an empty one, for the embeddings of the model's own words.
        """
        self.model = model
        self.network = model.network
        self.device = model.device
        self.precision: Precision = model.precision
        self._folder = folder
        self._own: set[Path] | None = None
        self._known: OrderedDict[tuple[Vocabulary, bool], VocabularyEmbeddings] = OrderedDict()
        self.look(np.zeros((64, 64, 3), np.uint8)).segment(self.network.training_vocabulary)
        self._own = set(folder.iterdir())

    def look(self, picture: np.ndarray) -> EncodedImage:
        """Looks at a picture.

        Args:
            picture: uint8 (H, W, 3), RGB.
        """
        return replace(self.model.encode_image(picture), model=self)

    def read(self, vocabulary: VocabularyLike) -> Vocabulary:
        """Reads words, as `Model.read` does."""
        return self.model.read(vocabulary)

    def encode(self, vocabulary: Vocabulary, *, negatives: bool = True) -> VocabularyEmbeddings:
        """Embeds a vocabulary, or remembers it; only the model's own words stay on disk.

        Args:
            vocabulary: the words.
            negatives: whether others compete, as `Model.encode` takes it.
        """
        known = self._known.pop((vocabulary, negatives), None)
        if known is None:
            embedded = self.network.embed_vocabulary(vocabulary, negatives=negatives, cache_dir=self._folder)
            known = embedded.to(self.device)
            for file in self._folder.iterdir():
                if self._own is not None and file not in self._own:
                    file.unlink()
        self._known[vocabulary, negatives] = known
        while len(self._known) > 1 and sum(map(_bytes_of, self._known.values())) > MOST_BYTES:
            self._known.popitem(last=False)
        return known


def _bytes_of(words: VocabularyEmbeddings) -> int:
    return words.text_embed.nbytes
