"""The one command at full size: memory, time, requests and bytes written, against a hub on this machine.

A Mask2Former with Swin-L of the published sizes and a CLIP RN50, both with random weights in the published layout, lie
on a server of this machine. `lexiseg segment PHOTO --model swin-l-coco` runs twice in processes of its own, with empty
caches first, then without a network.

    python -m benchmarks.one_command [--folder DIR]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import hub_server
from lexiseg import Vocabulary
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.mask2former import Segmenter, SegmenterConfig, SwinBackbone
from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former

SWIN_L = SegmenterConfig(
    swin=SwinBackbone(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12, image_size=384),
    num_queries=200,
)


def put_published(folder: Path) -> None:
    """Writes both parts as they are published: the segmenter as a pickle alone."""
    names = Vocabulary.of("coco").names
    segmenter = Segmenter(SWIN_L)
    weight, bias = torch.randn(len(names) + 1, SWIN_L.hidden_dim), torch.zeros(len(names) + 1)
    place = folder / "segmenter"
    write_mask2former(place, SWIN_L, segmenter.state_dict(), class_weight=weight, class_bias=bias, names=names)
    from safetensors.torch import load_file

    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    clip = hub_server.put_clip(folder / "clip")
    config = ClipConfig.named("RN50-quickgelu")
    save_file(
        {name: value.clone() for name, value in Clip(config).clip.state_dict().items()},
        clip / "open_clip_model.safetensors",
    )
    document = {
        "embed_dim": config.embed_dim,
        "quick_gelu": True,
        "vision_cfg": {"layers": list(config.layers), "width": config.width, "image_size": config.image_size},
        "text_cfg": {
            "context_length": config.context_length,
            "vocab_size": 49408,
            "width": config.text_width,
            "heads": config.text_heads,
            "layers": config.text_layers,
        },
    }
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": document}))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="for the weights and caches; a temporary one if not given")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp())
    if not (folder / "clip").is_dir():
        put_published(folder)
    photo = folder / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(photo)
    home = Path(tempfile.mkdtemp(dir=folder))
    with hub_server.running() as hub:
        hub.add_folder("facebook/mask2former-swin-large-coco-panoptic", folder / "segmenter")
        hub.add_folder("timm/resnet50_clip.openai", folder / "clip", commit=hub_server.OTHER_COMMIT)
        for number, offline in ((1, "0"), (2, "1")):
            out = home / f"out{number}"
            command = [sys.executable, "-m", "lexiseg", "segment", str(photo), "-v", "cat, sofa, wall:stuff"]
            asked, sent, began = len(hub.asked), hub.sent, time.perf_counter()
            subprocess.run(
                [*command, "--model", "swin-l-coco", "--out", str(out), "--device", "cpu"],
                env=os.environ | hub.environment(home) | {"HF_HUB_OFFLINE": offline},
                check=True,
            )
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            beside = sum(path.stat().st_size for path in (home / "lexiseg").rglob("*") if path.is_file())
            cached = sum(
                path.stat().st_size for path in (home / "hf").rglob("*") if path.is_file() and not path.is_symlink()
            )
            print(
                f"run {number}: {time.perf_counter() - began:.1f} s, peak so far {used.ru_maxrss / 1e6:.2f} GB, CPU so "
                f"far {used.ru_utime + used.ru_stime:.1f} s, {len(hub.asked) - asked} requests, "
                f"{(hub.sent - sent) / 1e6:.0f} MB sent, cache {cached / 1e6:.0f} MB, beside it {beside / 1e6:.2f} MB"
            )


if __name__ == "__main__":
    main()
