"""Recipes of fine-tuning: any model, a person's own pictures."""

from dataclasses import replace

from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.segmentation.finetune import FinetuneRecipe


def finetune(*, seed: int = 0) -> FinetuneRecipe:
    """A trained model (--model) learns names and masks of your own pictures (--data): 500 steps of 8."""
    return FinetuneRecipe(
        trains="whole",
        steps=500,
        batch_size=8,
        optim=OptimConfig(lr=3e-4, weight_decay=0.05, warmup_share=0.1, final_share=0.02, clip_norm=1.0),
        paste_share=0.5,  # without it a few dozen pictures are learned by heart; jitter of all harms the old words more
        seed=seed,
    )


def finetune_head(*, seed: int = 0) -> FinetuneRecipe:
    """A trained model (--model) learns names alone (--data), its masks stay: 200 steps of 8."""
    return replace(finetune(seed=seed), trains="head", steps=200)
