"""Recipes of OPSNet+: what follows an OPSNet of the same parts, by each row of the paper's Table 3."""

from dataclasses import fields, replace

from lexiseg.training.recipes.opsnet import opsnet_r50, opsnet_r101, opsnet_swin_l, opsnet_swin_s
from lexiseg.training.recipes.storybook import opsnet_tiny
from lexiseg.training.segmentation.opsnet import OPSNetRecipe
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe


def plus(recipe: OPSNetRecipe, *, steps: int = 80_000, lr: float = 1e-4, num_labelled: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ after an OPSNet of the given recipe; in half of each batch labels take the place of masks.

    The paper gives no ratio of the two. Its "80K steps, about 5 epochs" are 5.4 epochs of COCO if 8 of 16 pictures are
    COCO's, and 10.8 if all are.

    Args:
        recipe: of the OPSNet to go on from.
        steps: the paper's if not given.
        lr: likewise.
        num_labelled: pictures with labels to draw; 0 for photographs.
    """
    same = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    half = recipe.batch_size // 2
    changed = {"steps": steps, "batch_size": half, "optim": replace(recipe.optim, lr=lr)}
    return OPSNetPlusRecipe(**same | changed, labelled_batch_size=half, num_labelled=num_labelled)


def opsnet_plus_tiny(*, seed: int = 0) -> OPSNetPlusRecipe:
    """The drawn world's OPSNet+, from an OPSNet of its size (--start): 8 pictures with masks and 8 with labels a step.

    About 35 minutes on one core. The rate is lower than that of `opsnet_tiny`, as 2,000 steps would not make up for
    what the full rate unlearns.
    """
    return plus(opsnet_tiny(seed=seed), steps=2000, lr=3e-4, num_labelled=8000)


def opsnet_plus_tiny_classes(*, seed: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ of the drawn world with class supervision alone (Table 3, second row)."""
    return replace(opsnet_plus_tiny(seed=seed), sum_weight=0.0)


def opsnet_plus_tiny_control(*, seed: int = 0) -> OPSNetPlusRecipe:
    """What `opsnet_plus_tiny` is held against: as many further steps on the same pictures with masks alone."""
    return replace(opsnet_plus_tiny_classes(seed=seed), match_weight=0.0)


def opsnet_plus_r50(*, seed: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ after `opsnet_r50` (--start), on COCO and on ImageNet's validation pictures with ReaL's labels."""
    return _paper_size(opsnet_r50(seed=seed))


def opsnet_plus_r101(*, seed: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ after `opsnet_r101` (--start), on COCO and on ImageNet's validation pictures with ReaL's labels."""
    return _paper_size(opsnet_r101(seed=seed))


def opsnet_plus_swin_s(*, seed: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ after `opsnet_swin_s` (--start), on COCO and on ImageNet's validation pictures with ReaL's labels."""
    return _paper_size(opsnet_swin_s(seed=seed))


def opsnet_plus_swin_l(*, seed: int = 0) -> OPSNetPlusRecipe:
    """OPSNet+ after `opsnet_swin_l` (--start), on COCO and on ImageNet's validation pictures with ReaL's labels."""
    return _paper_size(opsnet_swin_l(seed=seed))


def _paper_size(recipe: OPSNetRecipe) -> OPSNetPlusRecipe:
    """80,000 steps at 1e-4, a tenth of it from step 50,000 on (section 4)."""
    return replace(plus(recipe), rate_drops=(50 / 80,))
