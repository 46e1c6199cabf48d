"""`lexiseg models`: a table, without torch."""

import json
from dataclasses import asdict

from lexiseg.cli.console import say, show
from lexiseg.cli.options.weights import ModelsOptions
from lexiseg.core.files import find_weights
from lexiseg.io.hub_messages import hub_cache
from lexiseg.io.named_models import NAMED, UNKNOWN, NamedModel
from lexiseg.io.shipped import SHIPPED

_HEADING = ("name", "trained on", "backbone", "CLIP", "MB", "licence", "published PQ (%)", "source", "here")


def run_models(options: ModelsOptions) -> None:
    """Prints the shipped and the named models."""
    here = {name: _is_here(row) for name, row in NAMED.items()}
    if options.as_json:
        rows = {name: {"system": system, "here": "shipped"} for name, system in SHIPPED.items()}
        rows |= {
            name: asdict(row) | {"here": "yes" if here[name] else "not yet" if row.repository else "a file of yours"}
            for name, row in NAMED.items()
        }
        say(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = [(name, "the drawn world", "tiny", "tiny", "-", "Apache-2.0", "-", "README", "shipped") for name in SHIPPED]
    for name, row in NAMED.items():
        size = UNKNOWN if row.megabytes is None else str(row.megabytes)
        place = "yes" if here[name] else "not yet" if row.repository else "get the file"
        table.append(
            (name, row.trained_on, row.backbone, row.clip, size, row.licence, row.pq, row.pq_source or "-", place)
        )
    show("", _HEADING, table, right=("MB",))
    for name, row in NAMED.items():
        where = f"{row.repository} on the Hugging Face hub" if row.repository else f"a file from {row.address}"
        say(f"{name}: {where}{f'; {row.note}' if row.note else ''}.")
    say("")
    say(
        'Use one: lexiseg segment PICTURE -v "cat, sofa, wall:stuff" --model NAME --out DIR. MB are of the segmenter '
        "alone; a CLIP comes on top. Licences are those that the authors' repositories state; the hub's pages of the "
        "Mask2Formers say 'other'. PQs are what the papers report, for the closed set where that is said; none was "
        "measured here."
    )


def _is_here(row: NamedModel) -> bool:
    """Whether the hub's cache has a model's weights."""
    if row.repository is None:
        return False
    snapshots = hub_cache() / f"models--{row.repository.replace('/', '--')}" / "snapshots"
    return any(find_weights(folder) is not None for folder in snapshots.glob("*"))
