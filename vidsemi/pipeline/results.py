"""results.json: one row a network that was evaluated (contract 4.5), then one a network, target and protocol."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError

TEXTS = ("student", "approach")
PROTOCOLS = ("full_ft", "fc_only")
OF_TRANSFER = ("transfer", "protocol")  # texts, too: the target's name, and full_ft or fc_only
MAY_BE_NUMBERS = (
    "read",
    "total",
    "frames",
    "crops",
    "gmacs_per_video",
    "train_read",
    "train_total",
)  # in files of older versions they are not there
NUMBERS = ("seed", "top1", "top5", "mean_class_top1", "views", "gmacs_per_view", "parameters")


def read_results(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's results.json.

    Raises:
        UserError: there is none, or it is not a list of results.
    """
    file = run / "results.json"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{run} has no results.json: no network of this run has been evaluated yet") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_result(row) for row in rows):
        raise UserError(f"{file} does not hold results: each row needs {', '.join([*TEXTS, *NUMBERS])}")
    return rows


def is_transfer(row: Mapping[str, Any]) -> bool:
    """Whether a row tells of a transfer, and not of the test set of D."""
    return "transfer" in row


def _is_result(row: dict[str, Any]) -> bool:
    texts = all(isinstance(row.get(name), str) for name in (*TEXTS, *(OF_TRANSFER if is_transfer(row) else ())))
    others = all(isinstance(row.get(name, 0), int | float) for name in MAY_BE_NUMBERS)
    needed = all(isinstance(row.get(name), int | float) and row[name] >= 0 for name in NUMBERS)
    splits = row.get("splits", [])
    lists = isinstance(splits, list) and all(isinstance(top1, int | float) for top1 in splits)
    return texts and others and needed and lists and (not is_transfer(row) or row["protocol"] in PROTOCOLS)
