"""Segments everything that you can name: a picture and words in, a panoptic map out.

Usage:
    model = lexiseg.load()
    result = model.segment("picture.jpg", "cat|kitten, dog, sky:stuff")

Names are imported on first use, so that the command line starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexiseg.core.concepts import Concept
    from lexiseg.core.errors import ModelError, PictureError, VocabularyError
    from lexiseg.core.structures import Guess, PanopticMap, Segment
    from lexiseg.core.vocabulary import Vocabulary
    from lexiseg.encoders.clip.resnet import ClipConfig
    from lexiseg.encoders.clip.vit import PromptConfig, VitConfig
    from lexiseg.encoders.segmenters.mask2former import SegmenterConfig
    from lexiseg.encoders.segmenters.maskformer import MaskFormerConfig
    from lexiseg.evaluation.evaluator import evaluate
    from lexiseg.inference.predictor import Model, load
    from lexiseg.inference.result import Result
    from lexiseg.io.models import load_model, save_model
    from lexiseg.layers.ensemble import EnsembleConfig
    from lexiseg.layers.modulation import ModulationConfig
    from lexiseg.models.assemble import assemble
    from lexiseg.models.crops import RegionConfig
    from lexiseg.models.opsnet import OPSNet, OPSNetConfig
    from lexiseg.models.ovseg import OVSeg, OVSegConfig
    from lexiseg.models.postprocess.panoptic import MergeConfig

__version__ = "0.1.0"

__all__ = [
    "ClipConfig",
    "Concept",
    "EnsembleConfig",
    "Guess",
    "MaskFormerConfig",
    "MergeConfig",
    "Model",
    "ModelError",
    "ModulationConfig",
    "OPSNet",
    "OPSNetConfig",
    "OVSeg",
    "OVSegConfig",
    "PanopticMap",
    "PictureError",
    "PromptConfig",
    "RegionConfig",
    "Result",
    "Segment",
    "SegmenterConfig",
    "VitConfig",
    "Vocabulary",
    "VocabularyError",
    "__version__",
    "assemble",
    "evaluate",
    "load",
    "load_model",
    "save_model",
]

_HOMES = {
    "ClipConfig": "lexiseg.encoders.clip.resnet",
    "Concept": "lexiseg.core.concepts",
    "EnsembleConfig": "lexiseg.layers.ensemble",
    "Guess": "lexiseg.core.structures",
    "MaskFormerConfig": "lexiseg.encoders.segmenters.maskformer",
    "MergeConfig": "lexiseg.models.postprocess.panoptic",
    "Model": "lexiseg.inference.predictor",
    "ModelError": "lexiseg.core.errors",
    "ModulationConfig": "lexiseg.layers.modulation",
    "OPSNet": "lexiseg.models.opsnet",
    "OPSNetConfig": "lexiseg.models.opsnet",
    "OVSeg": "lexiseg.models.ovseg",
    "OVSegConfig": "lexiseg.models.ovseg",
    "PanopticMap": "lexiseg.core.structures",
    "PictureError": "lexiseg.core.errors",
    "PromptConfig": "lexiseg.encoders.clip.vit",
    "RegionConfig": "lexiseg.models.crops",
    "Result": "lexiseg.inference.result",
    "Segment": "lexiseg.core.structures",
    "SegmenterConfig": "lexiseg.encoders.segmenters.mask2former",
    "VitConfig": "lexiseg.encoders.clip.vit",
    "Vocabulary": "lexiseg.core.vocabulary",
    "VocabularyError": "lexiseg.core.errors",
    "assemble": "lexiseg.models.assemble",
    "evaluate": "lexiseg.evaluation.evaluator",
    "load": "lexiseg.inference.predictor",
    "load_model": "lexiseg.io.models",
    "save_model": "lexiseg.io.models",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lexiseg' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
