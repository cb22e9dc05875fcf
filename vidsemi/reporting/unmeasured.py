"""Networks of runs without a test set: where their weights are."""

from collections.abc import Sequence

from vidsemi.io.errors import UserError
from vidsemi.pipeline.record import read_record
from vidsemi.pipeline.stage import WEIGHTS
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section, Table

PATTERN = "seed*/*/distilled/pretrain"
UNMEASURED = "No accuracy has been measured: a run without a test set (data.test) measures none."


def unmeasured_sections(runs: Sequence[RunResults]) -> list[Section]:
    """A section with the trained networks of the runs that have no results."""
    rows = []
    for run in runs:
        found = {*run.folder.glob(PATTERN), *run.folder.glob(f"*/{PATTERN}")}  # variants have folders of their own
        for folder in sorted(found) if not run.rows else ():
            try:
                record = read_record(folder)
            except UserError:  # damaged; the run itself reports it
                continue
            if record is not None and record.get("status") == "done":
                own = folder.relative_to(run.folder)
                student = "/".join(own.parts[:-2])
                rows.append((*([run.name] if len(runs) > 1 else []), student, str(own / WEIGHTS)))
    if not rows:
        return []
    header = (*(["run"] if len(runs) > 1 else []), "network", "weights")
    return [Section("Trained networks", lead=[UNMEASURED], tables=[Table(header, rows, text_columns=len(header))])]
