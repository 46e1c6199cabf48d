"""Segments everything that you can name: a picture and words in, a panoptic map out.

Usage:
    model = lexiseg.load()
    result = model.segment("picture.jpg", "cat|kitten, dog, sky:stuff")

Names are imported on first use, so that the command line starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexiseg.apps.predictor import Model, load
    from lexiseg.apps.result import Result
    from lexiseg.core.concepts import Concept, VocabularyError
    from lexiseg.core.images import PictureError
    from lexiseg.core.structures import Guess, PanopticMap, Segment
    from lexiseg.core.vocabulary import Vocabulary
    from lexiseg.encoders.clip import ClipConfig
    from lexiseg.encoders.maskformer import MaskFormerConfig
    from lexiseg.encoders.segmenter import SegmenterConfig
    from lexiseg.encoders.vit import PromptConfig, VitConfig
    from lexiseg.io.models import load_model, save_model
    from lexiseg.io.plain import ModelError
    from lexiseg.layers.ensemble import EnsembleConfig
    from lexiseg.layers.modulation import ModulationConfig
    from lexiseg.models.assemble import assemble
    from lexiseg.models.crops import RegionConfig
    from lexiseg.models.opsnet import OPSNet, OPSNetConfig
    from lexiseg.models.ovseg import OVSeg, OVSegConfig
    from lexiseg.models.postprocess import MergeConfig

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
    "load",
    "load_model",
    "save_model",
]

_HOMES = {
    "ClipConfig": "lexiseg.encoders.clip",
    "Concept": "lexiseg.core.concepts",
    "EnsembleConfig": "lexiseg.layers.ensemble",
    "Guess": "lexiseg.core.structures",
    "MaskFormerConfig": "lexiseg.encoders.maskformer",
    "MergeConfig": "lexiseg.models.postprocess",
    "Model": "lexiseg.apps.predictor",
    "ModelError": "lexiseg.io.plain",
    "ModulationConfig": "lexiseg.layers.modulation",
    "OPSNet": "lexiseg.models.opsnet",
    "OPSNetConfig": "lexiseg.models.opsnet",
    "OVSeg": "lexiseg.models.ovseg",
    "OVSegConfig": "lexiseg.models.ovseg",
    "PanopticMap": "lexiseg.core.structures",
    "PictureError": "lexiseg.core.images",
    "PromptConfig": "lexiseg.encoders.vit",
    "RegionConfig": "lexiseg.models.crops",
    "Result": "lexiseg.apps.result",
    "Segment": "lexiseg.core.structures",
    "SegmenterConfig": "lexiseg.encoders.segmenter",
    "VitConfig": "lexiseg.encoders.vit",
    "Vocabulary": "lexiseg.core.vocabulary",
    "VocabularyError": "lexiseg.core.concepts",
    "assemble": "lexiseg.models.assemble",
    "load": "lexiseg.apps.predictor",
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
