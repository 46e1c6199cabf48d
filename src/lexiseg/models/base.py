"""What the systems have in common: whoever asks one need not know which it is.

Both have `config` (with `training_vocabulary`, `longest_side`, `shortest_side`, `merge` and `fusion`), `clip`,
`prepare(vocabulary, negatives=...)` and `model(images, words, fusion) -> MaskPrediction`.
"""

from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.ovseg import OVSeg, OVSegConfig

OpenVocabularySegmenter = OPSNet | OVSeg
NetworkConfig = OPSNetConfig | OVSegConfig
Fusion = ModulationConfig | EnsembleConfig
"""How CLIP and the trained query are joined: OPSNet's modulation, OVSeg's ensemble."""


def check_fusion(network: OpenVocabularySegmenter, fusion: Fusion | None) -> None:
    """Refuses a fusion of the other system.

    Raises:
        ValueError: naming the kind that the network takes.
    """
    wanted = type(network.config.fusion)
    if fusion is not None and not isinstance(fusion, wanted):
        raise ValueError(
            f"expected {_a(wanted)}, got {_a(type(fusion))}: an {type(network).__name__} takes no other fusion."
        )


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
