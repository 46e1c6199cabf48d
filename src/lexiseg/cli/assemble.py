"""`lexiseg assemble`: a published segmenter and a CLIP become a whole model folder."""

from lexiseg.cli.console import say
from lexiseg.cli.import_weights import check_out
from lexiseg.cli.options.shared import read_optional_vocabulary
from lexiseg.cli.options.weights import AssembleOptions
from lexiseg.core.devices import dtype_of
from lexiseg.io.finding import assemble
from lexiseg.io.models import save_model


def run_assemble(options: AssembleOptions) -> None:
    """Joins a segmenter and a CLIP, and writes the model folder.

    Raises:
        ValueError: if a part is missing or damaged, the parts don't fit together, or the folder can't be written.
    """
    vocabulary = read_optional_vocabulary(options.vocabulary)
    check_out(options.out, overwrite=options.overwrite)
    segmenter, clip, out = options.segmenter, options.clip, options.out
    model = assemble(
        segmenter,
        clip,
        options.clip_weights,
        vocabulary=vocabulary,
        preparation=options.preparation,
        longest_side=options.longest_side,
        shortest_side=options.shortest_side,
    )
    save_model(model, out, dtype=dtype_of(options.precision), overwrite=options.overwrite)
    say(
        f"Assembled {segmenter} and {clip} to {out}, a model of {len(model.config.training_vocabulary)} trained and "
        f'any other names. Use it: lexiseg segment PICTURE --model {out} --vocabulary "..." --out DIR'
    )
