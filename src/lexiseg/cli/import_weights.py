"""`lexiseg import`: published weights become model folders."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lexiseg.cli.console import FAILURE, FINE, note, say, show
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.options.weights import (
    ImportClipOptions,
    ImportFCCLIPOptions,
    ImportMask2FormerOptions,
    ImportModelOptions,
)
from lexiseg.core.devices import dtype_of
from lexiseg.core.errors import ModelError, UsageError
from lexiseg.core.messages import few, printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.fcclip.checkpoint import import_fcclip
from lexiseg.io.fcclip.verify import read_fcclip_reference, verify_fcclip
from lexiseg.io.finding import find_model
from lexiseg.io.mask2former import (
    import_mask2former,
    read_mask2former_reference,
    verify_mask2former,
    write_imported,
)
from lexiseg.io.models import load_model, save_model
from lexiseg.io.ovseg.checkpoint import import_ovseg
from lexiseg.io.ovseg.clip import import_clip
from lexiseg.io.ovseg.settings import read_settings
from lexiseg.io.ovseg.verify import read_reference, reference_words, verify
from lexiseg.io.verification import Verification
from lexiseg.models.fcclip import FCCLIP
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.provenance import Source
from lexiseg.training.clip.adaptation import with_clip
from lexiseg.training.clip.folders import write_clip

ReferenceT = TypeVar("ReferenceT")


def run_import_ovseg(options: ImportModelOptions) -> int:
    """Writes the model folder, and then holds the model that was read back from it against the reference.

    Returns:
        The exit code: 1 if the model differs from the reference. The folder stays, for a closer look.

    Raises:
        ValueError: if a file is missing, damaged or contradicts another, or the folder is taken.
    """
    out, as_json = options.out, options.as_json
    vocabulary = read_optional_vocabulary(options.vocabulary)
    check_out(out, overwrite=options.overwrite)
    settings = {} if options.config is None else read_settings(options.config)
    reference = options.reference
    expected = None if reference is None else (read_reference(reference), reference_words(reference, settings))
    imported = import_ovseg(options.checkpoint, settings=settings, vocabulary=vocabulary)
    save_model(imported.model, out, dtype=dtype_of(options.precision), overwrite=options.overwrite)
    document: dict[str, object] = {
        "model": str(out),
        "weights": imported.num_weights,
        "left_over": list(imported.left_over),
    }
    said = (
        f"Imported {printable(options.checkpoint)} to {printable(out)}: {imported.num_weights} tensors of weights; "
        f"left over, as known buffers: {_counted(imported.left_over)}."
    )
    found = None
    if expected is not None:
        model = load_model(out)
        assert isinstance(model, OVSeg)
        found = verify(model, *expected)
    return _report(document, said, found, out, as_json=as_json)


def run_import_mask2former(options: ImportMask2FormerOptions) -> int:
    """Writes the folder, and then holds the model that was read back from it against the reference.

    Returns:
        The exit code: 1 if the model differs from the reference. The folder stays, for a closer look.

    Raises:
        ValueError: if a file is missing, damaged or contradicts another, or the folder is taken.
    """
    out = options.out
    vocabulary, settings, expected = _prepared(options, read_mask2former_reference)
    imported = import_mask2former(options.checkpoint, settings=settings, vocabulary=vocabulary)
    write_imported(out, imported, overwrite=options.overwrite)
    sizes, names = imported.config, imported.names
    document: dict[str, object] = {"model": str(out), "classes": list(names), "queries": sizes.num_queries}
    said = (
        f"Imported {printable(options.checkpoint)} to {printable(out)}: a Mask2Former with a "
        f"{'ResNet' if sizes.swin is None else 'Swin'}, {sizes.num_queries} queries and {len(names)} classes "
        f"({few(names)}), which 'lexiseg assemble' takes."
    )
    found = None if expected is None else verify_mask2former(out, expected)
    return _report(document, said, found, out, as_json=options.as_json)


def run_import_fcclip(options: ImportFCCLIPOptions) -> int:
    """Writes the model folder, and then holds the model that was read back from it against the reference.

    Returns:
        The exit code: 1 if the model differs from the reference. The folder stays, for a closer look.

    Raises:
        ValueError: if a file is missing, damaged or contradicts another, or the folder is taken.
    """
    out = options.out
    vocabulary, settings, expected = _prepared(options, read_fcclip_reference)
    imported = import_fcclip(options.checkpoint, clip=options.clip, settings=settings, vocabulary=vocabulary)
    save_model(imported.model, out, dtype=dtype_of(options.precision), overwrite=options.overwrite)
    for sentence in imported.notes:
        note(sentence)
    document: dict[str, object] = {"model": str(out), "weights": imported.num_weights}
    document["left_over"] = list(imported.left_over)
    said = (
        f"Imported {printable(options.checkpoint)} to {printable(out)}: {imported.num_weights} tensors of weights; "
        f"left over: {_counted(imported.left_over)}."
    )
    found = None
    if expected is not None:
        model = load_model(out)
        assert isinstance(model, FCCLIP)
        found = verify_fcclip(model, expected)
    return _report(document, said, found, out, as_json=options.as_json)


def _prepared(
    options: ImportMask2FormerOptions | ImportFCCLIPOptions, read: Callable[[Path, dict[str, Any]], ReferenceT]
) -> tuple[Vocabulary | None, dict[str, Any], ReferenceT | None]:
    """All that is read before the checkpoint: the words, the official configuration and, if one was given, a reference.

    The configuration is the one that was given, or that lies beside the reference; empty without.
    """
    vocabulary, config, reference = read_optional_vocabulary(options.vocabulary), options.config, options.reference
    check_out(options.out, overwrite=options.overwrite)
    if config is None and reference is not None and reference.with_name("config.json").is_file():
        config = reference.with_name("config.json")
    settings = {} if config is None else read_settings(config)
    return vocabulary, settings, None if reference is None else read(reference, settings)


def _report(document: dict[str, object], said: str, found: Verification | None, out: Path, *, as_json: bool) -> int:
    """Says what was imported and how it compares, as text or JSON; returns the exit code."""
    if found is not None:
        document["verification"] = found.to_jsonable()
    if as_json:
        say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say(said)
        for title, (heading, *rows) in () if found is None else found.tables():
            show(title, heading, rows, right=heading[1:-1])
    if found is None or found.holds:
        return FINE
    note(f"lexiseg: the model in {printable(out)} differs from the reference by more than is allowed.")
    return FAILURE


def run_import_clip(options: ImportClipOptions) -> None:
    """Writes a CLIP folder; with a model, a folder of that model with the imported CLIP in the place of its own.

    Raises:
        ValueError: if a file is missing or damaged, the parts don't fit together, or the folder is taken.
    """
    file, out, model = options.file, options.out, options.model
    check_out(out, overwrite=options.overwrite)
    if model is None:
        write_clip(out, import_clip(file, quick_gelu=options.quick_gelu), dtype=dtype_of(options.precision))
        say(f"Imported {printable(file)} to {printable(out)}, a CLIP that 'lexiseg train' takes with --clip.")
        return
    base = load_model(find_model(model))
    if not base.encodes_crops:
        raise UsageError(f"--model must name a model whose CLIP sees masked crops; that of {model} sees none.")
    clip = import_clip(file, quick_gelu=options.quick_gelu, base=base.clip)
    made = with_clip(base, clip)
    made.provenance = replace(made.provenance, sources=(*made.provenance.sources, Source.of("CLIP", file)), figures=())
    save_model(made, out, dtype=dtype_of(options.precision), overwrite=options.overwrite)
    say(f"Imported {printable(file)} to {printable(out)}: {model} with this CLIP in the place of its own.")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuses a taken folder before the long work.

    Raises:
        ModelError: if something is there already.
    """
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{printable(out)} is there already; choose another folder or pass --overwrite.")


def _counted(keys: tuple[str, ...]) -> str:
    """Keys by their last word, each once."""
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in counts.items()) or "none"
