"""Weights of a run → what the run's records say of them: their teacher, their selection, their test results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.data.dedup.checks import Check, read_checks
from vidsemi.io.errors import UserError
from vidsemi.pipeline.record import read_record
from vidsemi.pipeline.results import RESULTS, is_transfer, read_results

WITNESSES = ("recipe", "seed", "init_from", "c")  # what both weights and the record of their stage say


@dataclass(frozen=True)
class Lineage:
    """What the records of a run say of some weights; None or empty where they say nothing.

    Attributes:
        output: directory of the run.
        row: of results.json, with the test of these weights.
        selection: metrics of the stage that selected the pseudo-labels.
        teachers: of each teacher the fields of the stage that trained or imported it, and its row of results.json.
        fine_tuned: whether the network saw labels after the pseudo-labels.
        checks: for duplicates of the run's test set.
        command: that ran the last stage.
    """

    output: Path
    row: Mapping[str, Any] | None
    selection: Mapping[str, Any] | None
    teachers: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]
    fine_tuned: bool
    checks: list[Check] | None
    command: str | None


def lineage_of(weights: Path, provenance: Mapping[str, Any]) -> Lineage | None:
    """Find the run of a weights file by its place; None if it is in no run, or is not the file that the run wrote.

    Args:
        weights: the file.
        provenance: that of the file, which has to match the record beside it.
    """
    folder = weights.resolve().parent
    try:
        record = read_record(folder)
        if record is None or record.get("status") != "done" or not _wrote(record, provenance):
            return None
        output = _output_of(folder, record)
        rows = read_results(output) if (output / RESULTS).exists() else []
        records = dict(_ancestors(output, record))
    except (UserError, KeyError, TypeError, ValueError, AttributeError):  # damaged, or edited by hand
        return None
    by_weights = {(output / str(row.get("weights"))).resolve(): row for row in rows[::-1] if not is_transfer(row)}
    selection = next((own for own in records.values() if "per_class" in own["fields"]), None)
    inputs = (name for own in records.values() if "teacher" in own["fields"] for name in own["inputs"])
    teachers = sorted({name for name in inputs if name in records})
    checks = read_checks(output)
    command = record.get("command")
    return Lineage(
        output=output,
        row=by_weights.get(weights.resolve()),
        selection=selection and selection["metrics"],
        teachers=[
            (records[name]["fields"], by_weights.get((output / name / weights.name).resolve())) for name in teachers
        ],
        fine_tuned=not any("per_class" in own["fields"] for name, own in records.items() if name in record["inputs"]),
        checks=checks and [check for check in checks if check.test == "test"],
        command=command if isinstance(command, str) else None,
    )


def _wrote(record: Mapping[str, Any], provenance: Mapping[str, Any]) -> bool:
    """Whether the stage of a record wrote weights of this provenance."""
    fields = record["fields"]
    known = [key for key in WITNESSES if key in fields and key in provenance and not _is_stage(record, fields[key])]
    return bool(known) and all(json.dumps(fields[key]) == json.dumps(provenance[key]) for key in known)


def _is_stage(record: Mapping[str, Any], value: Any) -> bool:
    """Whether a field is another stage: its fingerprint, where weights have that of the stage's file."""
    return value in record["inputs"].values()


def _output_of(folder: Path, record: Mapping[str, Any]) -> Path:
    """The run's directory: a stage is named by its folder there."""
    name = Path(record["stage"])
    if folder.parts[-len(name.parts) :] != name.parts:
        raise ValueError("the folder has another name")
    return folder.parents[len(name.parts) - 1]


def _ancestors(output: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of the stages that a stage was made from, the nearest first."""
    todo, seen = [*record["inputs"]], set()
    while todo:
        name = todo.pop(0)
        if name in seen:
            continue
        seen.add(name)
        own = read_record(output / name)
        if own is not None and own["fingerprint"] == record["inputs"].get(name, own["fingerprint"]):
            yield name, own
            todo += [*own["inputs"]]
