"""Puts a trained OPSNet into the package: half precision, thresholds chosen on val, and its model card.

Usage: python tools/ship.py RUN/opsnet/model CARD.md [--score-threshold X] [--alpha A] [--beta B] [--rank-by product]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from lexiseg import load_model, save_model
from lexiseg.io.shipped import shipped_folder


def main() -> None:
    """Reads the arguments and writes the shipped folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("--score-threshold", type=float)
    parser.add_argument("--rank-by", choices=["class", "iou", "product"])
    parser.add_argument("--alpha", type=float)
    parser.add_argument("--beta", type=float)
    wanted = parser.parse_args()
    model = load_model(wanted.model)
    merge = {"score_threshold": wanted.score_threshold, "rank_by": wanted.rank_by}
    modulation = {"alpha": wanted.alpha, "beta": wanted.beta}
    model.config = replace(
        model.config,
        merge=replace(model.config.merge, **{k: v for k, v in merge.items() if v is not None}),
        modulation=replace(model.config.modulation, **{k: v for k, v in modulation.items() if v is not None}),
    )
    card = {"README.md": wanted.card.read_text()}
    folder = save_model(model, shipped_folder(), dtype=torch.float16, extra_files=card, overwrite=True)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
