"""Trainings at the smallest size that several processes share; under torchrun, several of them to a folder.

In float32: bf16 rounds the gradient of every part of a batch, so that no two ways to split it agree.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

import tiny
from lexiseg.core import processes
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.models.opsnet import OPSNet
from lexiseg.training.engine.optim import OptimConfig
from lexiseg.training.engine.trainer import EngineConfig, run
from lexiseg.training.recipes.storybook import opsnet_tiny
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.opsnet import new_opsnet
from lexiseg.training.segmentation.task import SegmentationTask

STEPS, PAUSE = 20, 4
AVERAGED = EngineConfig(ema_decay=0.9)
RECIPE = replace(
    opsnet_tiny(),
    segmenter=replace(tiny.SWIN, swin=replace(tiny.SWIN.swin, drop_path_rate=0.0)),
    framing=Framing(image_size=64, flip_probability=0.5),
    steps=STEPS,
    batch_size=4,
    optim=OptimConfig(lr=1e-4, weight_decay=0.05, clip_norm=0.1),
    criterion=CriterionConfig(num_points=64),
    precision="float32",
    seed=3,  # no bit of an attention mask lies so near its threshold that rounding flips it
)


def opsnet_task(data: Dataset) -> SegmentationTask[OPSNet]:
    """An OPSNet with a Swin around a random CLIP."""
    clip = tiny.seeded(Clip(tiny.CLIP))
    return SegmentationTask(RECIPE, data, new_opsnet(RECIPE, tiny.CLIP, clip.state_dict()), workers=0)


def partly_known(data: Dataset) -> Dataset:
    """The same pictures; every third name is unknown, so that its pixels are void."""
    categories = [replace(c, name=f"x{c.name}") if n % 3 == 0 else c for n, c in enumerate(data.categories)]
    return replace(data, categories=tuple(categories))


def main(root: Path) -> None:
    """What two processes do."""
    torch.set_num_threads(1)
    data = read_panoptic(root / "data")
    found: dict[str, list[float]] = {}
    with processes.process_group():
        for name, pictures, config, stop_after in (
            ("ddp", partly_known(data), EngineConfig(), None),
            ("fsdp2", partly_known(data), EngineConfig(sharding="fsdp2", activation_checkpointing=True), None),
            ("slices", data, EngineConfig(accumulate=2), PAUSE),
            ("paused-ddp", data, EngineConfig(), PAUSE),
            ("paused-fsdp2", data, replace(AVERAGED, sharding="fsdp2"), PAUSE),
        ):
            task = opsnet_task(pictures)
            found[name] = run(task, root / name, config=config, stop_after=stop_after)
            if processes.rank() == 0:
                torch.save(tiny.state(task.model), root / name / "weights.pt")
        found["from-one"] = run(
            opsnet_task(data), root / "one", config=replace(AVERAGED, sharding="fsdp2"), resume=True, stop_after=PAUSE
        )
        (root / f"losses-{processes.rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
