"""`report.md`: an evaluation to be read, with its worst and best pictures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.core.files import write_atomically, writing
from lexiseg.core.tables import markdown_table, percent
from lexiseg.evaluation.diagnosis import Diagnosis
from lexiseg.evaluation.evaluator import Comparison
from lexiseg.evaluation.report import ImageScore, Report
from lexiseg.evaluation.semantic_diagnosis import SemanticDiagnosis

PAGE_FILE = "report.md"
PICTURES = "report-pictures"


def write_page(
    report: Report,
    diagnosis: Diagnosis | SemanticDiagnosis | None,
    worst: Sequence[ImageScore],
    best: Sequence[ImageScore],
    maps: Iterable[Comparison],
    folder: Path,
    about: Mapping[str, Any],
    draw: Callable[[Comparison, Path], None],
) -> Path:
    """Writes the page and its pictures; an earlier page is replaced.

    Args:
        report: the figures.
        diagnosis: what costs how much, if that was asked for.
        worst: the pictures with the lowest scores, the lowest first.
        best: likewise the best.
        maps: those of `worst` and then of `best`.
        folder: made if it is missing.
        about: names of the data and the model.
        draw: writes one of the maps as a picture: `evaluation` draws nothing itself.

    Returns:
        The page.

    Raises:
        ValueError: if the folder can't be written.
    """
    with writing(folder, ValueError, way_out="choose another folder for the report"):
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        lines = _figures(report, about)
        tables = (
            ("Classes, the best first", report.class_table()),
            *(diagnosis.tables() if diagnosis else ()),
        )
        for title, (heading, *rows) in tables:
            lines += [*_section(title), *markdown_table(heading, rows)]
        drawn = iter(maps)
        for title, kind, scored in (("Worst pictures", "worst", worst), ("Best pictures", "best", best)):
            lines += _section(title) if scored else []
            for number, image in enumerate(scored, start=1):
                shown = next(drawn)
                name = f"{PICTURES}/{kind}-{number}.png"
                draw(shown, folder / name)
                lines += [f"{image.name}: {percent(image.score or 0)}. Picture, truth, prediction.", ""]
                lines += [f"![{image.name}]({name})", ""]
        page = folder / PAGE_FILE
        write_atomically(page, "\n".join(lines).rstrip() + "\n")
    return page


def _figures(report: Report, about: Mapping[str, Any]) -> list[str]:
    data = {key: value for key, value in about["data"].items() if value is not None}
    ran = [
        ("data", ", ".join(f"{value}" if key == "name" else f"{key} {value}" for key, value in data.items())),
        ("model", str(about["model"])),
        ("task", report.settings.task or ""),
        ("pictures", str(report.num_pictures)),
        ("left out", str(len(report.unreadable))),
        ("pictures per second", f"{report.images_per_second:.1f}"),
        ("weights", report.weights),
        ("device, type", f"{report.device}, {report.dtype}"),
        ("similarity of the words to the training words", f"{report.domain_similarity:.3f}"),
        *((package, version) for package, version in report.versions.items()),
    ]
    heading, *rows = report.table()
    return [
        "# Evaluation",
        "",
        "Figures in percent.",
        "",
        *markdown_table(heading, rows),
        "",
        *markdown_table(("What ran", ""), ran),
        *(_section("Left out") if report.unreadable else ()),
        *(f"- {skipped.reason}" for skipped in report.unreadable),
    ]


def _section(title: str) -> list[str]:
    return ["", f"## {title}", ""]
