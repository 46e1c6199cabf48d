"""Segments everything that you can name: a picture and words in, a panoptic map out.

Usage:
    model = lexiseg.load()
    result = model.segment("picture.jpg", "cat|kitten, dog, sky:stuff")

Names are imported on first use, so that the command line starts without torch.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexiseg.core.concepts import Concept as Concept
    from lexiseg.core.errors import DeviceError as DeviceError
    from lexiseg.core.errors import FormatError as FormatError
    from lexiseg.core.errors import ModelError as ModelError
    from lexiseg.core.errors import PictureError as PictureError
    from lexiseg.core.errors import UsageError as UsageError
    from lexiseg.core.errors import VocabularyError as VocabularyError
    from lexiseg.core.structures import Guess as Guess
    from lexiseg.core.structures import PanopticMap as PanopticMap
    from lexiseg.core.structures import Segment as Segment
    from lexiseg.core.vocabulary import Vocabulary as Vocabulary
    from lexiseg.encoders.clip.convnext import ConvNextConfig as ConvNextConfig
    from lexiseg.encoders.clip.resnet import ClipConfig as ClipConfig
    from lexiseg.encoders.clip.vit import PromptConfig as PromptConfig
    from lexiseg.encoders.clip.vit import VitConfig as VitConfig
    from lexiseg.encoders.segmenters.mask2former import SegmenterConfig as SegmenterConfig
    from lexiseg.encoders.segmenters.maskformer import MaskFormerConfig as MaskFormerConfig
    from lexiseg.evaluation.evaluator import evaluate as evaluate
    from lexiseg.inference.encoded import EncodedImage as EncodedImage
    from lexiseg.inference.predictor import Model as Model
    from lexiseg.inference.predictor import load as load
    from lexiseg.inference.result import Result as Result
    from lexiseg.io.finding import assemble as assemble
    from lexiseg.io.models import load_model as load_model
    from lexiseg.io.models import save_model as save_model
    from lexiseg.layers.ensemble import EnsembleConfig as EnsembleConfig
    from lexiseg.layers.ensemble import GeometricConfig as GeometricConfig
    from lexiseg.layers.modulation import ModulationConfig as ModulationConfig
    from lexiseg.layers.pixel_decoder import DecoderConfig as DecoderConfig
    from lexiseg.models.crops import RegionConfig as RegionConfig
    from lexiseg.models.fcclip import FCCLIP as FCCLIP
    from lexiseg.models.fcclip import FCCLIPConfig as FCCLIPConfig
    from lexiseg.models.opsnet import OPSNet as OPSNet
    from lexiseg.models.opsnet import OPSNetConfig as OPSNetConfig
    from lexiseg.models.ovseg import OVSeg as OVSeg
    from lexiseg.models.ovseg import OVSegConfig as OVSegConfig
    from lexiseg.models.postprocess.instances import Instance as Instance
    from lexiseg.models.postprocess.panoptic import MergeConfig as MergeConfig
    from lexiseg.training.launch import train as train

__version__ = "0.1.0"

_EXPORTS: Mapping[str, tuple[str, ...]] = {
    "lexiseg.core.concepts": ("Concept",),
    "lexiseg.core.errors": (
        "DeviceError",
        "FormatError",
        "ModelError",
        "PictureError",
        "UsageError",
        "VocabularyError",
    ),
    "lexiseg.core.structures": ("Guess", "PanopticMap", "Segment"),
    "lexiseg.core.vocabulary": ("Vocabulary",),
    "lexiseg.encoders.clip.convnext": ("ConvNextConfig",),
    "lexiseg.encoders.clip.resnet": ("ClipConfig",),
    "lexiseg.encoders.clip.vit": ("PromptConfig", "VitConfig"),
    "lexiseg.encoders.segmenters.mask2former": ("SegmenterConfig",),
    "lexiseg.encoders.segmenters.maskformer": ("MaskFormerConfig",),
    "lexiseg.evaluation.evaluator": ("evaluate",),
    "lexiseg.inference.encoded": ("EncodedImage",),
    "lexiseg.inference.predictor": ("Model", "load"),
    "lexiseg.inference.result": ("Result",),
    "lexiseg.io.finding": ("assemble",),
    "lexiseg.io.models": ("load_model", "save_model"),
    "lexiseg.layers.ensemble": ("EnsembleConfig", "GeometricConfig"),
    "lexiseg.layers.modulation": ("ModulationConfig",),
    "lexiseg.layers.pixel_decoder": ("DecoderConfig",),
    "lexiseg.models.crops": ("RegionConfig",),
    "lexiseg.models.fcclip": ("FCCLIP", "FCCLIPConfig"),
    "lexiseg.models.opsnet": ("OPSNet", "OPSNetConfig"),
    "lexiseg.models.ovseg": ("OVSeg", "OVSegConfig"),
    "lexiseg.models.postprocess.instances": ("Instance",),
    "lexiseg.models.postprocess.panoptic": ("MergeConfig",),
    "lexiseg.training.launch": ("train",),
}
"""The public names by the module that defines each; the imports above tell type checkers the same."""
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}
__all__ = ["__version__", *sorted(_HOMES)]  # pyright: ignore[reportUnsupportedDunderAll]


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
