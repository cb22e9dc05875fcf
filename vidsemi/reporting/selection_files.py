"""The selections in the directories of runs: where they are, and what they are called."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsemi.io.store import Place
from vidsemi.reporting.results import RunResults

PATTERN = "seed*/*teacher/select/selection.parquet"


@dataclass(frozen=True)
class SelectionFile:
    """A selection in a run's directory."""

    file: Path
    run: str
    variant: str  # of a study; else empty
    seed: str  # name of the folder, such as seed0
    teacher: str  # in words
    where: str  # run and variant, as far as a reader must be told
    original: Place  # the file where it really is, if this one is a copy
    run_folder: Place  # where that is

    @property
    def group(self) -> str:
        """What the selections of all seeds are called together."""
        return f"{self.teacher}, {self.where}" if self.where else self.teacher

    @property
    def title(self) -> str:
        """What it is called."""
        return f"Selection of the {self.teacher}, {f'{self.where} {self.seed}'.strip()}"


def selection_files(runs: Sequence[RunResults]) -> list[SelectionFile]:
    """The selections of runs: run by run, variants in their order, then by seed and teacher."""
    found = []
    for run in runs:
        files = {*run.folder.glob(PATTERN), *run.folder.glob(f"*/{PATTERN}")}  # variants have folders of their own
        variants = [*dict.fromkeys(row.get("variant") for row in run.rows)]
        own = []
        for file in files:
            *variant, seed, teacher = file.relative_to(run.folder).parts[:-2]
            where = " ".join([*([run.name] if len(runs) > 1 else []), *variant])
            original = run.original(file.relative_to(run.folder).as_posix())
            words = ("".join(variant), seed, teacher.replace("_", " "), where)
            own.append(SelectionFile(file, run.name, *words, original, run.source or run.folder))
        own.sort(key=lambda one: (len(one.seed), one.seed, one.variant, one.teacher))
        own.sort(key=lambda one: variants.index(one.variant) if one.variant in variants else -1)
        found += own
    return found


def notes_by_seed(notes: Iterable[tuple[SelectionFile, str]]) -> list[str]:
    """Notes on selections, each once, with the teachers and seeds that it is about."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for one, note in notes:
        seeds.setdefault((one.group, note), []).append(one.seed)
    return [f"Selection of the {group}, {', '.join(own)}: {note}" for (group, note), own in seeds.items()]
