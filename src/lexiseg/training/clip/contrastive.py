"""Training of a small CLIP on drawn pictures and their captions, contrastively."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from lexiseg.core.devices import has_bf16_units
from lexiseg.core.random import fork_random
from lexiseg.encoders.clip.base import OpenClip
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.clip.vit import VitClip, VitConfig
from lexiseg.storybook.captions import Rng, caption
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.storybook.scene import Scene, compose, draw_close_up, draw_small_scene, generator
from lexiseg.training.clip.text_tower import lock_text_tower
from lexiseg.training.engine.loader import load_batches
from lexiseg.training.engine.optim import OptimConfig, OptimPlan, Stage, decay_groups
from lexiseg.training.engine.run_settings import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of CLIP's training with one kind of pictures."""

    steps: int
    batch_size: int
    image_size: int
    """Side of the pictures in pixels."""
    view_share: float
    """Share of pictures that show one to four things in a place; the rest, but for scenes, are close-ups."""
    scene_share: float = 0.0
    """Share of pictures that are whole scenes, as those to be segmented are."""
    lr: float
    smallest: float = 0.6
    """Least size of a close-up's thing, as a share of the picture."""
    detail: float = 1.0
    """How often captions name sizes, colours, patterns and surroundings: each lets them match without the thing.
    Lists of words have none of these."""

    def __post_init__(self) -> None:
        if self.view_share + self.scene_share > 1:
            raise ValueError(
                f"views and scenes are shares of all pictures, got {self.view_share:g} and {self.scene_share:g}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasedRecipe(Recipe):
    """What the recipes of a CLIP say that learns from pictures drawn in phases."""

    phases: tuple[Phase, ...]
    optim: OptimConfig
    """Its `lr` is replaced by each phase's."""
    seed: int = 0

    def count_pictures(self) -> int:
        """Pictures of all phases."""
        return sum(phase.steps * phase.batch_size for phase in self.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRecipe(PhasedRecipe):
    """Everything that decides a training of CLIP."""

    model: ClipConfig | VitConfig
    locks_text: bool = False
    """The text tower is that of a trained CLIP and stays as it is (LiT; Zhai et al., 2022)."""

    def __post_init__(self) -> None:
        sizes = {phase.image_size for phase in self.phases}
        if isinstance(self.model, VitConfig) and sizes != {self.model.image_size}:
            raise ValueError(
                f"a Vision Transformer of {self.model.image_size} pixels learns from pictures of that size, "
                f"got phases of {sorted(sizes)}."
            )

    def build(self) -> Clip | VitClip:
        """The CLIP with random weights."""
        return new_clip(self.model)


SaidT = TypeVar("SaidT")


class DrawnPictures(torch.utils.data.Dataset[tuple[Tensor, SaidT]], Generic[SaidT]):
    """Pictures drawn on demand, with what is said of them; number n is the same in every process."""

    def __init__(self, phases: tuple[Phase, ...], seed: int, say: Callable[[Rng, Scene, Phase], SaidT]) -> None:
        self.phases = phases
        self.seed = seed
        self._say = say
        self._ends = np.cumsum([p.steps * p.batch_size for p in phases])

    def __len__(self) -> int:
        """Pictures of all phases."""
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> tuple[UInt8[Tensor, "3 H W"], SaidT]:
        """Draws picture `number` as its phase wants it, and words it."""
        phase = self.phases[int(np.searchsorted(self._ends, number, side="right"))]
        rng = generator("captions", "train", self.seed, number)
        scene = _draw(rng, phase)
        return torch.from_numpy(scene.picture).permute(2, 0, 1), self._say(rng, scene, phase)


def numbers_of_steps(phases: tuple[Phase, ...], start: int) -> list[range]:
    """The picture numbers of every step from `start` on."""
    sizes = (phase.batch_size for phase in phases for _ in range(phase.steps))
    return [range(*ends) for ends in pairwise(accumulate(sizes, initial=0))][start:]


def _draw(rng: Rng, phase: Phase) -> Scene:
    draw, size = rng.random(), (phase.image_size, phase.image_size)
    if draw < phase.scene_share:
        return compose(rng, ROLE_CONTENTS["captions"], size, num_things=int(rng.integers(3, 8)))
    if draw < phase.scene_share + phase.view_share:
        return draw_small_scene(rng, phase.image_size)
    return draw_close_up(rng, size, smallest=phase.smallest)


def _caption(rng: Rng, scene: Scene, phase: Phase) -> str:
    return caption(rng, scene, detail=phase.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionBatch:
    """Pictures with their captions."""

    pixel_values: UInt8[Tensor, "B 3 H W"]
    tokens: Int[Tensor, "B L"]


def collate_captions(clip: OpenClip, items: list[tuple[Tensor, str]]) -> CaptionBatch:
    """Stacks pictures and tokenises their captions."""
    pictures, captions = zip(*items, strict=True)
    return CaptionBatch(pixel_values=torch.stack(pictures), tokens=clip.tokenize(captions))


def contrastive_loss(
    image_embed: Float[Tensor, "B D"], text_embed: Float[Tensor, "B D"], logit_scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """CLIP's symmetric InfoNCE over a batch: picture i belongs to caption i."""
    image_embed, text_embed = F.normalize(image_embed, dim=-1), F.normalize(text_embed, dim=-1)
    logits = logit_scale * image_embed @ text_embed.T
    target = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


@contextmanager
def towers_in_bf16(device: str) -> Generator[None]:
    """Runs CLIP's towers in bf16 where the device has units for it, and else in float32.

    On a CPU bf16 has plain attention, as the fused one takes 1.4 times as long a step.
    """
    is_fast = has_bf16_units(device)
    plain = sdpa_kernel(SDPBackend.MATH) if device == "cpu" and is_fast else nullcontext()
    with torch.autocast(device, torch.bfloat16, enabled=is_fast), plain:
        yield


def varied_light(pixel_values: UInt8[Tensor, "B 3 H W"], seed: int, step: int) -> Float[Tensor, "B 3 H W"]:
    """Pictures in [0, 1], channels last, brighter or darker by up to a tenth, from the step's own generator."""
    rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
    light = torch.empty(len(pixel_values), 1, 1, 1).uniform_(0.9, 1.1, generator=rng)
    pixels = (pixel_values.float() / 255 * light.to(pixel_values.device)).clamp(0, 1)
    return pixels.contiguous(memory_format=torch.channels_last)


def new_clip(config: ClipConfig | VitConfig) -> Clip | VitClip:
    """A CLIP of either kind with random weights."""
    return Clip(config) if isinstance(config, ClipConfig) else VitClip(config)


RecipeT = TypeVar("RecipeT", bound=PhasedRecipe)
ClipT = TypeVar("ClipT", bound=OpenClip)


class PhasedTask(Generic[RecipeT, ClipT]):
    """What trainings of a CLIP on drawn pictures have in common, for the loop."""

    def __init__(
        self,
        recipe: RecipeT,
        clip: ClipT,
        say: Callable[[Rng, Scene, Phase], SaidT],
        collate: Callable[[list[tuple[Tensor, SaidT]]], Any],
        *,
        device: str,
        workers: int,
    ) -> None:
        """Moves the CLIP to the device.

        Args:
            recipe: the recipe.
            clip: trained in place.
            say: what is said of a drawn picture.
            collate: makes a batch of pictures and of what is said of them.
            device: where to train.
            workers: processes that draw pictures.
        """
        self.recipe = recipe
        self.clip = clip.train().to(device)
        self.clip.to(memory_format=torch.channels_last)
        self._pictures = DrawnPictures(recipe.phases, recipe.seed, say)
        self._collate = collate
        self._device, self._workers = device, workers

    @property
    def module(self) -> nn.Module:
        """The CLIP."""
        return self.clip

    @property
    def optim_plan(self) -> OptimPlan:
        """Every phase has its own rate, with a warm-up and decay of its own."""
        stages = tuple(Stage(steps=phase.steps, lr=phase.lr) for phase in self.recipe.phases)
        return OptimPlan(config=self.recipe.optim, stages=stages)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No weight decay on vectors."""
        return decay_groups(self.clip, self.recipe.optim.weight_decay)

    def batches(self, start: int) -> Iterator[Any]:
        """Batches from step `start` on, each of its phase's size, drawn by worker processes."""
        numbers = numbers_of_steps(self.recipe.phases, start)
        return load_batches(self._pictures, self._collate, workers=self._workers, batch_sampler=numbers)

    def pictures_in(self, batch: Any) -> int:
        """Pictures of a batch."""
        return len(batch.pixel_values)


class ClipTask(PhasedTask[ClipRecipe, Clip | VitClip]):
    """The training of a CLIP by a recipe."""

    def __init__(
        self, recipe: ClipRecipe, *, text: OpenClip | None = None, device: str = "cpu", workers: int = 1
    ) -> None:
        """Builds the CLIP.

        Args:
            recipe: the recipe; its seed decides the random weights.
            text: whose text tower is taken over and locked, for a recipe that locks it.
            device: where to train.
            workers: processes that draw pictures.

        Raises:
            ValueError: if the recipe locks a text tower and gets none, or one of other sizes.
        """
        with fork_random(recipe.seed):
            clip = recipe.build()
        if recipe.locks_text:
            lock_text_tower(clip, text)
        super().__init__(recipe, clip, _caption, partial(collate_captions, clip), device=device, workers=workers)

    def losses(self, batch: CaptionBatch, step: int) -> Mapping[str, Tensor]:
        """Contrast of pictures and captions; brightness varies by a tenth, from the step's own generator."""
        pixels = varied_light(batch.pixel_values.to(self._device), self.recipe.seed, step)
        with towers_in_bf16(self._device):
            image_embed = self.clip.encode_image(pixels)
            text_embed = self.clip.encode_tokens(batch.tokens.to(self._device))
        scale = self.clip.clip.logit_scale.exp().clamp(max=100)
        return {"contrast": contrastive_loss(image_embed.float(), text_embed.float(), scale)}
