"""The report of one or more runs: one table in four formats, its pictures, and the selections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.files import prepare_target, write_bytes, write_json, write_text
from vidsemi.report.accuracy_plot import FLOPS, SPEED, plot_accuracy
from vidsemi.report.curves import FILES, curve_sections, curves_markdown
from vidsemi.report.drawing import Picture
from vidsemi.report.duplicates import duplicate_notes
from vidsemi.report.hashtags import hashtag_sections, hashtags_markdown
from vidsemi.report.page import html_page
from vidsemi.report.paper import paper_lines
from vidsemi.report.records import csv_text, records
from vidsemi.report.selections import selection_sections, selections_markdown
from vidsemi.report.speed import measure_speeds
from vidsemi.report.summary import Line, mark_fronts, summarize
from vidsemi.report.table import markdown, notes
from vidsemi.results import read_results

if TYPE_CHECKING:
    from vidsemi.config import Machine


@dataclass(frozen=True)
class Written:
    """What a report says.

    Attributes:
        table: in Markdown.
        document: the content of report.json.
    """

    table: str
    document: dict[str, Any]


def write_report(
    runs: Sequence[Path], output: Path, *, machine: "Machine | None" = None, paper: bool = False
) -> Written:
    """Write a report into a directory.

    Args:
        runs: run directories, none twice; with more than one, students carry the name of their run.
        output: where the files go.
        machine: measure how fast the networks are on it; nothing is measured without.
        paper: put the rows of the paper's Table 7 beside the runs'.

    Raises:
        UserError: a run has no results, or the machine not the device that is asked for.
    """
    named = dict(zip(run_names(runs), runs, strict=True))
    lines = _lines(named)
    prepare_target(output / "results.md")
    lines, speeds = measure_speeds(lines, machine) if machine else (lines, None)
    lines = mark_fronts([*lines, *(paper_lines() if paper else [])])
    measured = speeds is not None
    duplicates = duplicate_notes(named)
    table = markdown(lines, speeds) + duplicates.markdown()
    document = {
        "lines": records(lines, speed=measured),
        "speed": asdict(speeds.setting) if speeds else None,
        "notes": notes(lines, speeds),
        "duplicates": duplicates.document(),
    }
    title = ", ".join(named)
    sections, labels, curves = selection_sections(named), hashtag_sections(named), curve_sections(named)
    pictures = [Picture("accuracy_flops", "top-1 accuracy against multiply-adds", plot_accuracy(lines, FLOPS, "svg"))]
    write_bytes(output / "accuracy_flops.png", plot_accuracy(lines, FLOPS, "png"))
    if measured:
        pictures.append(Picture("accuracy_speed", "top-1 accuracy against speed", plot_accuracy(lines, SPEED, "svg")))
        write_bytes(output / "accuracy_speed.png", plot_accuracy(lines, SPEED, "png"))
    for picture in [*pictures, *(section.picture for section in curves)]:
        write_bytes(output / f"{picture.name}.svg", picture.svg)
    links = "\n".join(f"![{picture.title}]({picture.name}.svg)\n" for picture in pictures)
    write_text(
        output / "results.md",
        f"# {title}\n\n{table}\n{links}{hashtags_markdown(labels)}{selections_markdown(sections)}"
        f"{curves_markdown(curves)}",
    )
    write_text(output / "results.csv", csv_text(lines, speed=measured))
    write_json(output / "report.json", document)
    write_text(output / "report.html", html_page(title, lines, pictures, sections, speeds, labels, curves, duplicates))
    named_now = {f"{section.picture.name}.svg" for section in curves}
    for file in output.glob(f"{FILES}*.svg"):  # an earlier report may have had more runs
        if file.name not in named_now:
            file.unlink()
    if not measured:  # of an earlier report, whose table is gone
        for kind in ("svg", "png"):
            (output / f"accuracy_speed.{kind}").unlink(missing_ok=True)
    return Written(table, document)


def _lines(runs: Mapping[str, Path]) -> list[Line]:
    """The lines of all runs, each student with the name of its run where there are several."""
    lines = []
    for name, run in runs.items():
        lines += summarize(read_results(run), name, run, prefix=f"{name}/" if len(runs) > 1 else "")
    return lines


def run_names(runs: Sequence[Path]) -> list[str]:
    """A name for each run, made of the last parts of its path: of as few as tell the runs apart.

    Args:
        runs: directories, none of them twice.
    """
    paths = [run.resolve() for run in runs]
    most = max(len(path.parts) for path in paths)
    names = ([str(Path(*path.parts[-parts:])) for path in paths] for parts in range(1, most + 1))
    return next(found for found in names if len(set(found)) == len(runs))
