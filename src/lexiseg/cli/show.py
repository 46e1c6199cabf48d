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
from lexiseg.io.named_models import row_of
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
    published = row_of(options.model)
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
    say(f"fusion: {config.fusion.told}")
    say(f"pictures: {_pictures(document['pictures'])}")
    say(f"trained on {len(things)} things: {', '.join(things) or 'none'}")
    say(f"trained on {len(stuff)} stuff: {', '.join(stuff) or 'none'}")


_REGIME = ("shortest_side", "longest_side", "padding", "resizing", "clip_scale")
"""Fields of a configuration that say how pictures are prepared."""


_RULES = {
    "detectron2": "as detectron2 does (8 bit, by Pillow)",
    "transformers": "as transformers does (8 bit, by torch)",
}
"""What a rule of resizing means."""


def _pictures(regime: dict[str, Any]) -> str:
    """How pictures are resized and padded, as people read it."""
    resizing: dict[str, Any] = regime.get("resizing") or {}
    if fixed := resizing.get("fixed"):
        told = f"resized to {fixed[1]} x {fixed[0]} pixels whatever their shape"
    elif regime.get("shortest_side") is None:
        told = f"longer side {regime['longest_side']} pixels"
    else:
        told = f"shorter side {regime['shortest_side']} pixels, longer side at most {regime['longest_side']}"
    divisor, canvas, padding = resizing.get("divisor"), resizing.get("canvas"), regime.get("padding")
    more = [
        _RULES.get(str(resizing.get("rule")), ""),
        f"sides rounded up to multiples of {divisor}" if divisor else "",
        f"on a canvas of at least {canvas} pixels" if canvas else "",
        f"padded with {'the mean colour' if padding == 'mean' else padding}" if padding else "",
    ]
    return ", ".join([told, *filter(None, more)])


def _bytes(place: Any) -> int:
    """Of a file, or of a folder's weights."""
    if place.is_file():
        return place.stat().st_size
    found = find_weights(place)
    files = [path for path in place.iterdir() if path.suffix in (".safetensors", ".bin")] if found is None else [found]
    return sum(path.stat().st_size for path in files)
