"""Puts a trained model into the package: half precision, settings chosen on val, and its model card.

Weights that inference does not need are left out: an OPSNet's attention pool, which is folded into its spatial
adapter, and the magnitudes of token embeddings of no caption of the drawn world: these are untrained, keep only their
signs, and compress to a twentieth. Matrices outside the text tower are rounded to multiples of a sixteenth of their
root mean square or less: compressed, the model is over a third smaller, with the same quality on val.

Usage: python tools/ship.py RUN/opsnet/model CARD.md [--score-threshold X] [--mask-threshold X]
                            [--rank-by product] [--alpha A] [--beta B]
       python tools/ship.py RUN/ovseg/model CARD.md [--score-threshold X] [--mask-threshold X] [--clip-weight L]
                            [--region-threshold X] [--clip-logit-scale S]
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lexiseg import OPSNet, OVSeg, Vocabulary, load_model, save_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.vocabulary_embedding import GENERAL_NEGATIVES, QuestionConfig
from lexiseg.storybook.captions import FRAMES, PLACES, SIZE_WORDS
from lexiseg.storybook.drawings.pen import COLOURS, PATTERNS

QUESTION = QuestionConfig(negatives=(*GENERAL_NEGATIVES, *Vocabulary.of("storybook-all").names), score_threshold=0.2)
"""How the shipped OPSNet is asked: all that its CLIP has read of competes; see few_words.py."""
STEPS = 16
"""Least number of rounding steps in a matrix's root mean square."""
SMALLEST_HALF = 2.0**-24


def read_tokens(model: OpenVocabularySegmenter) -> list[int]:
    """The token ids of all words of captions and templates."""
    names = [name for listed in ("storybook-all", "storybook-dusk") for name in Vocabulary.of(listed).row_names()]
    texts = [*names, *FRAMES, *PLACES, *SIZE_WORDS, *COLOURS, *PATTERNS, *model.config.training_vocabulary.templates]
    texts += ["a an and many , . the", *(f"{name}." for name in names), *(f"{name}," for name in names)]
    return sorted({int(token) for text in texts for token in model.clip.tokenize([text])[0]})


def leaner(model: OpenVocabularySegmenter) -> OpenVocabularySegmenter:
    """The model without weights that inference does not need; idempotent."""
    known = read_tokens(model)
    state = model.state_dict()
    table = state["clip.clip.token_embedding.weight"]
    unknown = torch.ones(len(table), dtype=torch.bool)
    unknown[known] = False
    if table[unknown].abs().unique().numel() > 1:
        state["clip.clip.token_embedding.weight"] = torch.where(unknown[:, None], table.sign() * table.std(), table)
    if isinstance(model, OVSeg) or not model.config.clip.has_pool:
        model.load_state_dict(state)
        return model
    lean = OPSNet(replace(model.config, clip=replace(model.config.clip, has_pool=False)))
    lean.load_state_dict({k: v for k, v in state.items() if ".attnpool." not in k})
    return lean.eval()


def rounded(model: OpenVocabularySegmenter) -> OpenVocabularySegmenter:
    """The model with rounded matrices, except in CLIP's text tower, which several shipped models share."""
    state = model.state_dict()
    for name, value in state.items():
        is_text = name.startswith("clip.clip.") and not name.startswith("clip.clip.visual.")
        if value.is_floating_point() and value.ndim > 1 and not is_text:
            finest = value.square().mean().sqrt() / STEPS
            step = 2.0 ** finest.clamp(min=SMALLEST_HALF).log2().floor()  # multiples of a power of two stay exact
            state[name] = (value / step).round() * step
    model.load_state_dict(state)
    return model


def with_settings(model: OpenVocabularySegmenter, chosen: dict[str, Any]) -> OpenVocabularySegmenter:
    """The model with the given thresholds, scores and fusion; None leaves a setting as it is."""

    def changed(part: Any, names: Mapping[str, str]) -> Any:
        given = {field: chosen[name] for name, field in names.items() if chosen[name] is not None}
        return replace(part, **given)

    merge = changed(model.config.merge, {name: name for name in ("score_threshold", "mask_threshold", "rank_by")})
    if isinstance(model, OPSNet):
        modulation = changed(model.config.modulation, {"alpha": "alpha", "beta": "beta"})
        model.config = replace(model.config, merge=merge, modulation=modulation, question=QUESTION)
    else:
        regions = changed(model.config.regions, {"region_threshold": "mask_threshold"})
        ensemble = changed(model.config.ensemble, {"clip_weight": "clip_weight"})
        config = changed(model.config, {"clip_logit_scale": "clip_logit_scale"})
        model.config = replace(config, merge=merge, regions=regions, ensemble=ensemble)
    return model


def main() -> None:
    """Reads the arguments and writes the shipped folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("card", type=Path)
    for name in (
        "score-threshold",
        "mask-threshold",
        "alpha",
        "beta",
        "clip-weight",
        "region-threshold",
        "clip-logit-scale",
    ):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--rank-by", choices=["class", "iou", "product"])
    wanted = vars(parser.parse_args())
    model = with_settings(load_model(wanted.pop("model")), {k: v for k, v in wanted.items() if k != "card"})
    name = "tiny-ovseg" if isinstance(model, OVSeg) else "storybook"
    card = {"README.md": wanted["card"].read_text()}
    folder = save_model(
        rounded(leaner(model)), shipped_folder(name), dtype=torch.float16, extra_files=card, overwrite=True
    )
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
