"""What is asked of a picture: the JSON of a question, and its words, checked before they cost anything."""

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lexiseg.core.concepts import SEPARATORS, split_words
from lexiseg.core.messages import shown
from lexiseg.core.vocabulary import Vocabulary, builtin_names
from lexiseg.core.words.entries import synset_entries
from lexiseg.inference.encoded import Asked, Question
from lexiseg.server.cache import HANDLE
from lexiseg.server.errors import RequestError
from lexiseg.server.settings import Limits

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)
_Texts = Annotated[list[str], Field(fail_fast=True)]
MOST_JSON = 2**22
"""Bytes of a question."""
DEEPEST = 32
"""Steps of a path down a taxonomy."""
MARK = len("n00000000 :stuff") + 2
"""Letters that an entry may have beside its names."""


class Word(BaseModel):
    """A word of a question."""

    model_config = _STRICT

    name: str
    synonyms: _Texts = []
    """Further names; a region matches the word if it matches any of them."""
    is_thing: bool | None = None
    """Things are segmented one by one, stuff is one segment; decided by the name if not given."""
    path: Annotated[_Texts, Field(max_length=DEEPEST)] = []
    """Place in a taxonomy, root first."""


class SegmentRequest(BaseModel):
    """What `POST /v1/segment` is asked."""

    model_config = _STRICT

    vocabulary: str | Annotated[list[str | Word], Field(fail_fast=True)]
    """Words such as "cat|kitten, sky:stuff", the name of a built-in list, or a list of words; never a file."""
    handle: Annotated[str, Field(pattern=HANDLE)] | None = None
    """From `POST /v1/encode`, or an earlier answer."""
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Leaves out segments with a lower score; the model's own if not given."""
    negatives: bool = True
    """Lets words compete that were not asked for; what they win is void."""
    tree: bool = False
    """Finds the segments' paths by the names of inner nodes, level by level."""
    formats: _Texts = []
    """Of the files, for `Accept: application/zip`."""


def request_schema() -> dict[str, Any]:
    """The JSON schema of a question, in one piece."""
    schema = SegmentRequest.model_json_schema()
    word = json.dumps(schema.pop("$defs")["Word"])
    return json.loads(json.dumps(schema).replace('{"$ref": "#/$defs/Word"}', word))


def read_request(text: bytes) -> SegmentRequest:
    """Reads the JSON of a question.

    Raises:
        RequestError: naming the first thing that is wrong with it.
    """
    if len(text) > MOST_JSON:
        raise RequestError(413, f"A question has at most {MOST_JSON:,} bytes of JSON, but this one has {len(text):,}.")
    try:
        return SegmentRequest.model_validate_json(text)
    except ValidationError as error:
        raise RequestError(422, _told(error)) from error


def _told(error: ValidationError) -> str:
    """The first thing that is wrong with a question."""
    first = error.errors(include_url=False, include_context=False)[0]
    if not first["loc"]:
        return f'Expected an object of JSON with at least a "vocabulary": {first["msg"]}.'
    key, kind = str(first["loc"][0]), first["type"]
    if key == "vocabulary" and kind != "missing":
        return (
            '"vocabulary" must be words such as "cat|kitten, sky:stuff", the name of a built-in list, or a list of '
            f'words, each a text or an object with "name", "synonyms", "is_thing" and "path" (of {DEEPEST} at most).'
        )
    if kind == "extra_forbidden":
        return f"{shown(key)} is unknown; known are {', '.join(SegmentRequest.model_fields)}."
    if kind == "missing":
        return f'"{key}" is missing: say which words to look for.'
    if key == "handle":
        return f'"handle" must be the 32 hexadecimal digits of an earlier answer, got {shown(first["input"])}.'
    return f'"{key}": {first["msg"]}, got {shown(first["input"])}.'


def question_of(request: SegmentRequest, model: Asked, limits: Limits) -> Question:
    """Reads the words of a question.

    Raises:
        RequestError: if they are too many or too long.
        VocabularyError: if they make no vocabulary.
    """
    words = words_of(request.vocabulary, model, limits)
    names = set(words.row_names())
    if request.tree:
        names.update(node for concept in words.concepts for node in concept.path)
    if len(names) > limits.words:
        raise _too_many(len(names), limits)
    return Question.of(
        model,
        words,
        negatives=request.negatives,
        score_threshold=request.score_threshold,
        fusion=None,
        rank_by=None,
        with_instances=False,
        tree=request.tree,
    )


def words_of(vocabulary: str | list[str | Word], model: Asked, limits: Limits) -> Vocabulary:
    """Reads words; text is split here, since `Vocabulary.of` would take some for the name of a file.

    Raises:
        RequestError: if they are too many or too long.
        VocabularyError: if they make no vocabulary.
    """
    if isinstance(vocabulary, str) and vocabulary.strip().lower() in builtin_names():
        return model.read(vocabulary)
    entries = _split(vocabulary, limits) if isinstance(vocabulary, str) else vocabulary
    _check(entries, limits)
    return model.read([one if isinstance(one, str) else one.model_dump() for one in entries])


def _split(text: str, limits: Limits) -> list[Any]:
    """The entries of a text. What would cost more than its length to take apart is refused first."""
    text = re.sub(r" ?\n[\n ]*", "\n", re.sub(r"[^\S\n]+", " ", text.replace("\r", "\n")))
    if (count := len(re.findall(r"[\n;；.]", text)) + len(SEPARATORS.findall(text))) > limits.words:
        raise _too_many(count, limits)
    return synset_entries(text) or split_words(text)[0]


def _check(entries: list[Any], limits: Limits) -> None:
    """Refuses names that are too long or too many before anything remembers them."""
    names: list[str] = []
    nodes: set[str] = set()
    for entry in entries:
        names += entry.split("|") if isinstance(entry, str) else (entry.name, *entry.synonyms)
        nodes.update(() if isinstance(entry, str) else entry.path)
    if (count := max(len(names), len(nodes))) > limits.words:
        raise _too_many(count, limits)
    if long := next((name for name in (*names, *nodes) if len(name) > limits.letters + MARK), None):
        raise RequestError(422, f"A name has at most {limits.letters} letters, but {shown(long)} has {len(long):,}.")


def _too_many(count: int, limits: Limits) -> RequestError:
    return RequestError(
        422, f"A question has at most {limits.words:,} names, synonyms among them, but this one has {count:,}."
    )
