"""The numbers of words and pictures in COCO files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lexiseg.core.errors import UsageError
from lexiseg.core.messages import printable, shown
from lexiseg.core.picture_files import VIDEO_SUFFIXES, pair_names
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_categories
from lexiseg.data.formats.coco_panoptic import read_lists
from lexiseg.inference.formats.format import Categories


def numbered(vocabulary: Vocabulary, given: Sequence[str], truth: Path | None) -> tuple[Vocabulary, Categories]:
    """The words with numbers: their places, or those of a truth, which then says what is a thing and names pictures.

    Args:
        vocabulary: the words.
        given: the names of pictures.
        truth: a JSON in COCO format; None if there is none.

    Raises:
        UsageError: naming the first word or picture that the truth lacks, or a video, whose frames no truth has.
    """
    if truth is None:
        return vocabulary, Categories.of(vocabulary)
    if videos := [name for name in given if Path(name).suffix.lower() in VIDEO_SUFFIXES]:
        raise UsageError(
            f"--categories numbers no frames of videos: leave it out, or leave {printable(videos[0])} out."
        )
    listed, id_of = read_lists(truth)
    category_of = {place: number for number, place in match_categories(listed, vocabulary).items()}
    kind_of = {category.id: category.is_thing for category in listed}
    names = pair_names(given, id_of)
    unknown = [name for place, name in enumerate(vocabulary.names) if place not in category_of]
    if unknown := unknown or [name for name in given if name not in names]:
        raise UsageError(f"{printable(truth)} lists no {shown(unknown[0])}: leave it out, or leave --categories out.")
    concepts = tuple(
        replace(concept, is_thing=kind_of[category_of[place]]) for place, concept in enumerate(vocabulary.concepts)
    )
    kinds = zip(vocabulary.names, (concept.is_thing for concept in concepts), strict=True)
    numbers = {kind: category_of[place] for place, kind in enumerate(kinds)}
    pictures = {name: id_of[other] for name, other in names.items()}
    return replace(vocabulary, concepts=concepts), Categories(numbers=numbers, listed=listed, pictures=pictures)
