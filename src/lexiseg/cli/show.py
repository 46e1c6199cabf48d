"""`lexiseg show`: what a model is."""

import json
from typing import Any

from lexiseg.cli.console import say
from lexiseg.cli.options.weights import ShowOptions
from lexiseg.core.files import find_weights
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.finding import find_model
from lexiseg.io.folder_format import read_config
from lexiseg.io.models import config_of_folder
from lexiseg.io.named_models import NAMED
from lexiseg.io.sources import place_of, sources_of, told


def run_show(options: ShowOptions) -> None:
    """Prints a model's words, sizes, origin, fusion and how pictures are prepared; weights are not read.

    Raises:
        ValueError: if there is no such model, or it can't be fetched.
    """
    folder = find_model(options.model)
    found, config, parts = read_config(folder), config_of_folder(folder), sources_of(folder)
    words: Any = config.training_vocabulary
    things = [concept.name for concept in words.concepts if concept.is_thing]
    stuff = [concept.name for concept in words.concepts if not concept.is_thing]
    places = {name: place_of(part) for name, part in parts.items()} or {"weights": folder}
    sizes = {name: _bytes(place) for name, place in places.items()}
    published = NAMED.get(options.model)
    document = {
        "model": options.model,
        "system": found.system,
        "folder": str(folder),
        "sources": {name: told(part) for name, part in parts.items()},
        "megabytes": {name: round(size / 1e6, 1) for name, size in sizes.items()},
        "licence": None if published is None else published.licence,
        "fusion": {"kind": type(config.fusion).__name__, **to_jsonable(config.fusion)},
        "pictures": {key: value for key, value in to_jsonable(config).items() if key in _REGIME},
        "provenance": to_jsonable(found.provenance),
        "things": things,
        "stuff": stuff,
    }
    if options.as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False))
        return
    say(f"{options.model}: {found.system}, in {folder}")
    for name, part in parts.items():
        say(f"{name}: {told(part)} ({document['megabytes'][name]} MB)")
    if published is not None:
        say(f"licence: {published.licence}; published PQ: {published.pq} ({published.pq_source or 'no source'})")
    say(f"fusion: {_pairs(document['fusion'])}")
    say(f"pictures: {_pairs(document['pictures'])}")
    say(f"trained on {len(things)} things: {', '.join(things) or 'none'}")
    say(f"trained on {len(stuff)} stuff: {', '.join(stuff) or 'none'}")


_REGIME = ("shortest_side", "longest_side", "padding", "resizing", "clip_scale")
"""Fields of a configuration that say how pictures are prepared."""


def _pairs(fields: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())


def _bytes(place: Any) -> int:
    """Of a file, or of a folder's weights."""
    if place.is_file():
        return place.stat().st_size
    found = find_weights(place)
    files = [path for path in place.iterdir() if path.suffix in (".safetensors", ".bin")] if found is None else [found]
    return sum(path.stat().st_size for path in files)
