"""What a published config.json, or a checkpoint's keys, say that a model is; without torch."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from lexiseg.core.errors import ModelError
from lexiseg.core.messages import shown

SEGMENTERS = ("mask2former", "maskformer", "oneformer", "eomt")
"""Universal segmenters in transformers' layout, by model_type."""
_TASKS = {
    "ForImageClassification": "an image classifier",
    "ForObjectDetection": "an object detector",
    "ForZeroShotObjectDetection": "an object detector",
    "ForSemanticSegmentation": "a semantic segmenter without masks of its own",
    "ForDepthEstimation": "a depth estimator",
    "ForCausalLM": "a language model",
    "ForConditionalGeneration": "a model that writes text",
    "ForMaskedLM": "a language model",
    "ForSequenceClassification": "a text classifier",
}
"""What the last part of a transformers' architecture means."""
_CLIPS = ("clip", "siglip", "siglip2", "align", "chinese_clip")


def judge(document: Mapping[str, Any], source: str) -> Literal["own", "segmenter"]:
    """Whether a config.json is that of a whole model of ours, or of a closed-set segmenter to assemble.

    Code that a config.json names (`auto_map`) is never looked at.

    Args:
        document: its content.
        source: where it lies, for messages.

    Raises:
        ModelError: saying what it is instead.
    """
    if "training_vocabulary" in document:
        return "own"
    kind = document.get("model_type")
    if kind in SEGMENTERS:
        return "segmenter"
    listed = document.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    task = next((what for ending, what in _TASKS.items() if architecture.endswith(ending)), None)
    if kind in _CLIPS or "text_width" in document or {"embed_dim", "vision_cfg"} <= document.keys():
        task = "a CLIP alone: give a segmenter, and the CLIP to 'lexiseg assemble' as --clip"
    elif isinstance(kind, str) and kind.startswith("sam"):
        task = "a SAM, which segments by points and boxes and knows no words"
    elif task is None:
        task = f"of model_type {shown(kind)}" if kind is not None else "no model that is known here"
    raise ModelError(f"{source} is {task}; models for --model are lexiseg's own or one of {', '.join(SEGMENTERS)}.")


def kind_of_keys(keys: Iterable[str]) -> Literal["fcclip", "ovseg", "mask2former", "segmenter", "clip"] | None:
    """What a checkpoint holds, by the names of its tensors; None if it is nothing that is known here."""
    names = set(keys)

    def has(*beginnings: str) -> bool:
        return any(name.startswith(beginnings) for name in names)

    if has("clip_adapter."):
        return "ovseg"
    if "void_embedding.weight" in names or has("sem_seg_head.predictor._mask_pooling_proj"):
        return "fcclip"
    if has("sem_seg_head.predictor.", "sem_seg_head.pixel_decoder."):
        return "mask2former"
    if "class_predictor.weight" in names or has("model.pixel_level_module."):
        return "segmenter"
    return "clip" if has("visual.") else None
