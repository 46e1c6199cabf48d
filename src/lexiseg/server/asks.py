"""What is asked of a picture: the JSON of a question, and its words, checked before they cost anything."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lexiseg.core.concepts import SEPARATORS, split_words
from lexiseg.core.messages import shown
from lexiseg.core.vocabulary import Vocabulary, builtin_names
from lexiseg.core.words.entries import synset_entries
from lexiseg.inference.encoded import Question
from lexiseg.inference.predictor import Model
from lexiseg.server.cache import HANDLE
from lexiseg.server.errors import RequestError
from lexiseg.server.settings import Limits

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
MARK = len("n00000000 :stuff") + 2
"""Letters that an entry may have beside its names."""


class Word(BaseModel):
    """A word of a question."""

    model_config = _STRICT

    name: str
    synonyms: list[str] = []
    """Further names; a region matches the word if it matches any of them."""
    is_thing: bool | None = None
    """Things are segmented one by one, stuff is one segment; decided by the name if not given."""
    path: list[str] = []
    """Place in a taxonomy, root first."""


class SegmentRequest(BaseModel):
    """What `POST /v1/segment` is asked."""

    model_config = _STRICT

    vocabulary: str | list[str | Word]
    """Words such as "cat|kitten, sky:stuff", the name of a built-in list, or a list of words; never a file."""
    handle: Annotated[str, Field(pattern=HANDLE)] | None = None
    """From `POST /v1/encode`, or an earlier answer."""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Leaves out segments with a lower score; the model's own if not given."""
    negatives: bool = True
    """Lets words compete that were not asked for; what they win is void."""
    tree: bool = False
    """Finds the segments' paths by the names of inner nodes, level by level."""
    formats: list[str] = []
    """Of the files, for `Accept: application/zip`."""


def read_request(text: bytes) -> SegmentRequest:
    """Reads the JSON of a question.

    Raises:
        RequestError: naming the first thing that is wrong with it.
    """
    try:
        return SegmentRequest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RequestError(422, f"{shown(place, 60) + ': ' if place else ''}{first['msg']}.") from error


def question_of(request: SegmentRequest, model: Model, limits: Limits) -> Question:
    """Reads the words of a question.

    Raises:
        RequestError: if they are too many or too long.
        VocabularyError: if they make no vocabulary.
    """
    return Question.of(
        model,
        words_of(request.vocabulary, model, limits),
        negatives=request.negatives,
        score_threshold=request.score_threshold,
        fusion=None,
        rank_by=None,
        with_instances=False,
        tree=request.tree,
    )


def words_of(vocabulary: str | list[str | Word], model: Model, limits: Limits) -> Vocabulary:
    """Reads words; text is split here, since `Vocabulary.of` would take some for the name of a file."""
    if isinstance(vocabulary, str) and vocabulary.strip().lower() in builtin_names():
        found = model.read(vocabulary)
    else:
        entries = _split(vocabulary, limits) if isinstance(vocabulary, str) else vocabulary
        _check(entries, limits)
        found = model.read([one if isinstance(one, str) else one.model_dump() for one in entries])
    count = len({*found.row_names(), *(node for concept in found.concepts for node in concept.path)})
    if count > limits.words:
        raise _too_many(count, limits)
    return found


def _split(text: str, limits: Limits) -> list[Any]:
    """The entries of a text. What would cost more than its length to take apart is refused first."""
    text = re.sub(r"\s+", lambda space: "\n" if {"\n", "\r"} & set(space[0]) else " ", text)
    if (count := len(re.findall(r"[\n;；.]", text)) + len(SEPARATORS.findall(text))) > limits.words:
        raise _too_many(count, limits)
    return synset_entries(text) or split_words(text)[0]


def _check(entries: list[Any], limits: Limits) -> None:
    """Refuses names that are too long or too many before anything remembers them."""
    names: list[str] = []
    for entry in entries:
        names += entry.split("|") if isinstance(entry, str) else (entry.name, *entry.synonyms, *entry.path)
    if len(names) > limits.words + sum(len(entry.path) for entry in entries if isinstance(entry, Word)):
        raise _too_many(len(names), limits)
    if long := next((name for name in names if len(name) > limits.letters + MARK), None):
        raise RequestError(422, f"A name has at most {limits.letters} letters, but {shown(long)} has {len(long):,}.")


def _too_many(count: int, limits: Limits) -> RequestError:
    return RequestError(
        422, f"A question has at most {limits.words:,} names, synonyms among them, but this one has {count:,}."
    )
