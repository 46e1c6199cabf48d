"""The same random weights in a model of ours and in a peer's, with masks and scores as a trained model has them.

Initial weights give degenerate masks: mask features have a mean that is larger than what varies, so that nearly every
query's mask is all or nothing, attention masks are left out, and two programs that differ there seem equal. Here the
mask projection is centred on the picture that is measured, which gives each query about half of it; and so many queries
as a photograph has segments pass the score threshold, on both sides the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    DetrConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MaskFormerForInstanceSegmentation,
)
from transformers import MaskFormerConfig as TransformersConfig

from lexiseg.core.batches import to_image_batch
from lexiseg.core.devices import Precision, computing
from lexiseg.core.random import fork_random
from lexiseg.core.structures import ImageBatch, VocabularyEmbeddings
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.core.weights import without_first_values
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.segmenters.mask2former import (
    ResNetBackbone,
    Segmenter,
    SegmenterConfig,
    SwinBackbone,
    backbone_to_transformers,
    to_transformers,
)
from lexiseg.encoders.segmenters.maskformer import MaskFormer, MaskFormerConfig
from lexiseg.inference.predictor import Model
from lexiseg.layers.heads import AssembledHead
from lexiseg.layers.query_decoder import Level
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig

KEPT = 30
"""Queries of a picture that pass the score threshold, and become segments."""
MASK_SPREAD = 5.0
"""Standard deviation of mask logits."""
TINY = SegmenterConfig(
    resnet=ResNetBackbone(embedding_size=16, hidden_sizes=(16, 32, 32, 32), depths=(1, 1, 1, 1), layer_type="basic"),
    hidden_dim=32,
    mask_dim=32,
    encoder_layers=2,
    encoder_feedforward_dim=64,
    decoder_layers=3,
    feedforward_dim=64,
    num_heads=4,
    num_queries=40,
)
SEGMENTERS: Mapping[str, SegmenterConfig] = {
    "tiny": TINY,
    "r50": SegmenterConfig(resnet=ResNetBackbone()),
    "swin-t": SegmenterConfig(swin=SwinBackbone(depths=(2, 2, 6, 2))),
    "swin-l": SegmenterConfig(
        swin=SwinBackbone(embed_dim=192, num_heads=(6, 12, 24, 48), window_size=12, image_size=384), num_queries=200
    ),
}
"""By backbone; the published sizes, and one that takes no time."""
TINY_MASKFORMER = MaskFormerConfig(
    resnet=TINY.resnet, pixel_dim=32, mask_dim=32, hidden_dim=32, decoder_layers=2, feedforward_dim=64, num_heads=4
)
TINY_CLIP = ClipConfig(
    embed_dim=32,
    layers=(1, 1, 1, 1),
    width=8,
    head_width=32,
    image_size=64,
    text_width=32,
    text_heads=2,
    text_layers=1,
    context_length=32,
)
GAINS: Mapping[str, float] = {
    r"sampling_offsets\.weight": 2.0,  # cells
    r"decoder\.layers\.\d+\.(fc2|mlp\.fc2|\w+_attn\.(out|o)_proj)\.weight": 0.1,
    r"class_predictor": 6.0,
    r"relative_position": 0.5,
}
"""Of weights by their names, relative to noise that keeps the size of what it is multiplied with."""
MASKFORMER_NAMES: Mapping[str, str] = {
    r"model\.pixel_level_module\.encoder\.": "backbone.",
    r"model\.pixel_level_module\.decoder\.": "pixel_decoder.",
    r"model\.transformer_module\.": "transformer.",
    r"mask_embedder\.0\.0\.": "mask_embed.0.",
    r"mask_embedder\.1\.0\.": "mask_embed.2.",
    r"mask_embedder\.2\.0\.": "mask_embed.4.",
}
"""How weights of transformers' MaskFormer begin, and ours."""
Size = tuple[int, int]
"""Height and width, multiples of 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """An assembled OPSNet, transformers' Mask2Former with the segmenter's weights, and pictures of one size."""

    model: Model
    theirs: Mask2FormerForUniversalSegmentation
    vocabulary: Vocabulary
    pictures: tuple[np.ndarray, ...]
    images: ImageBatch
    pixel_values: Tensor
    """What transformers' network sees: the same pixels, normalised."""
    thresholds: tuple[float, float]
    """Ours and theirs: each lets `KEPT` queries of the first picture pass."""

    @property
    def network(self) -> OPSNet:
        """Ours."""
        assert isinstance(self.model.network, OPSNet)
        return self.model.network

    def ours(self) -> object:
        """From pictures of 8 bits to their segments, words known before."""
        settings = {"batch_size": len(self.pictures), "score_threshold": self.thresholds[0]}
        return list(self.model.segment_many(self.pictures, self.vocabulary, **settings))

    def peer(self) -> object:
        """The network and transformers' post-processing; pixels are prepared before, at no cost."""
        return self.post_process(self.theirs(pixel_values=self.pixel_values))

    def post_process(self, out: Any) -> object:
        """Transformers' post-processing of what its network gives."""
        is_stuff = {place for place, concept in enumerate(self.vocabulary.concepts) if not concept.is_thing}
        return Mask2FormerImageProcessor().post_process_panoptic_segmentation(
            out,
            threshold=self.thresholds[1],
            target_sizes=[picture.shape[:2] for picture in self.pictures],
            label_ids_to_fuse=is_stuff,
            overlap_mask_area_threshold=0.0,
        )

    def compile(self, *, with_peer: bool) -> None:
        """Compiles our networks, in place, so that weights keep their names; and transformers'."""
        torch.compiler.reset()  # what is compiled for other sizes makes sizes variable
        self.network.compile_parts()
        if with_peer:
            self.theirs.compile()

    @torch.inference_mode()
    def differences(self) -> dict[str, float]:
        """The largest between mask and class logits of both sides, beside what explains it.

        An attention mask is a threshold, which rounding passes now and then, and then a logit changes by far more than
        rounding. "bits" is how many of these masks differ where all before are the same, and "masks likewise" how far
        logits are apart if all are those of transformers. "theirs with 1e-7" is how far masks of transformers are from
        themselves where every pixel is multiplied by 1 + 1e-7 times noise.
        """
        theirs, blocked = self._theirs_with_attention()
        masks = theirs.masks_queries_logits
        found, classes = self._proposed()
        alike, bits = self._with_attention(blocked)
        noise = torch.randn(self.pixel_values.shape, generator=torch.Generator().manual_seed(0))
        shaken = self.theirs(pixel_values=self.pixel_values * (1 + 1e-7 * noise.to(self.pixel_values)))
        return {
            "masks": float((found - masks).abs().max()),
            "classes": float((classes - theirs.class_queries_logits).abs().max()),
            "masks likewise": float((alike - masks).abs().max()),
            "bits": bits,
            "theirs with 1e-7": float((shaken.masks_queries_logits - masks).abs().max()),
            "largest logit": float(masks.abs().max()),
            "outside masks": float((masks < 0).float().mean()),
        }

    def _proposed(self) -> tuple[Tensor, Tensor]:
        """Our mask logits and the class head's."""
        assert isinstance(self.network.head, AssembledHead)
        with computing(self.model.device, self.model.precision):
            found = self.network.propose(self.images)
            return found.mask_logits.float(), self.network.head.classify(found.query_embed).float()

    def _theirs_with_attention(self) -> tuple[Any, list[Tensor]]:
        """What transformers' network gives, and the cells that queries of each layer may not attend to."""
        blocked = list[Tensor]()

        def keep(_: nn.Module, __: object, out: tuple[Tensor, Tensor]) -> None:
            outside = out[1].unflatten(0, (len(self.images.frames), -1))[:, 0]  # all heads have the same
            blocked.append(outside & ~outside.all(-1, keepdim=True))

        hook = self.theirs.model.transformer_module.decoder.mask_predictor.register_forward_hook(keep)
        found = self.theirs(pixel_values=self.pixel_values)
        hook.remove()
        return found, blocked

    def _with_attention(self, blocked: list[Tensor]) -> tuple[Tensor, int]:
        """Our mask logits with the peer's attention masks, and in how many cells ours would have differed."""
        assert isinstance(self.network.segmenter, Segmenter)
        decoder, theirs, bits = self.network.segmenter.query_decoder, iter(blocked), 0
        own = decoder.blocked

        def given(mask_embed: Tensor, level: Level) -> Tensor:
            nonlocal bits
            mask = next(theirs)
            bits += int((own(mask_embed, level) != mask).sum())
            return mask

        decoder.blocked = given
        try:
            found, _ = self._proposed()
        finally:
            del decoder.blocked
        return found, bits


def shown(size: Size) -> str:
    """Width first, as people say it."""
    return f"{size[1]} x {size[0]}"


def photograph(size: Size, seed: int = 0) -> np.ndarray:
    """Colours that change every few pixels; what a picture shows changes no cost."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def twins(
    backbone: str,
    size: Size,
    *,
    num_queries: int | None = None,
    batch_size: int = 1,
    device: str = "cpu",
    precision: Precision = "float32",
    seed: int = 0,
) -> Twins:
    """Makes both, of one of `SEGMENTERS`, with CLIP RN50 on our side.

    Args:
        backbone: which.
        size: of the pictures, at which the networks see them.
        num_queries: others than published.
        batch_size: pictures.
        device: of both.
        precision: ours.
        seed: of the weights.
    """
    vocabulary, config = Vocabulary.of("coco"), SEGMENTERS[backbone]
    config = replace(config, num_queries=num_queries or config.num_queries)
    pictures = tuple(photograph(size, number) for number in range(batch_size))
    images = to_image_batch(pictures, longest=max(size)).to(device)
    with fork_random(seed):
        document = to_transformers(config)
        document.id2label = dict(enumerate(vocabulary.names))
        theirs = filled(Mask2FormerForUniversalSegmentation(document).eval(), seed)
        clip = Clip(TINY_CLIP if backbone == "tiny" else ClipConfig.named("RN50"))
    with without_first_values():
        network = OPSNet(
            OPSNetConfig(
                segmenter=config,
                clip=clip.config,
                training_vocabulary=vocabulary,
                longest_side=max(size),
                has_enhancer=False,
                is_assembled=True,
                logit_scale=10.0,  # of random embeddings; with 100 every score is 1
                merge=MergeConfig(rank_by="class", overlap_threshold=0.0),
            )
        )
    assert isinstance(network.head, AssembledHead)
    network.clip.load_state_dict(clip.state_dict())
    network.fold_adapter()
    words = embeddings([len(concept.names) for concept in vocabulary.concepts], network.config.clip.embed_dim)
    first_rows = torch.searchsorted(words.concept_index, torch.arange(len(vocabulary)))
    network.head.class_text.data.copy_(words.text_embed[first_rows])
    theirs.to(device)
    pixel_values = colours.IMAGENET.normalise(images.pixel_values)
    centre(theirs, pixel_values)
    network.segmenter.load_state_dict({f"mask2former.{name}": v for name, v in theirs.model.state_dict().items()})
    network.head.classify.load_state_dict(theirs.class_predictor.state_dict())
    know(network, {vocabulary: words})
    with torch.inference_mode():
        scores = theirs(pixel_values=pixel_values[:1]).class_queries_logits[0].softmax(-1).amax(-1)
    both = Twins(
        model=Model(network, device=device, precision=precision),
        theirs=theirs,
        vocabulary=vocabulary,
        pictures=pictures,
        images=images,
        pixel_values=pixel_values,
        thresholds=(0.0, _between(scores)),
    )
    return replace(both, thresholds=(threshold(both, words.to(device)), both.thresholds[1]))


Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def filled(theirs: Network, seed: int) -> Network:
    """Random weights everywhere, in a Mask2Former or MaskFormer of transformers.

    Initial ones are zero, or nearly, at many places, such as where deformable attention looks and in batch norms. What
    a decoder layer adds to queries is small here, or else all queries become one.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in [*theirs.named_parameters(), *theirs.named_buffers()]:
        if not weight.is_floating_point() or name.startswith("criterion"):
            continue
        noise = torch.randn(weight.shape, generator=generator)
        if name.endswith("running_var"):
            weight.copy_(0.5 + torch.rand(weight.shape, generator=generator))
        elif weight.ndim == 1:
            weight.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
        elif re.search("embedder.weight|queries_features|level_embed", name):
            weight.copy_(noise)
        else:
            gain = next((gain for pattern, gain in GAINS.items() if re.search(pattern, name)), 1.0)
            weight.copy_(gain * noise / weight[0].numel() ** 0.5)
    head: Any = theirs.get_submodule("class_predictor")
    head.bias[-1] = -8.0  # void never wins: the score decides
    return theirs


@torch.inference_mode()
def centre(theirs: Mask2FormerForUniversalSegmentation, pixel_values: Tensor) -> None:
    """Takes its mean over the picture out of every mask feature, and makes mask logits as large as trained ones are."""
    level = theirs.model.pixel_level_module
    project = level.decoder.mask_projection
    project.bias -= level(pixel_values).decoder_last_hidden_state.mean((0, 2, 3))
    factor = MASK_SPREAD / theirs(pixel_values=pixel_values).masks_queries_logits.std()
    project.weight *= factor
    project.bias *= factor


@torch.inference_mode()
def threshold(both: Twins, words: VocabularyEmbeddings) -> float:
    """Our score between those of the last query that is kept and the next one, of the first picture."""
    found = both.network(both.images, words)
    return _between(found.class_logits[0].softmax(-1).amax(-1) * (1 - found.void_probs[0]))


def _between(scores: Tensor) -> float:
    return float(scores.sort(descending=True).values[KEPT - 1 : KEPT + 1].mean())


def embeddings(names: list[int], dim: int, seed: int = 0) -> VocabularyEmbeddings:
    """Random unit rows: for every concept so many names; half of the words are near to the training's."""
    generator = torch.Generator().manual_seed(seed)
    return VocabularyEmbeddings(
        text_embed=F.normalize(torch.randn(sum(names), dim, generator=generator), dim=-1),
        concept_index=torch.arange(len(names)).repeat_interleave(torch.tensor(names)),
        num_concepts=len(names),
        similarity=0.5 + 0.5 * torch.rand(len(names), generator=generator),
        domain_similarity=0.99,
    )


def know(network: OPSNet, table: Mapping[Vocabulary, VocabularyEmbeddings]) -> None:
    """Takes embeddings of words from a table, in place of the text tower: random ones of that are all alike."""
    network.embed_vocabulary = lambda vocabulary, **_: table[vocabulary]


def many_words(count: int) -> Vocabulary:
    """So many things of one name each."""
    return Vocabulary(tuple(Concept(name=f"thing {number}") for number in range(count)), ("{}",))


def maskformers(size: Size, device: str, *, is_tiny: bool) -> tuple[MaskFormer, nn.Module, ImageBatch]:
    """OVSeg's MaskFormer and transformers' of the same weights, with a ResNet-50, and a picture."""
    config = replace(TINY_MASKFORMER if is_tiny else MaskFormerConfig(resnet=ResNetBackbone()), dropout=0.0)
    decoder = DetrConfig(
        d_model=config.hidden_dim,
        decoder_layers=config.decoder_layers,
        decoder_ffn_dim=config.feedforward_dim,
        decoder_attention_heads=config.num_heads,
        num_queries=config.num_queries,
    )
    document = TransformersConfig(
        backbone_config=backbone_to_transformers(config.resnet, None),
        decoder_config=decoder,
        fpn_feature_size=config.pixel_dim,
        mask_feature_size=config.mask_dim,
        use_auxiliary_loss=False,
    )
    with fork_random(0), without_first_values():
        theirs = MaskFormerForInstanceSegmentation(document)
        own = MaskFormer(config).eval()
    filled(theirs.eval(), seed=0)
    own.load_state_dict({ours: value for name, value in theirs.state_dict().items() if (ours := ours_of(name))})
    images = to_image_batch([photograph(size)], longest=max(size)).to(device)
    return own.to(device), theirs.to(device), images


def ours_of(name: str) -> str | None:
    """Our name of a weight of transformers' MaskFormer; None of the class head and the loss."""
    for theirs, ours in MASKFORMER_NAMES.items():
        if re.match(theirs, name):
            return re.sub(theirs, ours, name)
    return None
