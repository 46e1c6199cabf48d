"""Puts a trained OPSNet into the package: half precision, thresholds chosen on val, and its model card.

What the package can do without is left out: CLIP's attention pool (the spatial adapter holds what mask pooling needs
of it), and, of the rows of the token table that no caption of the drawn world reached, all but the signs: they still
hold their first random values, keep their own direction so, and weigh a twentieth in the history.

Usage: python tools/ship.py RUN/opsnet-more/model CARD.md [--score-threshold X] [--mask-threshold X]
                            [--rank-by product] [--alpha A] [--beta B]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from lexiseg import OPSNet, Vocabulary, load_model, save_model
from lexiseg.data.storybook.captions import FRAMES, PLACES, SIZES
from lexiseg.data.storybook.pen import COLOURS, PATTERNS
from lexiseg.io.shipped import shipped_folder


def read_tokens(model: OPSNet) -> list[int]:
    """The tokens of every word that a caption or a template can hold."""
    names = [name for listed in ("storybook-all", "storybook-dusk") for name in Vocabulary.of(listed).row_names()]
    texts = [*names, *FRAMES, *PLACES, *SIZES, *COLOURS, *PATTERNS, *model.config.training_vocabulary.templates]
    texts += ["a an and many , . the", *(f"{name}." for name in names), *(f"{name}," for name in names)]
    return sorted({int(token) for text in texts for token in model.clip.tokenize([text])[0]})


def leaner(model: OPSNet) -> OPSNet:
    """The same model without what it never reads; one that went on from a lean model is lean already."""
    if not model.config.clip.has_pool:
        return model
    known = read_tokens(model)
    state = model.state_dict()
    table = state["clip.clip.token_embedding.weight"]
    kept = table.sign() * table.std()
    kept[known] = table[known]
    state["clip.clip.token_embedding.weight"] = kept
    lean = OPSNet(replace(model.config, clip=replace(model.config.clip, has_pool=False)))
    lean.load_state_dict({k: v for k, v in state.items() if ".attnpool." not in k})
    return lean.eval()


def main() -> None:
    """Reads the arguments and writes the shipped folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("--score-threshold", type=float)
    parser.add_argument("--mask-threshold", type=float)
    parser.add_argument("--rank-by", choices=["class", "iou", "product"])
    parser.add_argument("--alpha", type=float)
    parser.add_argument("--beta", type=float)
    wanted = parser.parse_args()
    model = load_model(wanted.model)
    merge = {name: getattr(wanted, name) for name in ("score_threshold", "mask_threshold", "rank_by")}
    modulation = {"alpha": wanted.alpha, "beta": wanted.beta}
    model.config = replace(
        model.config,
        merge=replace(model.config.merge, **{k: v for k, v in merge.items() if v is not None}),
        modulation=replace(model.config.modulation, **{k: v for k, v in modulation.items() if v is not None}),
    )
    card = {"README.md": wanted.card.read_text()}
    folder = save_model(leaner(model), shipped_folder(), dtype=torch.float16, extra_files=card, overwrite=True)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
