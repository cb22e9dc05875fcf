"""A run's directory: which stage is done, from what it was made, and that none is done twice (contract 4.5)."""

import fcntl
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi import __version__
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json, write_json
from vidsemi.runtime.distributed import done_by_first, first_before_others, processes

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: its folder under the run's output, such as `seed0/teacher/train`.
        kind: which arrow of the method it is, such as `teacher` or `score`.
        settings: all that determines its outcome but the stages before it; JSON values.
        after: the stages whose outputs it reads.
        run: does it, given its folder; returns its figures.
        together: whether all processes do it together; else the first does, and the others wait.
        clear: removes what only a stage that is not done needs, given its folder.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    after: "tuple[Stage, ...]"
    run: Callable[[Path], dict[str, Any]]
    together: bool
    clear: Callable[[Path], None] = lambda folder: None

    @property
    def fingerprint(self) -> str:
        """Of its settings and, through the stages before it, of theirs."""
        return fingerprint_json({"settings": self.settings, "after": [stage.fingerprint for stage in self.after]})


def read_record(output: Path, stage: Stage) -> dict[str, Any] | None:
    """What stage.json says of a stage; None if it was never begun."""
    file = output / stage.name / "stage.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(record, dict) and isinstance(record.get("settings"), dict)):
            raise ValueError("it is no record of a stage")
        if record.get("status") == "done" and not isinstance(record.get("figures"), dict):
            raise ValueError("it says that the stage is done but has no figures")
        return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}; delete {file.parent} to run this stage again") from None


def is_done(output: Path, stage: Stage) -> bool:
    """Whether a stage is finished.

    Raises:
        UserError: it was begun with other settings; says which.
    """
    record = read_record(output, stage)
    if record is None:
        return False
    folder = output / stage.name
    if record.get("fingerprint") != stage.fingerprint:
        difference = next(_differences(record["settings"], stage.settings), "another stage before it")
        raise UserError(
            f"{folder} was made by another config: {difference}; choose another output, or delete that folder"
        )
    return record.get("status") == "done"


def figures_of(output: Path, stage: Stage) -> dict[str, Any] | None:
    """The figures of a stage that is done; None if it is not."""
    record = read_record(output, stage) if is_done(output, stage) else None
    return None if record is None else record["figures"]


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Where two nested settings differ, in words."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif json.dumps(old) != json.dumps(new):
        yield f"{key} was {_shown(old)}, is now {_shown(new)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)


def begun_stages(output: Path) -> dict[str, str]:
    """The stages of a directory that were begun: name by fingerprint."""
    found = {}
    for file in sorted(output.rglob("stage.json")):
        try:
            found[json.loads(file.read_text(encoding="utf-8"))["fingerprint"]] = file.parent.relative_to(
                output
            ).as_posix()
        except (OSError, ValueError, KeyError, TypeError):
            continue  # `read_record` says so if this stage is needed
    return found


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold a run's directory, so that two runs cannot write to it at once; the first process does, for all of its run.

    Raises:
        UserError: another run holds it.
    """
    with ExitStack() as open_files:
        with first_before_others():
            if processes().first:
                output.mkdir(parents=True, exist_ok=True)
                file = open_files.enter_context(open(output / ".lock", "a"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(f"{output}: another process is running in this directory") from None
        yield


def run_stage(output: Path, stage: Stage) -> dict[str, Any]:
    """Run a stage unless it is done; one that was stopped goes on. Returns its figures.

    All processes call this; the first looks whether it is done, and writes that it is.
    """
    if (figures := done_by_first(lambda: figures_of(output, stage))) is not None:
        logger.info("%s: done before", stage.name)
        done_by_first(lambda: stage.clear(output / stage.name))  # a kill may have come between
        return figures
    folder = output / stage.name
    record = {
        "stage": stage.name,
        "status": "running",
        "fingerprint": stage.fingerprint,
        "settings": stage.settings,
        "after": {before.name: before.fingerprint for before in stage.after},
        "vidsemi": __version__,
    }
    done_by_first(lambda: write_json(folder / "stage.json", record))
    begin = time.monotonic()
    figures = stage.run(folder) if stage.together else done_by_first(lambda: stage.run(folder))
    seconds = round(time.monotonic() - begin, 3)
    done = {**record, "status": "done", "seconds": seconds, "figures": figures}
    done_by_first(lambda: write_json(folder / "stage.json", done))
    done_by_first(lambda: stage.clear(folder))
    return figures
