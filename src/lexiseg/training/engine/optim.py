"""How the engine minimises losses: optimiser, learning rate, weight decay and clipping of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

POLY_POWER = 0.9  # DeepLab's; MaskFormer's too


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """An optimiser's rate with warm-up and decay; AdamW's numbers where nothing else is said."""

    lr: float
    weight_decay: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the rate falls after the warm-up: half a cosine, or a straight line to the power 0.9."""
    warmup_share: float = 0.04
    """Share of the steps in which the rate climbs from 0."""
    warmup_limit: int | None = None
    """Most steps of the warm-up, however long the run; None: no limit."""
    final_share: float = 0.02
    """Share of the rate that is left at the last step."""
    clip_norm: float | None = 1.0
    """Largest L2 norm of the whole gradient; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Steps in a row under one peak rate, with a warm-up and decay of their own."""

    steps: int
    lr: float | None = None
    """The peak; that of the `OptimConfig` if not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimPlan:
    """The optimisation of a whole run."""

    config: OptimConfig
    stages: tuple[Stage, ...]
    """One after the other; most runs have one."""
    rate_drops: tuple[float, ...] = ()
    """Shares of all steps at which the rate falls to a tenth, besides what `config` says."""
    sgd_momentum: float | None = None
    """SGD with this momentum; None: AdamW."""

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def lr_at(self, step: int) -> float:
        """The learning rate of a step of the run.

        Raises:
            IndexError: if the run is over by then.
        """
        drops = sum(step >= round(share * self.total_steps) for share in self.rate_drops)
        for stage in self.stages:
            if step < stage.steps:
                rate = scheduled_lr(self.config, step, stage.steps)
                return (rate if stage.lr is None else rate / self.config.lr * stage.lr) * 0.1**drops
            step -= stage.steps
        raise IndexError("a step behind the last stage")

    def optimizer(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """A fresh optimiser over parameter groups; `lr_scale` of a group scales the rate of every step."""
        config, decay = self.config, self.config.weight_decay
        if self.sgd_momentum is not None:
            return torch.optim.SGD(groups, lr=config.lr, momentum=self.sgd_momentum, weight_decay=decay)
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=decay)


def scheduled_lr(config: OptimConfig, step: int, total_steps: int) -> float:
    """The learning rate of step `step` of `total_steps`."""
    warmup = max(1, round(config.warmup_share * total_steps))
    if config.warmup_limit is not None:
        warmup = min(warmup, config.warmup_limit)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    height = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else (1 - progress) ** POLY_POWER
    low = config.lr * config.final_share
    return low + (config.lr - low) * height


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on vectors (norms, biases, single embeddings)."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
