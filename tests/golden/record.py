"""The shipped models' numbers on two drawn pictures; `python tests/golden/record.py [NAME...]` records them anew."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from lexiseg.core.batches import to_image_batch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.io.models import load_model
from lexiseg.io.shipped import SHIPPED, shipped_folder
from lexiseg.storybook import draw_scene


def record_of(name: str) -> Path:
    """Where the numbers of a shipped model lie."""
    return Path(__file__).with_name(f"{name}.json")


def compute(name: str) -> dict[str, Any]:
    """Logits, void, IoU and mask areas of a shipped model, as plain numbers."""
    model = load_model(shipped_folder(name))
    pictures = [draw_scene("base", "val", 0).picture, draw_scene("novel", "val", 0).picture]
    images = to_image_batch(pictures, longest=model.config.longest_side)
    numbers: dict[str, Any] = {}
    for listed in ("storybook", "storybook-novel"):
        words = model.embed_vocabulary(Vocabulary.of(listed), negatives=False)
        with torch.inference_mode():
            prediction = model(images, words)
        best = prediction.class_logits.max(-1)
        numbers[listed] = {
            "domain_similarity": round(words.domain_similarity, 4),
            "class_ids": best.indices.tolist(),
            "class_logits": [[round(v, 2) for v in row] for row in best.values.tolist()],
            "void_probs": [[round(v, 3) for v in row] for row in prediction.void_probs.tolist()],
            "iou_scores": [[round(v, 3) for v in row] for row in prediction.iou_scores.tolist()],
            "mask_cells": (prediction.mask_logits > 0).flatten(2).sum(-1).tolist(),
        }
    return numbers


if __name__ == "__main__":
    for shipped in sys.argv[1:] or SHIPPED:
        record_of(shipped).write_text(json.dumps(compute(shipped)) + "\n")
