"""`report`: the results of runs on one page."""

from collections.abc import Sequence
from os import PathLike

from vidsemi.api.arguments import PathArgument, check_count, place_of, runtime_of
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.io.store import Place
from vidsemi.reporting.previews import MAX_COUNT, preview_maker
from vidsemi.reporting.write import Report, write_report
from vidsemi.runtime.process import usable_cores


def report(
    runs: PathArgument | Sequence[PathArgument],
    output: PathArgument | None = None,
    *,
    paper: bool = False,
    speed: bool = True,
    device: str = "auto",
    clips_per_forward: int | None = None,
    previews: int | None = None,
    progress: ShowProgress = None,
) -> Report:
    """Report accuracy beside FLOPs and speed of one or more runs: report.html, results.md, results.csv and plots.

    Args:
        runs: output directory of a run or its address in a bucket (s3://bucket/run), or several.
        output: directory or address for the report; by default that of the run, if there is one.
        paper: add the rows of the paper's tables 7 and 8.
        speed: time the networks on this machine.
        device: where to time them; "auto" is a GPU if there is one.
        clips_per_forward: batch size to time them with; by default 10 on a CPU, else 64.
        previews: examples to show of each class of a selection, and six times as many of the worst mistakes; 0 for
            none. By default four, as far as their previews can be made in a minute.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the report: its files, its first sections as text, and its content as a document.

    Raises:
        UserError: a run has no results, or several runs have no output.
    """
    folders = _folders(runs)
    if output is None and len(folders) > 1:
        raise UserError("report.missing_output", "a report of several runs needs --output")
    if len({run.resolve() for run in folders}) < len(folders):
        raise UserError("report.repeated_run", "a run is named twice; name each run once")
    if previews is not None:
        check_count("previews", previews, MAX_COUNT, least=0)
    target = folders[0] if output is None else place_of("output", output)
    runtime = runtime_of(device, None, clips_per_forward=clips_per_forward) if speed else None
    maker = preview_maker(previews, usable_cores())
    with show_progress(progress):
        return write_report(folders, target, runtime=runtime, paper=paper, previews=maker)


def _folders(runs: PathArgument | Sequence[PathArgument]) -> list[Place]:
    if isinstance(runs, str | PathLike):
        return [place_of("runs", runs)]
    if not isinstance(runs, Sequence) or not runs:
        raise UserError("options.invalid", f"runs is {runs!r}; give the output directory of a run, or a list of them")
    return [place_of("runs", one) for one in runs]
