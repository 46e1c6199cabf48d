"""`lexiseg import`: published weights become model folders."""

import json
import math
from collections import Counter
from pathlib import Path

from lexiseg.cli.console import note, say, show
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.options.weights import ImportClipOptions, ImportModelOptions
from lexiseg.core.errors import ModelError, UsageError
from lexiseg.core.messages import printable
from lexiseg.io.models import find_model, load_model, save_model
from lexiseg.io.ovseg.checkpoint import import_ovseg
from lexiseg.io.ovseg.clip import import_clip
from lexiseg.io.ovseg.settings import read_settings
from lexiseg.io.ovseg.verify import MAX_DIFFERENCE, MIN_AGREEMENT, Verification, read_reference, verify
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.clip.adaptation import with_clip
from lexiseg.training.clip.folders import write_clip


def run_import_ovseg(options: ImportModelOptions) -> int:
    """Writes the model folder, and then holds the model that was read back from it against the reference.

    Returns:
        The exit code: 1 if the model differs from the reference. The folder stays, for a closer look.

    Raises:
        ValueError: if a file is missing, damaged or contradicts another, or the folder is taken.
    """
    out, as_json = options.out, options.as_json
    vocabulary = read_optional_vocabulary(options.vocabulary)
    check_free(out, overwrite=options.overwrite)
    settings = {} if options.config is None else read_settings(options.config)
    reference = options.reference
    expected = None if reference is None else (read_reference(reference), _class_names(settings, reference))
    imported = import_ovseg(options.checkpoint, settings=settings, vocabulary=vocabulary)
    save_model(imported.model, out, overwrite=options.overwrite)
    document: dict[str, object] = {
        "model": str(out),
        "weights": imported.num_weights,
        "left_over": list(imported.left_over),
    }
    if not as_json:
        say(
            f"Imported {printable(options.checkpoint)} to {printable(out)}: {imported.num_weights} tensors of weights; "
            f"left over, as known buffers: {_counted(imported.left_over)}."
        )
    found = None
    if expected is not None:
        model = load_model(out)
        assert isinstance(model, OVSeg)
        found = verify(model, *expected)
        document["verification"] = _plain(found)
    if as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False))
    elif found is not None:
        _show(found)
    if found is not None and not found.holds:
        note(f"lexiseg: the model in {printable(out)} differs from the reference by more than is allowed.")
        return 1
    return 0


def run_import_clip(options: ImportClipOptions) -> None:
    """Writes a CLIP folder; with a model, a folder of that model with the imported CLIP in the place of its own.

    Raises:
        ValueError: if a file is missing or damaged, the parts don't fit together, or the folder is taken.
    """
    file, out, model = options.file, options.out, options.model
    check_free(out, overwrite=options.overwrite)
    if model is None:
        write_clip(out, import_clip(file, quick_gelu=options.quick_gelu))
        say(f"Imported {printable(file)} to {printable(out)}, a CLIP that 'lexiseg train' takes with --clip.")
        return
    base = load_model(find_model(model))
    if base.regions is None:
        raise UsageError(f"--model must name an OVSeg, whose CLIP sees masked crops; {model} is another system.")
    clip = import_clip(file, quick_gelu=options.quick_gelu, base=base.clip)
    save_model(with_clip(base, clip), out, overwrite=options.overwrite)
    say(f"Imported {printable(file)} to {printable(out)}: {model} with this CLIP in the place of its own.")


def check_free(out: Path, *, overwrite: bool) -> None:
    """Refuses a taken folder before the long work.

    Raises:
        ModelError: if something is there already.
    """
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{printable(out)} is there already; choose another folder or pass --overwrite.")


def _class_names(settings: dict[str, object], reference: Path) -> list[str]:
    """The reference's words: from the configuration, or from the config.json beside the reference."""
    beside = reference.with_name("config.json")
    if "class_names" not in settings and beside.is_file():
        settings = read_settings(beside)
    names = settings.get("class_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"the words of the reference {printable(reference)} are unknown; "
            'list them as "class_names" in the --config or in a config.json beside it.'
        )
    return names


def _counted(keys: tuple[str, ...]) -> str:
    """Keys by their last word, each once."""
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items()) or "none"


def _show(found: Verification) -> None:
    tensors = [(c.name, f"{c.staged:.1e}", f"{c.overall:.1e}", "" if c.holds else "too large") for c in found.tensors]
    maps = [
        (c.name, f"{100 * c.staged:.3f}", f"{100 * c.overall:.3f}", "" if c.holds else "too few") for c in found.maps
    ]
    for title, what, rows in (
        (f"Largest relative difference (limit {MAX_DIFFERENCE:g})", "tensor", tensors),
        (f"Pixels of the same class, in % (limit {100 * MIN_AGREEMENT:g})", "map", maps),
    ):
        show(title, (what, "stage alone", "in a row", ""), rows, right=("stage alone", "in a row"))


def _plain(found: Verification) -> dict[str, object]:
    """Shares, not percent; null where a value is no number."""

    def sides(alone: float, in_a_row: float) -> dict[str, float | None]:
        return {k: v if math.isfinite(v) else None for k, v in (("alone", alone), ("in_a_row", in_a_row))}

    return {
        "holds": found.holds,
        "differences": {c.name: sides(c.staged, c.overall) for c in found.tensors},
        "agreements": {c.name: sides(c.staged, c.overall) for c in found.maps},
    }
