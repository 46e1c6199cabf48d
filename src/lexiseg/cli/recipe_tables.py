"""What `lexiseg train` prints of recipes and data before anything is trained."""

from lexiseg.cli.console import FINE, FLAWED, cut, note, say, show, width
from lexiseg.cli.data import show_census
from lexiseg.training.launch import describe, find_recipe
from lexiseg.training.recipes import grouped_names
from lexiseg.training.recipes.own import is_own
from lexiseg.training.recipes.summary import count_parameters, estimate_memory, list_answers, list_fields
from lexiseg.training.segmentation.data_check import DataReport
from lexiseg.training.segmentation.recipe import TrainingRecipe


def show_recipes() -> None:
    """Prints a line per recipe with what it makes, grouped by what people want."""
    groups = grouped_names()
    room = max(len(name) for names in groups.values() for name in names)
    for title, names in groups.items():
        say(f"{title}:")
        for name in names:
            say(f"  {name:<{room}}  {cut(describe(name), width() - room - 4)}")
        say("")
    note("All of one: lexiseg train NAME --show. Your own: lexiseg train path/to/file.py:function, which returns one.")


def show_recipe(name: str, *, seed: int) -> None:
    """Prints all of a recipe: its fields, its parameters, how much it looks at and what memory it takes.

    Raises:
        ValueError: if there is no such recipe.
    """
    recipe = find_recipe(name, seed=seed)
    say(f"{name}\n" if is_own(name) else f"{name}: {describe(name)}\n")
    show("", ("field", "value"), list(list_fields(recipe)))
    if answers := list_answers(recipe):
        show("How its model answers unless told otherwise", ("field", "value"), answers)
    parts = count_parameters(recipe)
    if parts:
        trained, frozen = sum(part.num_trained for part in parts), sum(part.num_frozen for part in parts)
        counts = [*((part.name, part.num_trained, part.num_frozen) for part in parts), ("all", trained, frozen)]
        rows = [(part, f"{one / 1e6:.2f}", f"{other / 1e6:.2f}") for part, one, other in counts]
        show("Parameters in millions", ("part", "trained", "frozen"), rows, right=("trained", "frozen"))
    else:
        say("Its parameters depend on the weights that it begins from.")
    if pictures := recipe.count_pictures():
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
    if report.census is not None:
        show_census(report.census)
    for sentence in report.facts:
        say(sentence)
    for sentence in report.problems:
        say(f"Problem: {sentence}")
    for sentence in report.notes:
        say(f"Note: {sentence}")
    if report.problems:
        return FLAWED
    say("The training can begin.")
    return FINE


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
