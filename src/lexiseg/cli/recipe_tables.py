"""What `lexiseg train` prints of recipes and data before anything is trained."""

from lexiseg.cli.console import note, say, show
from lexiseg.training.clip.contrastive import ClipRecipe
from lexiseg.training.clip.grounding import GroundingRecipe
from lexiseg.training.launch import describe, find_recipe, recipe_names
from lexiseg.training.recipes.own import is_own
from lexiseg.training.recipes.summary import count_parameters, count_pictures, estimate_memory, list_fields
from lexiseg.training.segmentation.data_check import DataReport
from lexiseg.training.segmentation.recipe import TrainingRecipe

FINE, FLAWED = 0, 3
"""Exit codes of a check, as those of `lexiseg data check`."""


def show_recipes() -> None:
    """Prints a line per recipe: what it makes, of how many pictures, and where they come from."""
    rows = [(name, describe(name), *_size(name)) for name in recipe_names()]
    columns = ("recipe", "what it makes", "steps x batch", "seen in all", "pictures")
    show("", columns, rows, right=columns[2:4])
    note("All of one: lexiseg train NAME --show. Your own: lexiseg train path/to/file.py:function, which returns one.")


def show_recipe(name: str, *, seed: int) -> None:
    """Prints all of a recipe: its fields, its parameters, how much it looks at and what memory it takes.

    Raises:
        ValueError: if there is no such recipe.
    """
    recipe = find_recipe(name, seed=seed)
    say(name if is_own(name) else f"{name}: {describe(name)}")
    show("", ("field", "value"), list(list_fields(recipe)))
    parts = count_parameters(recipe)
    if parts:
        trained, frozen = sum(part.num_trained for part in parts), sum(part.num_frozen for part in parts)
        counts = [*((part.name, part.num_trained, part.num_frozen) for part in parts), ("all", trained, frozen)]
        rows = [(part, f"{one / 1e6:.2f}", f"{other / 1e6:.2f}") for part, one, other in counts]
        show("Parameters in millions", ("part", "trained", "frozen"), rows, right=("trained", "frozen"))
    else:
        say("Its parameters depend on the weights that it begins from.")
    if pictures := count_pictures(recipe):
        say(f"It looks at {pictures:,} pictures or pairs, repeats included.")
    if isinstance(recipe, TrainingRecipe) and (memory := estimate_memory(recipe)):
        say(
            f"Estimated memory of one process: {_gib(memory.weights)} for weights, gradients and moments, and "
            f"{_gib(memory.activations)} for every picture of its share of the batch; "
            f"{_gib(memory.weights + recipe.batch_size * memory.activations)} where it has all {recipe.batch_size}. "
            "Losses and the allocator take more."
        )


def show_report(name: str, report: DataReport) -> int:
    """Prints what a check found; returns the exit code."""
    if report.num_pictures:
        say(f"{name} has {report.num_pictures} pictures.")
    for sentence in report.problems:
        say(f"Problem: {sentence}")
    for sentence in report.notes:
        say(f"Note: {sentence}")
    if report.problems:
        return FLAWED
    say("The training can begin.")
    return FINE


def _size(name: str) -> tuple[str, str, str]:
    """Steps and batch, pictures in all, and where they come from; empty where the recipe leaves it open."""
    try:
        recipe = find_recipe(name)
    except ValueError:  # several in a row
        return "", "", ""
    seen = count_pictures(recipe)
    shown = f"{seen / 1e6:.2f} M" if seen else ""
    if isinstance(recipe, ClipRecipe | GroundingRecipe):
        return f"{sum(phase.steps for phase in recipe.phases):,}", shown, "drawn"
    steps = f"{recipe.steps:,} x {recipe.batch_size}" if recipe.steps else ""
    num_drawn = recipe.num_pictures if isinstance(recipe, TrainingRecipe) else 0
    return steps, shown, f"{num_drawn:,} drawn" if num_drawn else "--data"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
