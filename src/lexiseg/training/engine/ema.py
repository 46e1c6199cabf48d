"""An average of the weights over the steps, which often does better than the last of them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lexiseg.training.engine.parallel import like, local


class EMA:
    """The exponential moving average of the trained parameters (Polyak and Juditsky, 1992), sharded as they are."""

    def __init__(self, module: nn.Module, decay: float, saved: Mapping[str, Tensor] | None) -> None:
        """Begins with the parameters as they are, or goes on.

        Args:
            module: whose parameters are averaged.
            decay: weight of the past per step.
            saved: whole tensors of an average to go on with.
        """
        self._decay = decay
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().clone() for name, p in self._parameters.items()}
        for name, value in (saved or {}).items():
            local(self.weights[name]).copy_(local(like(value, self.weights[name])))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Adds the parameters after step `step`; the first steps count for more, or the random start would linger."""
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = [local(weight) for weight in self.weights.values()]
        torch._foreach_lerp_(weights, [local(p.detach()) for p in self._parameters.values()], 1 - decay)
