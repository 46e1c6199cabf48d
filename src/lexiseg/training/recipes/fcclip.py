"""Recipes of FC-CLIP."""

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.resnet import ClipConfig
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.pixel_decoder import DecoderConfig
from lexiseg.models.fcclip import FCCLIPConfig
from lexiseg.training.recipes.storybook import clip_tiny, mask2former_tiny
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.fcclip import FCCLIPRecipe


def fcclip_tiny(*, seed: int = 0) -> FCCLIPRecipe:
    """The drawn world's FC-CLIP: `clip_tiny` frozen (--clip) is its backbone, decoders of `mask2former_tiny`'s size.

    About 20 minutes on one core. `--clip storybook` takes the CLIP of the shipped OPSNet, which was grounded too.
    """
    same, clip = mask2former_tiny(seed=seed), clip_tiny().model
    assert isinstance(clip, ClipConfig)
    sizes = {name: getattr(same.segmenter, name) for name in DecoderConfig.__dataclass_fields__}
    return FCCLIPRecipe(
        model=FCCLIPConfig(
            clip=clip,
            decoder=DecoderConfig(**sizes),
            training_vocabulary=Vocabulary.of("storybook"),
            longest_side=same.framing.image_size,
            shortest_side=None,
            fusion=GeometricConfig(needs_region=True),
        ),
        framing=same.framing,
        num_pictures=same.num_pictures,
        steps=1200,
        batch_size=same.batch_size,
        optim=same.optim,
        criterion=CriterionConfig(num_points=same.criterion.num_points),
        seed=seed,
    )
