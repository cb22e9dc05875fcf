"""Whether corpora were held against test sets before a run began, as the records beside their manifests say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidsemi.data.manifest import Manifest
from vidsemi.io.files import write_json

FORMAT = 1
FILE = "duplicates.json"  # in a run's directory
NUMBERS = ("distance", "exact", "near", "unread", "flat")  # of a test set, in the record beside a manifest
OF_CORPUS = ("unread", "flat")  # likewise, of the corpus
PER_MANIFEST = ".duplicates.json"  # beside a manifest, in the place of its suffix


def record_file(manifest: Path) -> Path:
    """Where it stands what a manifest was held against."""
    return manifest.with_suffix(PER_MANIFEST)


@dataclass(frozen=True)
class Check:
    """A corpus and a test set.

    Attributes:
        corpus: what the config calls it.
        manifest: its file; empty where there is none, see `unknown_checks`.
        test: what the config calls the test set.
        test_manifest: its file.
        found: what was found when they were held against each other; None if they were not, or have changed since.
            Numbers by `NUMBERS`, as in `vidsemi.data.dedup.exclude.Checked`; `corpus_unread` and `corpus_flat`.
    """

    corpus: str
    manifest: str
    test: str
    test_manifest: str
    found: dict[str, Any] | None


def check_duplicates(corpora: Mapping[str, Manifest | None], tests: Mapping[str, Manifest]) -> list[Check]:
    """What is known of every corpus and test set, by their names in a config; a corpus of two names counts once."""
    names: dict[Path, list[str]] = {}
    manifests: dict[Path, Manifest] = {}
    for name, manifest in corpora.items():
        if manifest is not None:
            names.setdefault(manifest.file, []).append(name)
            manifests[manifest.file] = manifest
    return [
        Check(" and ".join(names[file]), str(file), test, str(tests[test].file), _found(manifests[file], tests[test]))
        for file in names
        for test in tests
    ]


def unknown_checks(corpus: str, tests: Mapping[str, Manifest]) -> list[Check]:
    """That nothing is known of a corpus that is not here, such as what weights of others were trained on."""
    return [Check(corpus, "", test, str(manifest.file), None) for test, manifest in tests.items()]


def _found(corpus: Manifest, test: Manifest) -> dict[str, Any] | None:
    try:
        record = json.loads(record_file(corpus.file).read_text(encoding="utf-8"))
        if record["format"] != FORMAT or record["manifest"] != corpus.fingerprint or given_root(corpus) is not None:
            return None
        of_corpus = {f"corpus_{name}": record[name] for name in OF_CORPUS}
        known = (test.fingerprint, given_root(test))
        return next(
            _numbers({**{name: one[name] for name in NUMBERS}, **of_corpus})
            for one in record["checked"]
            if (one["fingerprint"], one["root"]) == known
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration):  # there is no such record
        return None


def given_root(manifest: Manifest) -> str | None:
    """The root of a manifest, where it is not the manifest's own folder: its paths are other files then."""
    root = manifest.root.resolve()
    return None if root == manifest.file.parent.resolve() else str(root)


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, of a file that anybody may have written.

    Raises:
        KeyError, TypeError: it is not what it should be.
    """
    names = [*NUMBERS, *(f"corpus_{name}" for name in OF_CORPUS)]
    if any(type(found[name]) is not int for name in names):
        raise TypeError("not a number")
    return {name: found[name] for name in names}


def _check(corpus: Any, manifest: Any, test: Any, test_manifest: Any, found: Any) -> Check:
    if any(not isinstance(text, str) for text in (corpus, manifest, test, test_manifest)):
        raise TypeError("not a text")
    return Check(corpus, manifest, test, test_manifest, None if found is None else _numbers(found))


def write_checks(output: Path, checks: Sequence[Check]) -> None:
    """Keep what is known in a run's directory; nothing is written if it is known there already."""
    if read_checks(output) != list(checks):
        write_json(output / FILE, {"format": FORMAT, "checks": [asdict(check) for check in checks]})


def read_checks(output: Path) -> list[Check] | None:
    """What a run's directory says; None if it says nothing, as those of older versions."""
    try:
        document = json.loads((output / FILE).read_text(encoding="utf-8"))
        return [_check(**check) for check in document["checks"]] if document["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe_checks(checks: Sequence[Check] | None) -> tuple[list[str], list[str]]:
    """What was checked, and warnings of what was not, in words."""
    if checks is None:
        return [], ["It is not known whether the corpora were checked for duplicates of the test set."]
    said: list[str] = []
    unchecked: dict[str, list[str]] = {}  # test sets by the names of corpora
    todo: dict[str, list[str]] = {}  # manifests of test sets by those of corpora
    for test in dict.fromkeys(check.test for check in checks):
        those = [check for check in checks if check.test == test]
        known = "; ".join(f"{check.corpus} ({_in_words(check.found)})" for check in those if check.found is not None)
        if known:
            said.append(f"Checked for duplicates of {_set(test)}: {known}.")
        without = [check for check in those if check.found is None]
        if without:
            unchecked.setdefault(", ".join(check.corpus for check in without), []).append(_set(test))
        for check in without:
            if check.manifest:
                todo.setdefault(check.manifest, []).append(check.test_manifest)
    warnings = [f"NOT checked for duplicates of {', '.join(sets)}: {names}." for names, sets in unchecked.items()]
    if unchecked:
        warnings.append(f"A student that has seen the test set proves nothing{_remedy(todo)}")
    return said, warnings


def _remedy(todo: Mapping[str, Sequence[str]]) -> str:
    """One command as an example, by manifests of corpora and of their test sets, which may be others for each."""
    if not todo:
        return "."
    first, *others = todo
    hint = f"vidsemi manifest table {first} --exclude-duplicates-of {' '.join(dict.fromkeys(todo[first]))} --output …"
    return f": {hint}, and likewise {', '.join(others)}" if others else f": {hint}"


def _set(test: str) -> str:
    return "the test set" if test == "test" else f"the test set of {test}"


def _in_words(found: Mapping[str, Any]) -> str:
    text = f"{found['exact'] + found['near']} removed: {found['exact']} exact, {found['near']} near"
    text += f", up to {found['distance']} of 64 bits"
    lost = [
        f"{found[key]} {whose} do not decode"
        for key, whose in (("corpus_unread", "of its examples"), ("unread", "of the test set"))
        if found[key]
    ]
    lost += [
        f"{found[key]} {whose} show next to nothing and were compared by their bytes alone"
        for key, whose in (("corpus_flat", "of its examples"), ("flat", "of the test set"))
        if found[key]
    ]
    return "; ".join([text, *lost])
