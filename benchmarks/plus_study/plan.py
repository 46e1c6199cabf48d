"""The plan: which OPSNets are trained from which start, how they are asked, and what the paper's order would have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from study.runner import Job
from study.verdicts import Claim, rising

from lexiseg.io.config_json import to_jsonable
from lexiseg.storybook.choices import Role
from lexiseg.training.recipes.opsnet_plus import opsnet_plus_tiny, opsnet_plus_tiny_classes, opsnet_plus_tiny_control
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe
from plus_study import work

START = "start"
ARMS: Mapping[str, Callable[..., OPSNetPlusRecipe]] = {
    "base": opsnet_plus_tiny_control,
    "classes": opsnet_plus_tiny_classes,
    "both": opsnet_plus_tiny,
}
"""The rows of Table 3. All have the same steps, on the same pictures with masks in the same order."""
TESTS: tuple[Role, ...] = ("novel", "dusk", "base", "semantic-only")

SUMMARY = (
    "novel PQ",
    "novel PQ unseen",
    "dusk PQ",
    "base PQ",
    "semantic-only mIoU",
    "semantic-only mIoU unseen",
)
"""The columns of the table."""
CLAIMS = (
    Claim(
        name="O11, Table 3, other names",
        says="ADE20K: OPSNet < with class supervision < with both (17.7 < 18.2 < 19.0).",
        comparisons=(
            *rising(("novel PQ", "novel PQ unseen"), *ARMS),
            *rising(("dusk PQ",), *ARMS, role="control"),
        ),
    ),
    Claim(
        name="O11, Table 3, training names",
        says="COCO: with class supervision < with both < OPSNet (51.3 < 51.7 < 52.4).",
        comparisons=rising(("base PQ",), "classes", "both", "base"),
    ),
    Claim(
        name="O13, Table 8",
        says="mIoU: OPSNet+ > OPSNet on ADE20K, Pascal Context and COCO (24.5 > 21.7, 54.3 > 52.2, 61.4 > 55.2).",
        comparisons=rising(("semantic-only mIoU", "semantic-only mIoU unseen"), "base", "both"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What makes the study cheaper or surer; the recipe's where nothing is said."""

    masks: int | None = None
    """Pictures with masks."""
    labels: int | None = None
    """Pictures with labels."""
    val: int = 100
    test: int = 200
    """Of each role."""
    steps: int | None = None
    batch_size: int | None = None
    """Of each kind of picture."""


def jobs_of(
    seeds: Sequence[int], sizes: Sizes, starts: Sequence[Mapping[str, str]], device: str
) -> tuple[dict[str, Job], list[str]]:
    """All jobs by name, and the runs that they end in: arm after arm, each with every seed.

    Args:
        seeds: of the trainings.
        sizes: of everything.
        starts: folder and hash (`start` and `weights`) of each OPSNet to go on from; the seeds take them in turn.
        device: where to compute.
    """
    jobs: dict[str, Job] = {}

    def add(name: str, act: Callable[..., Any], needs: Sequence[str] = (), **settings: Any) -> str:
        jobs[name] = Job(name=name, act=act, settings=settings, needs=tuple(needs))
        return name

    whole = opsnet_plus_tiny()
    masks = add("pictures/masks", work.draw, role="base", split="train", count=sizes.masks or whole.num_pictures)
    labels = add(
        "pictures/labels", work.draw, role="image-level", split="train", count=sizes.labels or whole.num_labelled
    )
    val = add("pictures/val", work.draw, role="base", split="val", count=sizes.val)
    tests = {role: add(f"pictures/{role}", work.draw, role=role, split="test", count=sizes.test) for role in TESTS}
    asked = {"val": val, "tests": tests, "device": device}
    pictures = [val, *tests.values()]
    runs: list[str] = []
    for seed in seeds:
        start = starts[seed % len(starts)]
        runs.append(
            add(f"runs/{START}-{seed}", work.measure, pictures, model=start["start"], weights=start["weights"], **asked)
        )
    for arm, recipe_of in ARMS.items():
        for seed in seeds:
            start = starts[seed % len(starts)]
            trained = add(
                f"train/{arm}-{seed}",
                work.train,
                [masks, labels],
                masks=masks,
                labels=labels,
                recipe=to_jsonable(_recipe(recipe_of(seed=seed), sizes)),
                device=device,
                **start,
            )
            made = {"model": f"{trained}/model", "weights": start["weights"]}
            runs.append(add(f"runs/{arm}-{seed}", work.measure, [trained, *pictures], **made, **asked))
    return jobs, runs


def _recipe(recipe: OPSNetPlusRecipe, sizes: Sizes) -> OPSNetPlusRecipe:
    return replace(
        recipe,
        steps=sizes.steps or recipe.steps,
        batch_size=sizes.batch_size or recipe.batch_size,
        labelled_batch_size=sizes.batch_size or recipe.labelled_batch_size,
    )
