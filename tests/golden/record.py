"""The shipped model's numbers on two drawn pictures; `python tests/golden/record.py` records them anew."""

import json
from pathlib import Path
from typing import Any

import torch

from lexiseg.core.batches import to_image_batch
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.storybook.scene import draw_scene
from lexiseg.io.models import load_model
from lexiseg.io.shipped import shipped_folder
from lexiseg.models.words import prepare

RECORD = Path(__file__).with_name("shipped.json")


def compute() -> dict[str, Any]:
    """Logits, void, IoU and mask areas of the shipped model, as plain numbers."""
    model = load_model(shipped_folder())
    pictures = [draw_scene("base", "val", 0).picture, draw_scene("novel", "val", 0).picture]
    images = to_image_batch(pictures, longest=model.config.longest_side)
    numbers: dict[str, Any] = {}
    for name in ("storybook", "storybook-novel"):
        words = prepare(model.clip, Vocabulary.of(name), model.config.training_vocabulary, negatives=False)
        with torch.inference_mode():
            prediction = model(images, words)
        best = prediction.class_logits.max(-1)
        numbers[name] = {
            "domain_similarity": round(words.domain_similarity, 4),
            "class_ids": best.indices.tolist(),
            "class_logits": [[round(v, 2) for v in row] for row in best.values.tolist()],
            "void_probs": [[round(v, 3) for v in row] for row in prediction.void_probs.tolist()],
            "iou_scores": [[round(v, 3) for v in row] for row in prediction.iou_scores.tolist()],
            "mask_cells": (prediction.mask_logits > 0).flatten(2).sum(-1).tolist(),
        }
    return numbers


if __name__ == "__main__":
    RECORD.write_text(json.dumps(compute()) + "\n")
