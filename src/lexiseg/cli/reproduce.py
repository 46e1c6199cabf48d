"""`lexiseg reproduce`."""

from lexiseg.cli.console import FINE, note, say, show
from lexiseg.cli.options.reproduce import ReproduceOptions
from lexiseg.core.messages import few
from lexiseg.studies.reproduce import ALL, known_names, prepare
from lexiseg.studies.worlds import PRESETS, World


def run_reproduce(options: ReproduceOptions) -> int:
    """Tries tables, figures and claims, and writes what was found; a later call goes on where one stopped.

    Raises:
        ValueError: if a name, the data, the model or the folder is of no use, or a unit of the work fails.
    """
    if options.list_names:
        show("", ("name", "paper", "what it is"), known_names())
        return FINE
    assert options.out is not None, "the options have checked it"
    world = World(model=options.model, root=options.root)
    work = prepare(options.names or [ALL], world, PRESETS[options.preset], options.out, seeds=options.seeds)
    if work.missing:
        note(f"lexiseg: left out: {few(work.missing)}.")
    for told in work.plan.notes:
        note(f"lexiseg: {told}")
    todo = work.store.todo(work.targets)
    if todo:
        note(
            f"lexiseg: {len(todo)} pieces of work, about {_time(work.hours)} on one core, "
            f"{_time(work.hours / options.jobs)} on {options.jobs}; what is finished is kept in {options.out}."
        )

    def report(name: str, seconds: float, left: int) -> None:
        note(f"lexiseg: {name} ({seconds:.0f} s), {left} left")

    page = work.run(jobs=options.jobs, report=report)
    say(f"Results: {page}.")
    return FINE


def _time(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} minutes"
