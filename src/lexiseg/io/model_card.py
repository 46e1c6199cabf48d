"""The model card of a folder, written from what is known: its configuration and where the model comes from."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.core.errors import ModelError
from lexiseg.core.files import read_json_object, read_text
from lexiseg.core.messages import printable
from lexiseg.core.tables import markdown_table
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.shipped import HUB_NAME
from lexiseg.models.base import ModelConfig
from lexiseg.models.provenance import Figure, Provenance, Source

CARD_FILE = "README.md"
UNKNOWN = "unknown"
GENERATED = "<!-- Written by lexiseg from what is known: without this line the card is kept as it is. -->"
FIGURES = {"pq": "PQ", "miou": "mIoU", "ap": "AP"}
"""The main figure of each task, as report.json has it."""

_SHOWN_WORDS = 4


def model_card(
    config: ModelConfig, provenance: Provenance, *, name: str, about: str, system: str, is_measured: bool = True
) -> str:
    """Writes a card with the front matter that the Hugging Face hub reads.

    Args:
        config: the model's configuration.
        provenance: where it comes from; what that does not say, the card says is not known.
        name: what it is loaded by: a name of the hub, or its folder's own.
        about: a sentence on the kind of model.
        system: the name of that kind.
        is_measured: whether the figures are of the weights that are stored, to the bit.
    """
    words, fusion = config.training_vocabulary, type(config.fusion).__name__
    stuff = sum(not one.is_thing for one in words.concepts)
    settings = ", ".join(f"{key} {value}" for key, value in to_jsonable(config.fusion).items())
    sections = {
        "Use": f'{_snippet(name, words)}\n\nor `lexiseg segment picture.jpg -v "{_asked(words)}" --model {name} '
        f"--out found`. Any words can be asked.",
        "Model": f"{about}\n\n- **Fusion**: {fusion} ({settings}).\n"
        f"- **Vocabulary of its training**: {len(words)} names ({len(words) - stuff} things, {stuff} stuff), in "
        f"{len(words.templates)} templates.\n- **Pictures**: {_regime(config)}.",
        "Where it comes from": _origin(provenance),
        "Figures": _figures(provenance.figures, name, is_measured=is_measured),
        "Limits": _limits(provenance),
        "Licence": _licences(provenance.sources),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{_front_matter(provenance, name=name, system=system)}\n---\n\n# {name}\n\n{body}\n\n{GENERATED}\n"


def written_card(folder: Path) -> str | None:
    """The card that somebody wrote for a model folder; None where there is none but lexiseg's own."""
    path = folder / CARD_FILE
    text = read_text(path) if path.is_file() else GENERATED
    return None if GENERATED in text else text


def read_figures(report: Path, config: ModelConfig, weights: str) -> tuple[Figure, ...]:
    """The main figures of a report.json of `lexiseg evaluate`, over all classes and over each group of them.

    Raises:
        ModelError: if it is none, or is of other weights or settings than the model's own.
    """
    told = read_json_object(report, ModelError)
    try:
        key = next(key for key in FIGURES if key in told)
        settings = told["settings"]
        is_own = all(settings[name] == to_jsonable(getattr(config, name)) for name in ("fusion", "merge"))
        every = Figure(
            name=FIGURES[key],
            value=float(told[key]),
            data=_last_of(told["data"]["name"]),
            pictures=int(told["num_pictures"]),
            weights=told["weights"],
            command=" ".join(["lexiseg evaluate", *_options(told["data"], settings)]),
        )
        groups = [replace(every, value=float(one[key]), group=name) for name, one in told["groups"].items()]
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise ModelError(f"{printable(report)} is no report of 'lexiseg evaluate'; name its report.json.") from error
    if every.weights != weights or not is_own:
        raise ModelError(
            f"{printable(report)} is of other {'settings' if every.weights == weights else 'weights'} than the model's "
            "own; evaluate it without options of inference, or leave the report out."
        )
    return (every, *groups)


def _options(data: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterable[str]:
    yield f"--data {_last_of(data['name'])}"
    for key in ("split", "count", "seed", "limit"):
        if data.get(key) is not None:
            yield f"--{key} {data[key]}"
    if settings["task"] != "panoptic":
        yield f"--task {settings['task']}"
    if settings.get("precision", "float32") != "float32":
        yield f"--precision {settings['precision']}"
    if settings["negatives"]:
        yield "--negatives"


def _last_of(name: str | None) -> str:
    """A data set's name; of a path the last part, as the rest is of somebody's machine."""
    return UNKNOWN if name is None else Path(name).name


def _front_matter(provenance: Provenance, *, name: str, system: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData  # here, because a model is rarely saved

    licence = common_licence(provenance.sources)
    data = ModelCardData(
        library_name="lexiseg",
        pipeline_tag="image-segmentation",
        license=licence or "other",
        license_name=None if licence else UNKNOWN,
        base_model=sorted({one.name for one in provenance.sources if HUB_NAME.fullmatch(one.name)}) or None,
        tags=["lexiseg", "open-vocabulary", "panoptic-segmentation", system],
        model_name=name,
        eval_results=[
            EvalResult("image-segmentation", one.data, one.data, one.name, round(100 * one.value, 2))
            for one in provenance.figures
            if one.group is None
        ]
        or None,
    )
    return data.to_yaml()


def common_licence(sources: Sequence[Source]) -> str | None:
    """The licence of all sources; None if they have several, or one of them is not known."""
    found = {one.licence for one in sources}
    return next(iter(found)) if len(found) == 1 else None


def _snippet(name: str, words: Vocabulary) -> str:
    return (
        "```python\nimport lexiseg\n"
        f'result = lexiseg.load("{name}").segment("picture.jpg", "{_asked(words)}")\n'
        'result.overlay().save("found.png")\n```'
    )


def _asked(words: Vocabulary) -> str:
    """Some of the trained words, as they are typed: names with marks of their own are left out."""
    plain = [one for one in words.concepts if re.fullmatch(r"[\w ]+", one.name)]
    things = [one for one in plain if one.is_thing][: _SHOWN_WORDS - 1]
    some = [*things, *[one for one in plain if not one.is_thing][: _SHOWN_WORDS - len(things)]]
    return ", ".join(one.name if one.is_thing else f"{one.name}:stuff" for one in some) or "cat, dog, sky:stuff"


def _regime(config: ModelConfig) -> str:
    if config.shortest_side is None:
        return f"resized to a longer side of {config.longest_side} pixels"
    return f"resized to a shorter side of {config.shortest_side} pixels, the longer one at most {config.longest_side}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return "\n".join(markdown_table(heading, lines))


def _origin(provenance: Provenance) -> str:
    parts = [f"It was {provenance.made}." if provenance.made else "How it was made is not recorded."]
    if provenance.sources:
        rows = [(one.part, one.name, one.revision, one.licence or UNKNOWN) for one in provenance.sources]
        parts.append(_table(("part", "from", "revision", "licence"), rows))
    if provenance.trainings:
        rows = [
            (one.recipe, one.seed, one.steps, one.batch_size, one.lr, one.precision, _versions(one.versions))
            for one in provenance.trainings
        ]
        parts.append(_table(("recipe", "seed", "steps", "batch", "rate", "precision", "by"), rows))
    return "\n\n".join(parts)


def _versions(found: Mapping[str, str] | None) -> str:
    shown = [f"{name} {(found or {})[name]}" for name in ("lexiseg", "torch", "transformers") if name in (found or {})]
    return ", ".join(shown)


def _figures(figures: Sequence[Figure], name: str, *, is_measured: bool) -> str:
    if not figures:
        return f"None were recorded. `lexiseg evaluate --model {name} --data DATA --out DIR` measures some."
    rows = [
        (
            one.data + (f", {one.group}" if one.group else ""),
            one.name,
            f"{100 * one.value:.1f}",
            one.pictures,
            f"`{one.command}`",
        )
        for one in figures
    ]
    note = "" if is_measured else "\n\nThey were measured before the weights were rounded to what is stored here."
    return _table(("data", "figure", "percent", "pictures", "command"), rows) + note


def _limits(provenance: Provenance) -> str:
    drawn = any(one.name.startswith("storybook") for one in provenance.sources if one.part in ("masks", "pictures"))
    lines = [
        "A word that is far from those of its training, or that its CLIP has hardly read, is found less well. A score "
        "is a share among the words that were asked for, and no probability that there is such a thing.",
    ]
    if drawn:
        lines.append("It was trained on drawn pictures: photographs need other weights.")
    if not provenance.figures:
        lines.append("How good it is was not measured.")
    return "\n".join(f"- {line}" for line in lines)


def _licences(sources: Sequence[Source]) -> str:
    if licence := common_licence(sources):
        return f"All that it was made from is under {licence}, as far as is recorded."
    if not sources:
        return "Not recorded: ask whoever made it."
    told = "; ".join(f"{one.name}: {one.licence or UNKNOWN}" for one in sources)
    return f"That of each part holds ({told}): the strictest decides what may be done with the whole."
