"""`lexiseg push`."""

from lexiseg.cli.console import note, say
from lexiseg.cli.options.weights import PushOptions
from lexiseg.inference.predictor import load
from lexiseg.io.checkpoint import stored_precision
from lexiseg.io.finding import find_model
from lexiseg.io.model_card import written_card


def run_push(options: PushOptions) -> None:
    """Uploads a model; a folder that is damaged is found out before, and a card that somebody wrote stays as it is.

    Raises:
        ValueError: if the model is of no use, or the hub refuses it.
    """
    model, folder = load(options.model, device="cpu"), find_model(options.model)
    note(f"lexiseg: uploading {options.model} to {options.repository}.")
    address = model.push_to_hub(
        options.repository,
        private=options.private or None,
        precision=options.precision or stored_precision(folder),
        reports=options.reports or (),
        card=written_card(folder),
    )
    say(f"{address} holds it. Use it: lexiseg segment PICTURE --model {options.repository} -v WORDS --out DIR")
