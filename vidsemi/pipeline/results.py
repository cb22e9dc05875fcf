"""results.json: a row for each tested network, then one for each network, transfer target and protocol."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import write_json
from vidsemi.pipeline.stage import PlannedRow, Stage
from vidsemi.pipeline.stages import CLASSES, PREDICTIONS

RESULTS = "results.json"
TEXTS = ("student", "approach")
PROTOCOLS = ("full_ft", "fc_only")
OPTIONAL_TEXTS = ("variant", "varied", "test_set", "test_manifest")
OF_TRANSFER = ("transfer", "protocol")  # texts, too: the target's name, and full_ft or fc_only
NUMBERS = ("seed", "top1", "top5", "mean_class_top1", "views", "gmacs_per_view", "parameters")
OPTIONAL_NUMBERS = ("read", "total", "frames", "crops", "gmacs_per_video", "train_read", "train_total")

MEANS = ("top1", "top5", "mean_class_top1")  # how the metrics of several splits become those of one row
SUMS = ("read", "total", "train_read", "train_total")
LISTS = ("c", "validation_examples", "validation_top1")  # one entry a split
COSTS = ("views", "gmacs_per_view", "gmacs_per_video", "parameters")  # of the split with most views; classes may differ


class Results:
    """The rows of results.json while a plan is executed: those of its stages that are done, and rows of other plans."""

    def __init__(
        self, output: Path, planned: Sequence[PlannedRow], folders: Mapping[str, str], earlier: Sequence[dict[str, Any]]
    ):
        self._output, self._planned, self._folders = output, planned, folders
        self._earlier = [row for row in earlier if self._is_kept(row)]
        self._metrics: dict[str, dict[str, Any]] = {}
        self._of_plan = {stage.fingerprint for row in planned for stage in row.stages}

    def add(self, stage: Stage, metrics: dict[str, Any]) -> bool:
        """Add the metrics of a stage that is done; whether a row depends on them."""
        self._metrics[stage.fingerprint] = metrics
        return stage.fingerprint in self._of_plan

    def rows(self) -> list[dict[str, Any]]:
        """Rows of this plan, then of other plans: first those of the run's own test set, then those of transfers."""
        rows = [row for planned in self._planned if (row := self._row(planned))]
        return sorted([*rows, *self._earlier], key=is_transfer)  # a stable sort

    def write(self) -> None:
        """Write results.json."""
        write_json(self._output / RESULTS, self.rows())

    def _row(self, planned: PlannedRow) -> dict[str, Any] | None:
        metrics = [self._metrics.get(stage.fingerprint) for stage in planned.stages]
        done = [own for own in metrics if own is not None]
        if len(done) < len(metrics):
            return None
        row = {**planned.names, **over_splits(done), **planned.test_set, "weights": planned.weights(self._folders)}
        if planned.variant:
            row["varied"] = planned.varied
        if planned.target is None and isinstance(planned.network, Stage):
            validation = self._metrics.get(planned.network.fingerprint, {}).get("validation")
            row |= {"validation_top1": validation[validation["kept"]]["top1"]} if validation else {}
        folder = self._folders[planned.stages[0].fingerprint]
        for key, name in (("classes", CLASSES), ("predictions", PREDICTIONS)):
            if planned.target is None and (self._output / folder / name).is_file():
                row[key] = f"{folder}/{name}"
        return row

    def _is_kept(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of results.json stays: this plan does not replace it, and its weights still exist."""
        planned = [own for own in self._planned if (own.target is not None) == is_transfer(row)]
        if any(own.names.items() <= row.items() for own in planned):
            return False
        if not is_transfer(row):
            if not planned:  # `vidsemi transfer` leaves the rows of a run alone
                return True
            if any(
                (own.student, own.weights(self._folders)) == (row["student"], row.get("weights")) for own in planned
            ):
                return False  # the approach was renamed
        return (self._output / str(row.get("weights"))).exists()


def over_splits(metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of the splits of a target as those of one row: accuracies are averaged, counts of examples added."""
    if len(metrics) == 1:
        return dict(metrics[0])
    alike = {key: value for key, value in metrics[0].items() if all(own.get(key) == value for own in metrics)}
    costliest = max(metrics, key=lambda own: own["views"])
    row: dict[str, Any] = {**alike, **{key: costliest[key] for key in COSTS}}
    row |= {key: sum(own[key] for own in metrics) / len(metrics) for key in MEANS}
    row |= {key: sum(own[key] for own in metrics) for key in SUMS if key in metrics[0]}
    row |= {key: [own[key] for own in metrics] for key in LISTS if key in metrics[0]}
    if "converged" in metrics[0]:
        row["converged"] = all(own["converged"] for own in metrics)
    return {**row, "splits": [own["top1"] for own in metrics]}


def read_results(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's results.json; a UserError if it does not hold results."""
    file = run / RESULTS
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("results.missing", f"{run} has no {RESULTS}: no network has been evaluated yet") from None
    except (OSError, ValueError) as error:
        raise UserError("results.unreadable", f"cannot read {file}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_result(row) for row in rows):
        needed = ", ".join([*TEXTS, *NUMBERS])
        raise UserError("results.invalid_row", f"{file} does not hold results: each row needs {needed}")
    return rows


def is_transfer(row: Mapping[str, Any]) -> bool:
    """Whether a row is the result of a transfer, and not of the run's own test set."""
    return "transfer" in row


def _is_result(row: dict[str, Any]) -> bool:
    texts = all(isinstance(row.get(name), str) for name in (*TEXTS, *(OF_TRANSFER if is_transfer(row) else ())))
    texts &= all(isinstance(row.get(name, ""), str) for name in OPTIONAL_TEXTS)
    others = all(isinstance(row.get(name, 0), int | float) for name in OPTIONAL_NUMBERS)
    needed = all(isinstance(row.get(name), int | float) and row[name] >= 0 for name in NUMBERS)
    splits = row.get("splits", [])
    lists = isinstance(splits, list) and all(isinstance(top1, int | float) for top1 in splits)
    return texts and others and needed and lists and (not is_transfer(row) or row["protocol"] in PROTOCOLS)
