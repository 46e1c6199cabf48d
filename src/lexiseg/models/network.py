"""What the systems have in common: whoever asks one need not know which it is.

Both have `config` (with `training_vocabulary`, `longest_side`, `shortest_side`, `merge` and `fusion`), `clip`,
`prepare(vocabulary, negatives=...)` and `model(images, words, fusion) -> MaskPrediction`.
"""

from lexiseg.layers.ensemble import EnsembleConfig
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.ovseg import OVSeg, OVSegConfig

Network = OPSNet | OVSeg
NetworkConfig = OPSNetConfig | OVSegConfig
Fusion = ModulationConfig | EnsembleConfig
"""How CLIP and the trained query are joined: OPSNet's modulation, OVSeg's ensemble."""
