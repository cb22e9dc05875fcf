"""Write the report of one or more runs."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.io.files import prepare_target, write_bytes, write_json, write_text
from vidsemi.io.store import Place
from vidsemi.io.tables import csv_text, markdown
from vidsemi.reporting.accuracy import accuracy_sections, several_test_sets
from vidsemi.reporting.answer import answer_section
from vidsemi.reporting.buckets import local_run, page_folder
from vidsemi.reporting.calibration import calibration_sections
from vidsemi.reporting.caveats import caveats
from vidsemi.reporting.class_changes import class_sections
from vidsemi.reporting.class_frequency import frequency_sections
from vidsemi.reporting.confusion import confusion_sections
from vidsemi.reporting.duplicates import duplicates_section
from vidsemi.reporting.gains import gains_section
from vidsemi.reporting.hashtags import hashtag_sections
from vidsemi.reporting.machines import machines_section
from vidsemi.reporting.mistakes import mistake_sections
from vidsemi.reporting.page_files import write_page
from vidsemi.reporting.paper import table_7
from vidsemi.reporting.plan_and_reality import plan_sections
from vidsemi.reporting.precision import precision_sections
from vidsemi.reporting.previews import PreviewMaker
from vidsemi.reporting.render import to_markdown
from vidsemi.reporting.results import RunResults, average_seeds, by_test_set, load_runs, mark_pareto_fronts
from vidsemi.reporting.section import Section
from vidsemi.reporting.selected_examples import selected_sections
from vidsemi.reporting.selections import selection_sections
from vidsemi.reporting.speed import measure_speeds
from vidsemi.reporting.training_curves import curve_sections
from vidsemi.reporting.transfer import transfer_sections
from vidsemi.reporting.unmeasured import unmeasured_sections
from vidsemi.reporting.variants import variant_sections

if TYPE_CHECKING:
    from vidsemi.config import Runtime

DETAILS: tuple[Callable[[Sequence[RunResults]], list[Section]], ...] = (
    frequency_sections,
    class_sections,
    confusion_sections,
    calibration_sections,
    hashtag_sections,
    selection_sections,
    precision_sections,
    curve_sections,
    plan_sections,
)
CSV_FILES = {  # → key of report.json
    "results.csv": "lines",
    "gains.csv": "gains",
    "transfer.csv": "transfer",
    "class_frequency.csv": "class_frequency",
    "selection_classes.csv": "selection_classes",
    "precision_classes.csv": "precision_classes",
}
CSV_ONLY = ("selection_classes", "precision_classes")  # a line per selection and class is too much for report.json
STALE = (
    *CSV_FILES,
    *(
        f"accuracy_{axis}{number}.{kind}"
        for axis in ("flops", "speed")
        for kind in ("svg", "png")
        for number in ("", "_*")
    ),
)
STALE += (
    "class_frequency*.svg",
    "training_curves*.svg",
    "variants*.svg",
    "variants*.png",
)  # an earlier report may have had more runs


@dataclass(frozen=True)
class Report:
    """A written report.

    Args:
        text: its first sections in Markdown, for a terminal.
        document: the content of report.json.
        runs: the results of each run.
        output: directory or address of its files, report.html and others.
    """

    text: str
    document: dict[str, Any]
    runs: Sequence[RunResults]
    output: Place


def write_report(
    folders: Sequence[Place],
    output: Place,
    *,
    runtime: "Runtime | None" = None,
    paper: bool = False,
    previews: PreviewMaker | None = None,
) -> Report:
    """Write a report, and remove the files of an earlier one that it does not have.

    Args:
        folders: output directories of runs or their addresses, none twice; with more than one, students carry the
            name of their run.
        output: directory or address for the files.
        runtime: what to measure the networks' speed on; None measures nothing.
        paper: add the paper's Table 7, and its Table 8 if a transfer target is named cub200.
        previews: shows examples that were selected, and the worst mistakes; None shows none.

    Raises:
        UserError: a run has no results, or the machine does not have the device.
    """
    with ExitStack() as stack:
        shows = previews is not None and previews.count > 0
        local = [stack.enter_context(local_run(folder, previews=shows)) for folder in folders]
        runs = load_runs(local, folders)
        target = stack.enter_context(page_folder(output, "report_files"))
        summary, document = _write(runs, target, runtime, paper, previews)
    return Report(to_markdown(summary, plots=False), document, runs, output)


def _write(
    runs: Sequence[RunResults], output: Path, runtime: "Runtime | None", paper: bool, previews: PreviewMaker | None
) -> tuple[Sequence[Section], dict[str, Any]]:
    """Write the files; returns the first sections, and the content of report.json."""
    prepare_target(output / "results.md")
    results = average_seeds(runs)
    results, speeds = measure_speeds(results, runtime) if runtime else (results, None)
    groups = by_test_set([*results, *(table_7() if paper else [])])
    summary = answer_section(groups, runs, [*several_test_sets(groups), *caveats(runs)]) + unmeasured_sections(runs)
    summary += accuracy_sections([mark_pareto_fronts(group) for group in groups], speeds)
    summary += [*variant_sections(runs), *gains_section(runs)]
    summary += [duplicates_section(runs), *transfer_sections(runs, paper=paper)]
    sections = [*summary, *(section for sections_of in DETAILS for section in sections_of(runs))]
    if previews is not None and previews.count:
        sections += [*selected_sections(runs, previews), *mistake_sections(runs, previews)]
    sections += [machines] if (machines := machines_section(runs)) else []
    document = _document(sections)
    title = ", ".join(run.name for run in runs)
    write_text(output / "results.md", f"# {markdown(title)}\n\n{to_markdown(sections)}")
    write_page(output / "report.html", title, sections)
    files = {name: csv_text(document[key]).encode() for name, key in CSV_FILES.items() if document[key]}
    for key in CSV_ONLY:
        del document[key]
    write_json(output / "report.json", document)
    for section in sections:
        for plot in section.plots:
            files |= plot.files
    _write_files(output, files)
    return summary, document


def _document(sections: Sequence[Section]) -> dict[str, Any]:
    """The content of report.json; all keys are always there."""
    document: dict[str, Any] = {"lines": [], "speed": None, "notes": [], "duplicates": None, "class_frequency": []}
    document |= {"gains": [], "transfer": [], "transfer_notes": [], "precision": [], "caveats": [], "answer": []}
    document |= {"plan": [], "previews": [], "selections": [], **{key: [] for key in CSV_ONLY}}
    for section in sections:
        for key, value in section.data.items():
            document[key] = [*document[key], *value] if isinstance(value, list) else value
    return document


def _write_files(output: Path, files: dict[str, bytes]) -> None:
    for pattern in STALE:
        for file in output.glob(pattern):
            if file.name not in files:
                file.unlink()
    for name, content in files.items():
        write_bytes(output / name, content)
