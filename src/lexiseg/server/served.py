"""A model as strangers ask it: their words leave nothing behind, neither in its memory, nor on disk, nor in the log."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from lexiseg.core.devices import Precision
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.text import Memory, TextMemory, names_at_once
from lexiseg.inference.encoded import EncodedImage, Question, VocabularyLike
from lexiseg.inference.predictor import MAX_REMEMBERED, Model

MOST_BYTES = 2**26
"""Of embeddings of vocabularies that are remembered, beside those of names."""


class ServedModel:
    """A model with a bounded memory of words, for one thread."""

    def __init__(self, model: Model) -> None:
        """Embeds the model's own words, and looks at a first picture, so that the first request is as quick as others.

        Args:
            model: the model.
        """
        self.model = model
        self.network = model.network
        self.device = model.device
        self.precision: Precision = model.precision
        self.names = TextMemory()
        self._known: Memory[tuple[Vocabulary, bool], VocabularyEmbeddings] = Memory(MAX_REMEMBERED, MOST_BYTES)
        self.look(np.zeros((64, 64, 3), np.uint8)).segment(self.network.training_vocabulary)

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
        """Embeds a vocabulary, or remembers it; nothing of it is written to disk.

        Args:
            vocabulary: the words.
            negatives: whether others compete, as `Model.encode` takes it.
        """
        known = self._known.get((vocabulary, negatives))
        if known is None:
            embedded = self.network.embed_vocabulary(vocabulary, negatives=negatives, memory=self.names)
            known = embedded.to(self.device)
            self._known.put((vocabulary, negatives), known, known.text_embed.nbytes)
        return known

    def steps_before(self, question: Question) -> list[Callable[[], object]]:
        """What embeds most of a question's new names, a call of the text tower each; any thread may ask for them.

        The last call, of all that most questions need, is left for the answer itself.
        """
        asked = [(question.vocabulary, question.negatives)]
        if question.tree is not None:
            asked.append((question.tree.nodes, False))
        wanted: dict[tuple[str, ...], list[str]] = {}
        for vocabulary, negatives in asked:
            if self._known.get((vocabulary, negatives)) is None:
                phrased = self.network.phrased(vocabulary)
                wanted.setdefault(phrased.templates, []).extend(phrased.row_names())
        encoder, steps = self.network.text_encoder, list[Callable[[], object]]()
        for templates, names in wanted.items():
            new, size = self.names.unknown(encoder, names, templates), names_at_once(templates)
            some = (new[start : start + size] for start in range(0, len(new), size))
            steps += [partial(self.names.embed, encoder, few, templates) for few in some]
        return steps[:-1]
