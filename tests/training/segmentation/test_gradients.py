"""Every loss of ours has the gradient of its values: in float64, against finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from lexiseg.training.clip.contrastive import contrastive_loss
from lexiseg.training.segmentation import losses


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def bits(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5


TRUTH = bits(3, 8).double()
CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "mask_bce_loss": (lambda x: losses.mask_bce_loss(x, TRUTH), (draw(3, 8),)),
    "focal_loss": (lambda x: losses.focal_loss(x, TRUTH), (draw(3, 8),)),
    "dice_loss": (lambda x: losses.dice_loss(x, TRUTH), (draw(3, 8),)),
    "class_loss": (
        lambda x: losses.class_loss(x, torch.tensor([[0, 3, 2], [3, 1, 0]]), bits(2, 3), void_weight=0.1),
        (draw(2, 3, 4),),
    ),
    "iou_loss": (
        lambda x: losses.iou_loss(x, TRUTH[:2, :6], bits(2, 6, seed=2), bits(2, 6, seed=3)),
        (draw(2, 6),),
    ),
    "sample_points": (lambda x: losses.sample_points(x, draw(2, 5, 2, seed=4).detach().sigmoid()), (draw(2, 4, 6),)),
    "match_loss": (lambda x: losses.match_loss(x, bits(2, 5), bits(2, 4, seed=2)), (draw(2, 5, 4),)),
    "sum_loss": (lambda x: losses.sum_loss(x, bits(2, 3, 4)), (draw(2, 5, 3, 4),)),
    "contrastive_loss": (contrastive_loss, (draw(4, 3), draw(4, 3, seed=1), draw(1, seed=2)[0])),
}


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    loss, inputs = CASES[name]

    assert gradcheck(loss, inputs)


def test_no_loss_is_forgotten() -> None:
    functions = {name for name, value in vars(losses).items() if getattr(value, "__module__", "") == losses.__name__}

    assert functions - CASES.keys() == {"mask_iou", "uncertain_points"}  # which have no gradient
