"""The report of one or more runs: one table in four formats, its pictures, and the selections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.io.files import prepare_target, write_bytes, write_json, write_text
from vidsemi.pipeline.results import is_transfer, read_results
from vidsemi.report.accuracy_plot import FLOPS, SPEED, plot_accuracy
from vidsemi.report.curves import FILES, curve_sections, curves_markdown
from vidsemi.report.drawing import Picture
from vidsemi.report.duplicates import duplicate_notes
from vidsemi.report.frequency_sections import COLUMNS as FREQUENCY_COLUMNS
from vidsemi.report.frequency_sections import FILES as FREQUENCY_FILES
from vidsemi.report.frequency_sections import frequency_markdown, frequency_sections
from vidsemi.report.hashtags import hashtag_sections, hashtags_markdown
from vidsemi.report.page import html_page
from vidsemi.report.paper import paper_lines
from vidsemi.report.records import as_csv, csv_text, records
from vidsemi.report.selections import selection_sections, selections_markdown
from vidsemi.report.speed import measure_speeds
from vidsemi.report.summary import Line, mark_fronts, summarize
from vidsemi.report.table import markdown, notes
from vidsemi.report.transfer import transfer_csv, transfer_lines, transfer_markdown, transfer_notes, transfer_records

if TYPE_CHECKING:
    from vidsemi.config import Runtime

    pass


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
    runs: Sequence[Path], output: Path, *, runtime: "Runtime | None" = None, paper: bool = False
) -> Written:
    """Write a report into a directory.

    Args:
        runs: run directories, none twice; with more than one, students carry the name of their run.
        output: where the files go.
        runtime: measure how fast the networks are on it; nothing is measured without.
        paper: put the rows of the paper's Table 7 beside the runs', and of Table 8 beside their transfers.

    Raises:
        UserError: a run has no results, or the machine not the device that is asked for.
    """
    named = dict(zip(run_names(runs), runs, strict=True))
    lines = _lines(named)
    prepare_target(output / "results.md")
    lines, speeds = measure_speeds(lines, runtime) if runtime else (lines, None)
    lines = mark_fronts([*lines, *(paper_lines() if paper else [])])
    measured, transfers = speeds is not None, transfer_lines(named, paper=paper)
    duplicates = duplicate_notes(named)
    table = (markdown(lines, speeds) if lines else "") + duplicates.markdown() + transfer_markdown(transfers)
    frequency = frequency_sections(named)
    by_group = [record for section in frequency for record in section.records]
    document = {
        "lines": records(lines, speed=measured),
        "speed": asdict(speeds.setting) if speeds else None,
        "notes": notes(lines, speeds) if lines else [],
        "duplicates": duplicates.document(),
        "class_frequency": by_group,
        "transfer": transfer_records(transfers),
        "transfer_notes": transfer_notes(transfers) if transfers else [],
    }
    title = ", ".join(named)
    sections, labels, curves = selection_sections(named), hashtag_sections(named), curve_sections(named)
    pictures = []
    for name, about, axis in (("accuracy_flops", "multiply-adds", FLOPS), ("accuracy_speed", "speed", SPEED)):
        if lines and (measured or axis is FLOPS):
            pictures.append(Picture(name, f"top-1 accuracy against {about}", plot_accuracy(lines, axis, "svg")))
            write_bytes(output / f"{name}.png", plot_accuracy(lines, axis, "png"))
        else:  # of an earlier report, whose table is gone
            for kind in ("svg", "png"):
                (output / f"{name}.{kind}").unlink(missing_ok=True)
    of_runs = [section.picture for section in frequency if section.picture]
    of_runs += [section.picture for section in curves]
    for picture in [*pictures, *of_runs]:
        write_bytes(output / f"{picture.name}.svg", picture.svg)
    links = "\n".join(f"![{picture.title}]({picture.name}.svg)\n" for picture in pictures)
    write_text(
        output / "results.md",
        f"# {title}\n\n{table}\n{links}{frequency_markdown(frequency)}{hashtags_markdown(labels)}"
        f"{selections_markdown(sections)}{curves_markdown(curves)}",
    )
    write_text(output / "results.csv", csv_text(lines, speed=measured))
    if transfers:
        write_text(output / "transfer.csv", transfer_csv(transfers))
    else:
        (output / "transfer.csv").unlink(missing_ok=True)
    write_json(output / "report.json", document)
    page = html_page(
        title,
        lines,
        pictures,
        sections,
        speeds,
        labels,
        curves=curves,
        frequency=frequency,
        transfers=transfers,
        duplicates=duplicates,
    )
    write_text(output / "report.html", page)
    if by_group:
        write_text(output / f"{FREQUENCY_FILES}.csv", as_csv(FREQUENCY_COLUMNS, by_group))
    else:
        (output / f"{FREQUENCY_FILES}.csv").unlink(missing_ok=True)
    named_now = {f"{picture.name}.svg" for picture in of_runs}
    for file in [*output.glob(f"{FILES}*.svg"), *output.glob(f"{FREQUENCY_FILES}*.svg")]:
        if file.name not in named_now:  # an earlier report may have had more runs
            file.unlink()
    return Written(table, document)


def _lines(runs: Mapping[str, Path]) -> list[Line]:
    """The lines of all runs on the test set of D, each student with the name of its run where there are several."""
    lines = []
    for name, run in runs.items():
        rows = [row for row in read_results(run) if not is_transfer(row)]
        lines += summarize(rows, name, run, prefix=f"{name}/" if len(runs) > 1 else "")
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
