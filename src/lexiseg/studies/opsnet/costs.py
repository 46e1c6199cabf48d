"""What OPSNet costs beside its segmenter, and pooling beside cropping (section 4, implementation details)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.models.crops import RegionConfig, cut_regions
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.verdicts import with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures
from lexiseg.training.recipes.opsnet import opsnet_swin_l

SIDE = 640
"""Of the paper's input, in pixels."""
POOLED, CROPPED = "mask pooling", "cropping"
SEGMENTER, WHOLE = "Mask2Former, Swin-L", "OPSNet, Swin-L"


def count_full_size(files: Path, out: Path) -> Any:
    """Multiply-adds of one picture of 640 x 640, and parameters, of the full-size OPSNet and its Mask2Former.

    Weights are random and only shapes are computed. What torch's counter counts is convolutions, matrix products and
    attention; words are embedded before, and CLIP's attention pool, which the spatial adapter replaces, is not used:
    neither is counted. Figures are exact, so that every block is equal.
    """
    with FakeTensorMode():
        model = opsnet_swin_l().build()
        assert model is not None
        model.eval()
        frame = Frame.fit((SIDE, SIDE), longest=SIDE)
        images = ImageBatch(pixel_values=torch.zeros(1, 3, SIDE, SIDE), frames=(frame,))
        classify = nn.Linear(model.config.segmenter.hidden_dim, len(model.training_vocabulary) + 1)

        def name_by_layer() -> None:
            classify(model.segmenter(images.pixel_values).query_embed)

        clip = model.clip.visual
        added = [model.adapter, model.enhancer, model.head, model.iou_head]
        size = _size(model.segmenter)
        arms = {
            SEGMENTER: (_multiply_adds(name_by_layer), size + _size(classify)),
            WHOLE: (
                _multiply_adds(lambda: model.encode(images)),
                size + _size(clip) - _size(clip.attnpool) + sum(map(_size, added)),
            ),
        }
    figures = {arm: {"GMAC": macs / 1e9, "M parameters": params / 1e6} for arm, (macs, params) in arms.items()}
    return {"arms": {arm: {n: _exact(value) for n, value in about.items()} for arm, about in figures.items()}}


def count_passes(files: Path, out: Path, *, model: Mapping[str, Any], pictures: Mapping[str, Any]) -> Any:
    """Pictures that CLIP sees for a picture: one, where masks are pooled; one for each mask, where they are cropped.

    Args:
        files: what units leave.
        out: not used.
        model: settings of an OPSNet.
        pictures: of a data set.
    """
    network = load_network(files, model, OPSNet)
    dataset, vocabulary = open_pictures(files, pictures)
    settings = EvaluationSettings(batch_size=1)
    seen: list[int] = []
    first = next(part for part in network.clip.visual.modules() if isinstance(part, nn.Conv2d))
    hook = first.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    counted: list[torch.Tensor] = []
    with inference(network):
        plan = plan_evaluation(network, dataset, vocabulary, settings)
        for batch in planned_batches(network, plan, settings, [], lambda done, total: None):
            seen.clear()
            encoded = network.encode(batch.images)
            crops = cut_regions(
                batch.images, encoded.proposals.mask_logits, RegionConfig(), network.config.clip.image_size
            )
            counted.append(torch.tensor([1, sum(seen), sum(len(some.queries) for some in crops)]))
    hook.remove()
    size = min(MOST_BLOCKS, len(counted))
    blocks = [torch.stack(counted[place::size]).sum(0) for place in range(size)]
    found = with_blocks(blocks, lambda one: {POOLED: float(one[1] / one[0]), CROPPED: float(one[2] / one[0])})
    return {"arms": {arm: {"passes of CLIP": about} for arm, about in found.items()}}


def _multiply_adds(run: Callable[[], object]) -> float:
    # a CPU's fused attention is not counted
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops() / 2


def _size(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def _exact(value: float) -> dict[str, Any]:
    return {"value": value, "blocks": [value] * MOST_BLOCKS}
