"""Which datasets were checked for duplicates of which test sets, from the records beside their manifests."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from vidsemi.data.manifest import Manifest
from vidsemi.io.files import write_json
from vidsemi.io.store import Place

FORMAT = 2
FILE = "duplicates.json"  # in a run's directory
TEST_COUNTS = ("max_distance", "exact", "near", "unread", "flat")  # per test set, in the record beside a manifest
DATASET_COUNTS = ("unread", "flat")  # of the dataset itself, in the record
RECORD_SUFFIX = ".duplicates.json"  # replaces the suffix of the manifest


P = TypeVar("P", bound=Place)


def record_file(manifest: P) -> P:
    """The record of what a manifest was checked against."""
    return cast(P, manifest.with_suffix(RECORD_SUFFIX))


@dataclass(frozen=True)
class Check:
    """A dataset and a test set, by their names in the config and their manifests' files.

    Attributes:
        manifest: empty if there is none, see `unknown_checks`.
        counts: `TEST_COUNTS`, and `DATASET_COUNTS` as `dataset_unread` and `dataset_flat`; see
            `vidsemi.data.dedup.exclude.Checked`. None if the two were not compared, or have changed since.
    """

    dataset: str
    manifest: str
    test: str
    test_manifest: str
    counts: dict[str, int] | None


def recorded_checks(datasets: Mapping[str, Manifest | None], tests: Mapping[str, Manifest]) -> list[Check]:
    """Look up each pair of a dataset and a test set, by their names in a config; repeated datasets count once."""
    names: dict[Place, list[str]] = {}
    manifests: dict[Place, Manifest] = {}
    for name, manifest in datasets.items():
        if manifest is not None:
            names.setdefault(manifest.file, []).append(name)
            manifests[manifest.file] = manifest
    return [
        Check(" and ".join(names[file]), str(file), name, str(test.file), _read_counts(manifests[file], test))
        for file in names
        for name, test in tests.items()
    ]


def unknown_checks(dataset: str, tests: Mapping[str, Manifest]) -> list[Check]:
    """Checks of a dataset that is not available, such as what pretrained weights were trained on."""
    return [Check(dataset, "", test, str(manifest.file), None) for test, manifest in tests.items()]


def _read_counts(dataset: Manifest, test: Manifest) -> dict[str, int] | None:
    try:
        record = json.loads(record_file(dataset.file).read_bytes())
        if record["format"] != FORMAT or record["manifest"] != dataset.fingerprint or given_root(dataset) is not None:
            return None
        of_dataset = {f"dataset_{name}": record[name] for name in DATASET_COUNTS}
        known = (test.fingerprint, given_root(test))
        return next(
            _validated({**{name: one[name] for name in TEST_COUNTS}, **of_dataset})
            for one in record["checked"]
            if (one["fingerprint"], one["root"]) == known
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration):  # there is no such record
        return None


def given_root(manifest: Manifest) -> str | None:
    """The manifest's root, if it is not its own folder; the same paths are other files then."""
    root = manifest.root.resolve()
    return None if root == manifest.file.parent.resolve() else str(root)


def _validated(counts: Mapping[str, Any]) -> dict[str, int]:  # of a file that anybody may have written
    names = [*TEST_COUNTS, *(f"dataset_{name}" for name in DATASET_COUNTS)]
    if any(type(counts[name]) is not int for name in names):
        raise TypeError("not an integer")
    return {name: counts[name] for name in names}


def _check(dataset: Any, manifest: Any, test: Any, test_manifest: Any, counts: Any) -> Check:
    if any(not isinstance(text, str) for text in (dataset, manifest, test, test_manifest)):
        raise TypeError("not text")
    return Check(dataset, manifest, test, test_manifest, None if counts is None else _validated(counts))


def write_checks(output: Path, checks: Sequence[Check]) -> None:
    """Write the checks to a run's directory, unless it has the same ones already."""
    if read_checks(output) != list(checks):
        write_json(output / FILE, {"format": FORMAT, "checks": [asdict(check) for check in checks]})


def read_checks(output: Path) -> list[Check] | None:
    """Read the checks in a run's directory; None if there are none or the file is invalid."""
    try:
        document = json.loads((output / FILE).read_text(encoding="utf-8"))
        return [_check(**check) for check in document["checks"]] if document["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe_checks(checks: Sequence[Check] | None) -> tuple[list[str], list[str]]:
    """Describe what was checked, and warn of what was not."""
    if checks is None:
        return [], ["It is not known whether the training data was checked for duplicates of the test set."]
    checked: list[str] = []
    unchecked: dict[str, list[str]] = {}  # names of datasets → test sets
    todo: dict[str, list[str]] = {}  # manifests of datasets → those of test sets
    for test in dict.fromkeys(check.test for check in checks):
        of_test = [check for check in checks if check.test == test]
        known = [f"{check.dataset} ({_summary(check.counts)})" for check in of_test if check.counts is not None]
        if known:
            checked.append(f"Checked for duplicates of {_test_set(test)}: {'; '.join(known)}.")
        unknown = [check for check in of_test if check.counts is None]
        if unknown:
            names = ", ".join(dict.fromkeys(check.dataset for check in unknown))  # studies have several unlabeled sets
            unchecked.setdefault(names, []).append(_test_set(test))
        for check in unknown:
            if check.manifest:
                todo.setdefault(check.manifest, []).append(check.test_manifest)
    warnings = [f"NOT checked for duplicates of {', '.join(sets)}: {names}." for names, sets in unchecked.items()]
    if unchecked:
        warnings.append(f"Test accuracy may be inflated if the training data contains test examples{_remedy(todo)}")
    return checked, warnings


def _remedy(todo: Mapping[str, Sequence[str]]) -> str:
    if not todo:
        return "."
    first, *others = todo
    hint = f"vidsemi manifest table {first} --exclude-duplicates-of {' '.join(dict.fromkeys(todo[first]))} --output …"
    return f": {hint}, and likewise {', '.join(others)}" if others else f": {hint}"


def _test_set(test: str) -> str:
    return "the test set" if test == "test" else f"the test set of {test}"


def _summary(counts: Mapping[str, int]) -> str:
    text = f"{counts['exact'] + counts['near']} removed: {counts['exact']} exact, {counts['near']} near"
    text += f", up to {counts['max_distance']} of 64 bits"
    problems = {"unread": "do not decode", "flat": "show next to nothing and were compared by their bytes alone"}
    limits = [
        f"{counts[key]} {whose} {problem}"
        for name, problem in problems.items()
        for key, whose in ((f"dataset_{name}", "of its examples"), (name, "of the test set"))
        if counts[key]
    ]
    return "; ".join([text, *limits])
