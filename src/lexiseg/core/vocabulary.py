"""Vocabularies: the concepts to segment, and the forms in which users write them.

Nothing here imports torch, so that the command line can check a vocabulary in milliseconds.
"""

import difflib
import functools
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lexiseg.core.concepts import (
    MAX_NAME_LENGTH,
    Concept,
    category_entries,
    line_words,
    same_word,
    shown_names,
    split_words,
    table_words,
)
from lexiseg.core.errors import VocabularyError
from lexiseg.core.files import file_mode, open_regular
from lexiseg.core.messages import shown
from lexiseg.core.words.entries import (
    CONCEPT_KEYS,
    Rule,
    check_keys,
    is_texts,
    listed_keys,
    read_entries,
    synset_entries,
)
from lexiseg.core.words.wordnet import WordNet, is_wordnet

logger = logging.getLogger(__name__)
VILD_TEMPLATES: tuple[str, ...] = tuple(json.loads(Path(__file__).with_name("vild_templates.json").read_text("utf-8")))
"""The 14 prompt templates of ViLD's kind that OVSeg and FC-CLIP average over."""

FILE_ENDINGS = (".yaml", ".yml", ".json", ".txt", ".csv")
_FOLDER = Path(__file__).with_name("vocabularies")
_EXPECTED = (
    'a list of entries such as "cat|kitten" or "sky:stuff", or a mapping with the keys '
    '"concepts" and, if wished, "templates" and "source"'
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The concepts to segment, with their prompt templates: an argument of every call, never state of a model.

    Raises VocabularyError if there is no concept, a template lacks its `{}`, or a name stands twice: two concepts may
    share one if both have an id, as "crane" the bird and "crane" the machine have.
    """

    concepts: tuple[Concept, ...]
    templates: tuple[str, ...] = VILD_TEMPLATES
    """Sentences with `{}` for the name; the text embedding is their average."""

    def __post_init__(self) -> None:
        if not self.concepts:
            raise VocabularyError('a vocabulary needs at least one word, such as "cat, sky".')
        _check_templates(self.templates)
        seen: dict[str, int] = {}
        ids: dict[str, int] = {}
        shared: set[int] = set()
        for place, concept in enumerate(self.concepts):
            if concept.id and (first := ids.setdefault(concept.id, place)) != place:
                raise VocabularyError(
                    f"the id {shown(concept.id)} stands twice, in entries {first + 1} and {place + 1}: remove one."
                )
            for name in concept.names:
                if (first := seen.setdefault(same_word(name), place)) == place:
                    continue
                if not (concept.id and self.concepts[first].id):
                    other = self.concepts[first].name
                    raise VocabularyError(
                        f"{shown(name)} stands twice, in entry {first + 1} ({shown(other)}) and "
                        f"in entry {place + 1} ({shown(concept.name)}): remove one of the two."
                    )
                shared |= {first, place}
        for concept in (self.concepts[place] for place in sorted(shared)):
            if (first := seen.get(same_word(name := f"{concept.name} ({concept.id})"))) is not None:
                raise VocabularyError(
                    f"{shown(name)} is what one of several words {shown(concept.name)} is called with its id, and it "
                    f"stands in entry {first + 1}, too: write another word there."
                )

    def __len__(self) -> int:
        return len(self.concepts)

    @property
    def names(self) -> tuple[str, ...]:
        """The first name of every concept as results show it; with its id, "crane (n02012849)", where others share it.

        They are distinct, so that figures, colours and categories can be kept by name. `row_names` has the words.
        """
        return shown_names(self.concepts)

    def row_names(self) -> tuple[str, ...]:
        """All names, concept by concept: the rows of `text_embed`."""
        return tuple(name for concept in self.concepts for name in concept.names)

    def row_concepts(self) -> tuple[int, ...]:
        """For each of `row_names`, the index of its concept."""
        return tuple(index for index, concept in enumerate(self.concepts) for _ in concept.names)

    @staticmethod
    def of(
        spec: "Vocabulary | str | Path | list[Any] | tuple[Any, ...]",
        templates: tuple[str, ...] | None = None,
        *,
        unmarked: "Callable[[tuple[str, ...]], bool] | None" = None,
    ) -> "Vocabulary":
        """Reads a vocabulary from any of the accepted forms.

        Logs a note where the text separates words as other programs do, or looks like a misspelt built-in name.

        Args:
            spec: a Vocabulary; text such as "cat|kitten, dog, sky:stuff", or a word per line; a list of such entries
                or of Concepts; synsets such as "n02124075 Egyptian cat, tabby", one per line; the path of a .yaml,
                .yml, .json (also COCO's, for its categories), .txt or .csv file, or of a WordNet folder, of which the
                nouns are taken; or a built-in name.
            templates: replaces the prompt templates where given.
            unmarked: says of the names of an unmarked word whether it is a thing; `is_thing` if not given.

        Raises:
            VocabularyError: if the words make no vocabulary.
        """
        vocabulary = _read(spec, unmarked or is_thing)
        return vocabulary if templates is None else replace(vocabulary, templates=templates)

    def to_json(self) -> str:
        """Serialises to JSON text; `from_json` reads it back without loss."""
        concepts = [{k: v for k, v in asdict(concept).items() if k != "id" or v} for concept in self.concepts]
        document = {"templates": self.templates, "concepts": concepts}
        return json.dumps(document, ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str) -> "Vocabulary":
        """Reads JSON text, from `to_json` or written by hand.

        Raises:
            VocabularyError: if the text is no JSON or holds no vocabulary.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise VocabularyError(f"expected a vocabulary as JSON, but {error}.") from error
        return _from_document(document, "the JSON text", is_thing)


@functools.cache
def builtin_names() -> tuple[str, ...]:
    """The built-in lists, in alphabetical order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def builtin_source(name: str) -> str:
    """What a built-in list is, in a phrase."""
    return _document(name)["source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Label values and zero-shot split of a built-in list's data set."""

    values: tuple[int, ...]
    """For each concept, its pixel value in the data set's label maps."""
    unseen: frozenset[str]
    """First names of the concepts that the zero-shot split holds out."""


@functools.cache
def label_table(name: str) -> LabelTable:
    """The label values of a built-in list that has them, such as coco-stuff.

    Raises:
        KeyError: if the list has none, such as storybook.
    """
    entries = _document(name)["concepts"]
    return LabelTable(
        values=tuple(entry["value"] for entry in entries),
        unseen=frozenset(entry["name"] for entry in entries if entry.get("unseen")),
    )


@functools.cache
def _builtin(name: str) -> Vocabulary:
    """A built-in list; one with `subset_of` picks from another list by name, in its own order."""
    document = _document(name)
    if "subset_of" in document:
        whole = {concept.name: concept for concept in _builtin(document["subset_of"]).concepts}
        return Vocabulary(tuple(whole[chosen] for chosen in document["names"]))
    entries = [{key: entry[key] for key in CONCEPT_KEYS if key in entry} for entry in document["concepts"]]
    return _from_document({"concepts": entries}, f"{name}.json", is_thing)


@functools.cache
def _document(name: str) -> dict[str, Any]:
    """The file of a built-in list: beside what a user's file may say, `value`, `unseen` and `for_unmarked_words`."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@functools.cache
def _places() -> Mapping[str, tuple[tuple[str, int], ...]]:
    """For every name, the built-in lists that have it, and its concept's place in each."""
    found: dict[str, list[tuple[str, int]]] = {}
    for listed in builtin_names():
        for place, concept in enumerate(_builtin(listed).concepts):
            for name in concept.names:
                found.setdefault(same_word(name), []).append((listed, place))
    return {name: tuple(places) for name, places in found.items()}


def builtin_places(name: str) -> tuple[tuple[str, int], ...]:
    """The built-in lists that have a name, each with the place of its concept there."""
    return _places().get(same_word(name), ())


def are_apart(name: str, other: str) -> bool:
    """Whether some built-in list has two names, and none has them in one concept."""
    first, second = builtin_places(name), builtin_places(other)
    shared = {listed for listed, _ in first} & {listed for listed, _ in second}
    return bool(shared) and set(first).isdisjoint(second)


def is_thing(names: Iterable[str], trained: Mapping[str, tuple[int, bool]] | None = None) -> bool:
    """Whether an unmarked word is a thing.

    The first that knows one of its names decides: what the model was trained with, if its `kinds_of` are given; the
    built-in lists in which it is a concept's first name; those in which it is a synonym. Where these disagree, and
    where nobody knows it, it is a thing. Lists that say `for_unmarked_words: false` are not asked: most have no
    official stuff, and COCO-Stuff calls a desk stuff, which few people who write "desk" mean.
    """
    words = set(map(same_word, names))
    if trained and (told := [trained[word] for word in words if word in trained]):
        return min(told)[1]
    kinds: dict[bool, list[bool]] = {True: [], False: []}  # by whether the word is the concept's first name
    for word in words:
        for listed, place in builtin_places(word):
            if _document(listed).get("for_unmarked_words", True):
                concept = _builtin(listed).concepts[place]
                kinds[same_word(concept.name) == word].append(concept.is_thing)
    return any(known := kinds[True] or kinds[False]) or not known


def _read(spec: "Vocabulary | str | Path | list[Any] | tuple[Any, ...]", unmarked: Rule) -> Vocabulary:
    """Dispatches on the form; see `Vocabulary.of`."""
    if isinstance(spec, Vocabulary):
        return spec
    if isinstance(spec, Path) or (isinstance(spec, str) and spec.strip().lower().endswith(FILE_ENDINGS)):
        return _from_file(Path(spec.strip() if isinstance(spec, str) else spec), unmarked)
    if isinstance(spec, str):
        if spec.strip().lower() in builtin_names():
            return _builtin(spec.strip().lower())
        return _from_words(spec, unmarked)
    if isinstance(spec, (list, tuple)):
        return Vocabulary(read_entries(spec, unmarked))
    kind = type(spec).__name__
    raise VocabularyError(f'expected words, a list, a file or a built-in name, got a {kind}: write "cat, sky:stuff".')


def _from_words(text: str, unmarked: Rule) -> Vocabulary:
    """Reads words between commas or in lines."""
    if entries := synset_entries(text):
        return Vocabulary(read_entries(entries, unmarked))
    entries, is_foreign = split_words(text)
    vocabulary = Vocabulary(read_entries(entries, unmarked))
    if is_foreign:
        form = ", ".join(map(str.strip, entries))
        logger.warning("Note: %s is read as %s, which is the form to write.", shown(text), shown(form, 80))
    elif len(vocabulary) == 1 and not builtin_places(text):
        for near in difflib.get_close_matches(same_word(text)[:MAX_NAME_LENGTH], builtin_names(), n=1, cutoff=0.7):
            logger.warning("Note: %s is read as a word; did you mean %s, a built-in list?", shown(text), near)
    return vocabulary


def _from_file(path: Path, unmarked: Rule) -> Vocabulary:
    """Reads a vocabulary file: YAML, JSON, a table, or a word per line, by its ending; or the nouns of WordNet."""
    if is_wordnet(path):
        return Vocabulary(WordNet.read(path).concepts(unmarked))
    quoted, ending = shown(path, 80), path.suffix.lower()
    if ending not in FILE_ENDINGS:
        raise VocabularyError(f"a vocabulary file ends in {', '.join(FILE_ENDINGS)}, but {quoted} not.")
    try:
        text = _with_ids(path, _text(path))
    except VocabularyError:
        raise
    except UnicodeDecodeError as error:
        raise VocabularyError(f"the vocabulary file {quoted} is no UTF-8 text.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise VocabularyError(f"cannot read the vocabulary file {quoted}: {reason}.") from error
    if ending == ".csv":
        return Vocabulary(read_entries(table_words(text), unmarked))
    if ending == ".txt":
        return _from_words(line_words(text), unmarked)
    language, parse = ("JSON", json.loads) if ending == ".json" else ("YAML", _yaml)
    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise VocabularyError(f"the file {quoted} is no valid {language}: {reason}.") from error
    return _from_document(document, f"the file {quoted}", unmarked)


def _text(path: Path) -> str:
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig")


def _with_ids(path: Path, text: str) -> str:
    """A list of synsets of the text, where a file `...lemmas.txt` has their ids in `...ids.txt` beside it.

    ImageNet-21K's names are published so.

    Raises:
        VocabularyError: if the two have different numbers of lines, or a line is empty in one of them.
    """
    beside = path.with_name(path.name.replace("lemmas", "ids"))
    if not path.name.endswith("lemmas.txt") or file_mode(beside) == 0:
        return text
    names, ids = text.split("\n"), _text(beside).split("\n")
    if len(names) != len(ids):
        raise VocabularyError(
            f"{shown(path.name)} has {len(names)} lines and {shown(beside.name)} {len(ids)}: bring both of one release."
        )
    pairs = [(number.strip(), name.strip()) for number, name in zip(ids, names, strict=True)]
    for line, (number, name) in enumerate(pairs, start=1):
        if bool(number) != bool(name):
            empty, full = (path, beside) if number else (beside, path)
            raise VocabularyError(
                f"line {line} of {shown(empty.name)} is empty and that of {shown(full.name)} is not: bring both of one "
                "release."
            )
    return "\n".join(f"{number} {name}".strip() for number, name in pairs)


def _yaml(text: str) -> object:
    """Parses YAML, with its errors as ValueErrors."""
    import yaml  # here, because most calls need no YAML and its import costs more than all else

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def _from_document(document: object, source: str, unmarked: Rule) -> Vocabulary:
    """Reads the content of a file: a list of entries, a mapping with templates and concepts, or COCO's categories."""
    if isinstance(document, list):
        return Vocabulary(read_entries(document, unmarked))
    if isinstance(document, Mapping) and isinstance(categories := document.get("categories"), list):
        return Vocabulary(read_entries(category_entries(categories), unmarked))
    if not isinstance(document, Mapping) or not isinstance(document.get("concepts"), list):
        keys = f" with {listed_keys(document)}" if isinstance(document, Mapping) else ""
        kind = "nothing" if document is None else f"a {type(document).__name__}{keys}"
        raise VocabularyError(f"{source} holds {kind}, but {_EXPECTED} is expected.")
    check_keys(document, ("concepts", "templates", "source"), source)
    templates = document.get("templates", list(VILD_TEMPLATES))
    if not is_texts(templates):
        raise VocabularyError(f'the "templates" of {source} must be a list of texts with {{}}.')
    return Vocabulary(read_entries(document["concepts"], unmarked), tuple(templates))


def _check_templates(templates: tuple[str, ...]) -> None:
    """Refuses templates into which no name can be put."""
    if not templates:
        raise VocabularyError('a vocabulary needs at least one template, such as "a photo of a {}.".')
    for template in templates:
        if template.count("{}") != 1:
            raise VocabularyError(
                f"a template holds {{}} once, for the name, but {shown(template)} holds it "
                f"{template.count('{}')} times."
            )
