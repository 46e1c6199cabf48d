"""Loading a model and segmenting pictures with it from Python."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lexiseg.core.batches import to_image_batch
from lexiseg.core.concepts import kinds_of
from lexiseg.core.devices import Precision, choose_device, computing, dtype_of
from lexiseg.core.files import real
from lexiseg.core.frames import Frame
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary, is_thing
from lexiseg.encoders.text import Memory, TextMemory, default_cache_dir
from lexiseg.inference.encoded import (
    EncodedImage,
    Opened,
    Question,
    VocabularyLike,
    answers,
    in_batches,
    opened_in_turn,
)
from lexiseg.inference.result import Result
from lexiseg.inference.source import Picture, item_of, items_of
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.finding import find_model
from lexiseg.io.model_card import CARD_FILE, read_figures
from lexiseg.io.models import card_of, load_model, save_model
from lexiseg.io.publish import check_repository, upload
from lexiseg.io.shipped import SHIPPED, SHIPPED_NAME, shipped_folder, unknown_concepts
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import RankBy

logger = logging.getLogger("lexiseg")

MAX_REMEMBERED = 32
"""Vocabularies whose embeddings a model keeps in memory, of 1 GiB at most."""
SHOWN_WORDS = 8
"""Unknown words that the warning names."""


def load(
    name_or_dir: str | Path = SHIPPED_NAME,
    *,
    device: str = "auto",
    precision: Precision = "float32",
    compile: bool = False,
) -> "Model":
    """Loads a model.

    Args:
        name_or_dir: a name that `lexiseg models` shows: "storybook" (an OPSNet) and "tiny-ovseg" (an OVSeg) are inside
            the package, for drawn pictures only; others, such as "swin-l-coco", are fetched from the Hugging Face hub
            and assembled the first time. Or a model folder, ours or in transformers' layout; a checkpoint file of
            FC-CLIP, Mask2Former or OVSeg; or "owner/name" on the hub.
        device: "auto" takes a GPU if there is one; or any name that torch knows.
        precision: what the network computes in; see `lexiseg.core.devices.computing`. Weights stay float32.
        compile: lets torch.compile take the network. The first picture waits for it, minutes where the model is large;
            so do the first ones of another padded size or batch size. Answers are the same but for rounding. For many
            pictures: on a CPU, of one padded size, it saves a tenth; code for every size saves nothing there.

    Raises:
        ModelError: if there is no such model, or it is damaged.
        DeviceError: if this machine does not have the device, or that can't compute in the precision.
    """
    place = choose_device(device)
    computing(place, precision)  # refused before anything is read
    folder = find_model(name_or_dir)
    is_shipped = real(folder) in {real(shipped_folder(name)) for name in SHIPPED}
    return Model(
        load_model(folder),
        name=str(name_or_dir),
        device=place,
        is_shipped=is_shipped,
        precision=precision,
        compile=compile,
    )


class Model:
    """A network on a device that opens pictures and caches vocabulary embeddings.

    The vocabulary is an argument of every call: of 1 concept or 5,000.
    """

    def __init__(
        self,
        network: OpenVocabularySegmenter,
        *,
        name: str = "model",
        device: torch.device | str = "cpu",
        is_shipped: bool = False,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        """Moves the network to the device.

        Args:
            network: the model.
            name: shown in the repr.
            device: a torch device.
            is_shipped: whether these are the package's own weights, which warn of words outside their training.
            precision: what the network computes in.
            compile: as `load` takes it.

        Raises:
            DeviceError: if the device can't compute in the precision.
        """
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()  # convolutions take less time so
        self.device = torch.device(device)
        self.name = name
        self.is_shipped = is_shipped
        self.precision: Precision = precision
        computing(self.device, precision)
        if compile:
            self.network.compile_parts()
        self._known: Memory[tuple[Vocabulary, bool], VocabularyEmbeddings] = Memory(MAX_REMEMBERED, 2**30)
        self._names = TextMemory()
        self._warned: set[str] = set()

    def segment(
        self,
        image: Picture,
        vocabulary: VocabularyLike,
        *,
        negatives: bool = True,
        score_threshold: float | None = None,
        fusion: Fusion | None = None,
        rank_by: RankBy | None = None,
        with_instances: bool = False,
        tree: bool = False,
    ) -> Result:
        """Segments one picture.

        Args:
            image: a file or its bytes, a Pillow image, or an array (H, W), (H, W, 3) or (H, W, 4) in RGB order.
            vocabulary: the words, such as "cat|kitten, dog, sky:stuff"; or a list, a YAML or JSON file, a built-in
                name such as "coco", or a Vocabulary.
            negatives: lets training concepts outside the vocabulary compete; what they win is void. Without them
                every region becomes one of a few words.
            score_threshold: leaves out segments with a lower score, in [0, 1]; the model's own if not given.
            fusion: how CLIP and the trained query are combined, modulation for an OPSNet and ensemble for an OVSeg; the
                model's own if not given.
            rank_by: which score ranks, "class", "iou" or "product"; the model's own if not given.
            with_instances: adds things with whole masks that may overlap.
            tree: finds the segments' paths by the names of inner nodes, level by level, and not by sums over concepts.

        Returns:
            The panoptic map at the picture's own size, with the vocabulary and the picture.

        Raises:
            PictureError: if the picture can't be opened.
            VocabularyError: if the words make no vocabulary.
            ValueError: if a setting is out of its range.
        """
        settings: dict[str, Any] = {"negatives": negatives, "score_threshold": score_threshold, "rank_by": rank_by}
        question = Question.of(self, vocabulary, fusion=fusion, with_instances=with_instances, tree=tree, **settings)
        return self.encode_image(image).answer(question)

    def find(self, image: Picture, vocabulary: VocabularyLike) -> Result:
        """Finds the best region of each word by CLIP's scores only (OVSeg's demo).

        Unlike `segment`, it has no threshold. A word's score is its share among all words that could be in its best
        region, those that it was not asked for included; where these have the larger share the word is not there and
        gets no region, nor does one whose region words of higher scores win.

        Args:
            image: as `segment` takes it.
            vocabulary: the words.

        Raises:
            PictureError: if the picture can't be opened.
            VocabularyError: if the words make no vocabulary.
        """
        vocabulary = self.read(vocabulary)
        return self.encode_image(image).find(vocabulary)

    def encode_image(self, image: Picture) -> EncodedImage:
        """Looks at a picture once, for any number of questions: `encode_image(image).segment(words)` is `segment`.

        Args:
            image: as `segment` takes it.

        Raises:
            PictureError: if the picture can't be opened.
        """
        opened = self._open(image)
        return EncodedImage(model=self, opened=opened, encoded=self._look([opened]))

    def segment_many(
        self,
        pictures: Picture | Iterable[Picture],
        vocabulary: VocabularyLike,
        *,
        negatives: bool = True,
        score_threshold: float | None = None,
        fusion: Fusion | None = None,
        rank_by: RankBy | None = None,
        with_instances: bool = False,
        tree: bool = False,
        batch_size: int = 1,
        recursive: bool = False,
        every: int = 1,
        on_error: Callable[[Any, ValueError], None] | None = None,
    ) -> Iterator[Result]:
        """Segments pictures in their order; the iterable may be endless, and memory does not grow.

        Segments keep their ids from frame to frame of a video; `lexiseg.inference.tracking` has the rule.

        Args:
            pictures: what `segment` takes, or an iterable of it; a text may also be a folder, a pattern, a video (extra
                `video`), an http(s) address, a list (.txt) of these, one per line, or "-" for the standard input.
            vocabulary: the words.
            negatives: this and the next five as `segment` takes them.
            score_threshold: likewise.
            fusion: likewise.
            rank_by: likewise.
            with_instances: likewise.
            tree: likewise.
            batch_size: how many pictures go through the network at once, at most: those of one padded size, for which
                up to four times as many are read ahead. On a CPU it saves time where the model is small, as the shipped
                ones are. Answers are those to single pictures, but for what sums of another order round otherwise.
            recursive: searches the folders inside of folders, too.
            every: of a video, takes every so many-th frame.
            on_error: called with what was given and the error, for a picture that can't be opened, which is left out;
                if not given, the error is raised.

        Returns:
            Results in the order of the pictures, one by one.

        Raises:
            VocabularyError: if the words make no vocabulary; this and the next at once.
            ValueError: if a setting is out of its range.
            PictureError: if a picture can't be opened, when its turn comes and without `on_error`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}; 1 takes pictures one by one.")
        settings: dict[str, Any] = {"negatives": negatives, "score_threshold": score_threshold, "rank_by": rank_by}
        question = Question.of(self, vocabulary, fusion=fusion, with_instances=with_instances, tree=tree, **settings)

        opened = opened_in_turn(items_of(pictures, recursive=recursive, every=every), self._open)

        def results() -> Iterator[Result]:
            look = in_batches(opened, batch_size, lambda batch: answers(self, batch, self._look(batch), question))
            for found in look:
                if isinstance(found, Result):
                    yield found
                elif on_error is None:
                    raise found[1]
                else:
                    on_error(*found)

        return results()

    def read(self, vocabulary: VocabularyLike) -> Vocabulary:
        """Reads words; of those without a mark the training vocabulary says first which are things.

        Raises:
            VocabularyError: if the words make no vocabulary.
        """
        trained = kinds_of(self.network.config.training_vocabulary.concepts)
        return Vocabulary.of(vocabulary, unmarked=lambda names: is_thing(names, trained))

    def _open(self, image: Picture) -> Opened:
        """Opens a picture and finds its place on the canvas."""
        item, config = item_of(image), self.network.config
        picture = item.open()
        sides = {"longest": config.longest_side, "shortest": config.shortest_side}
        frame = Frame.fit(picture.shape[:2], **sides, resizing=self.network.resizing)
        return Opened(picture=picture, frame=frame, name=item.name, source=item.source, follow=item.follow)

    def _look(self, opened: Sequence[Opened]) -> EncodedImages:
        """Runs the network, in its precision, on pictures of one canvas."""
        sides = {"longest": self.network.config.longest_side, "shortest": self.network.config.shortest_side}
        images = to_image_batch([one.picture for one in opened], **sides, resizing=self.network.resizing)
        with torch.inference_mode(), computing(self.device, self.precision):
            return self.network.encode(images.to(self.device))

    def encode(self, vocabulary: Vocabulary, *, negatives: bool = True) -> VocabularyEmbeddings:
        """Embeds a vocabulary; cached in memory, word by word too, and on disk across processes.

        Logs a warning, once a word, for words outside the training of the shipped weights.

        Args:
            vocabulary: the concepts to segment.
            negatives: whether training concepts outside the vocabulary compete.
        """
        known = self._known.get((vocabulary, negatives))
        if known is None:
            self._say_unknown(vocabulary)
            embedded = self.network.embed_vocabulary(
                vocabulary, negatives=negatives, cache_dir=default_cache_dir(), memory=self._names
            )
            known = embedded.to(self.device)
            self._known.put((vocabulary, negatives), known, known.text_embed.nbytes)
        return known

    @classmethod
    def from_pretrained(
        cls, name_or_dir: str | Path, *, device: str = "auto", precision: Precision = "float32", compile: bool = False
    ) -> "Model":
        """Loads a model: `lexiseg.load` by the name that other libraries have for it."""
        return load(name_or_dir, device=device, precision=precision, compile=compile)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        precision: Precision | None = None,
        reports: Sequence[str | Path] = (),
        card: str | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes a whole model folder, atomically: configuration, weights and a model card.

        Args:
            folder: the folder to make; `load` takes it, and so does every `--model`.
            precision: what weights are stored in; they are loaded as float32 from all of them. fp16 halves the folder.
                As they are in memory if not given, which is float32.
            reports: report.json files of `lexiseg evaluate`, of these weights and the model's own settings: their
                figures go onto the card, with the commands that give them.
            card: text of README.md instead of the one that is written from what is known.
            overwrite: replaces an earlier model folder.

        Returns:
            The folder.

        Raises:
            ModelError: if it can't be written, a report is of another model, or weights are too large for fp16.
        """
        self._add_figures(reports)
        texts = {} if card is None else {CARD_FILE: card}
        return save_model(self.network, folder, dtype=dtype_of(precision), extra_files=texts, overwrite=overwrite)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a model of lexiseg",
        precision: Precision | None = None,
        reports: Sequence[str | Path] = (),
        card: str | None = None,
    ) -> str:
        """Writes a model folder as `save_pretrained` does, and uploads it to the Hugging Face hub in one commit.

        Args:
            repository: "owner/name"; it is made if it is not there. Files of the same names are replaced.
            private: whether a repository that is made is seen by its owner alone; the hub's default if not given.
            token: of an account with the right to write; that of `hf auth login` if not given.
            commit_message: what the commit is called.
            precision: this and the next two as `save_pretrained` takes them.
            reports: likewise.
            card: likewise.

        Returns:
            The address of the repository.

        Raises:
            ModelError: if nobody is logged in, the account may not write there, the hub can't be reached, or the
                repository is public and `private` was asked for; and as `save_pretrained` does.
        """
        check_repository(repository)
        self._add_figures(reports)
        with tempfile.TemporaryDirectory(prefix="lexiseg-") as scratch:
            card = card or card_of(self.network, repository, dtype_of(precision))
            folder = self.save_pretrained(Path(scratch, "model"), precision=precision, card=card)
            return upload(folder, repository, private=private, token=token, message=commit_message)

    def _add_figures(self, reports: Sequence[str | Path]) -> None:
        """Keeps the figures of reports with what is known of the model."""
        if reports:
            known, weights = self.network.provenance, weights_hash(self.network.state_dict())
            read = [read_figures(Path(report), self.network.config, weights) for report in reports]
            added = [figure for figures in read for figure in figures if figure not in known.figures]
            self.network.provenance = replace(known, figures=(*known.figures, *added))

    def _say_unknown(self, vocabulary: Vocabulary) -> None:
        new = [word for word in (unknown_concepts(vocabulary) if self.is_shipped else ()) if word not in self._warned]
        if not new:
            return
        self._warned.update(new)
        more = f" and {len(new) - SHOWN_WORDS} more" if len(new) > SHOWN_WORDS else ""
        logger.warning(
            "Note: the shipped weights know only the drawn world and have never read %s%s; expect nothing useful for "
            "these words, nor for photographs.",
            ", ".join(f"'{name[:40]}'" for name in new[:SHOWN_WORDS]),
            more,
        )

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.network.parameters()) / 1e6
        return f"<Model {self.name}: {millions:.1f} million parameters on {self.device}>"
