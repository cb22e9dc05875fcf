"""A config that has changed since its output was created: what still holds, what runs again, what others have."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path, write_json
from vidsemi.pipeline.record import RECORD, first_difference, read_record, started_stages
from vidsemi.pipeline.stage import Context, Plan, Stage

logger = logging.getLogger("vidsemi")

SHOWN = 6  # stages that a message names


@dataclass(frozen=True)
class Changes:
    """What an output and others have of a plan, by the fingerprints of its stages; JSON values."""

    done: dict[str, dict[str, Any]]  # → metrics
    stale: list[str]  # stages in whose folders are others, in the order of the plan
    reusable: dict[str, str]  # stages that are not done here → folder of another output where they are

    def state(self, stage: Stage) -> str:
        """What will become of a stage, for `--check`."""
        if stage.fingerprint in self.done:
            return "done"
        if stage.fingerprint in self.reusable:
            return "reuse"
        return "again" if stage.fingerprint in self.stale else "to do"


def find_changes(plan: Plan, overwrite: Sequence[str] = (), reuse: Sequence[Path] = ()) -> Changes:
    """Compare a plan with its output and with those of other runs.

    Args:
        plan: of the config.
        overwrite: kinds of stages that may be run again because their own fields have changed, and then all stages that
            read from them.
        reuse: outputs of other runs, to take equal stages over from.

    Raises:
        UserError: a stage has changed that may not be overwritten, or there is no such output.
    """
    context = plan.context
    done: dict[str, dict[str, Any]] = {}
    stale: dict[str, str] = {}  # fingerprint → difference
    for stage in plan.stages:
        record = read_record(context.folder(stage))
        if record is not None and record.get("fingerprint") != stage.fingerprint:
            stale[stage.fingerprint] = first_difference(record, stage.document)
        elif record is not None and record.get("status") == "done":
            done[stage.fingerprint] = record["metrics"]
    _check_permitted(plan, stale, overwrite)
    elsewhere = dict(pair for output in reversed(reuse) for pair in _done_in(output))
    reusable = {one: folder for one, folder in elsewhere.items() if one in plan.folders and one not in done}
    return Changes(done, [*stale], reusable)


def _check_permitted(plan: Plan, stale: dict[str, str], overwrite: Sequence[str]) -> None:
    """Refuse to overwrite stages that have changed by themselves, not only by what they read."""
    changed: set[str] = set()  # stages that are stale or read from such ones
    roots: dict[str, Stage] = {}  # the first one of each kind
    for stage, kind in zip(plan.stages, plan.kinds, strict=True):
        by_inputs = any(own.fingerprint in changed for own in stage.inputs)
        if stage.fingerprint in stale and not by_inputs:
            roots.setdefault(kind, stage)
        if stage.fingerprint in stale or by_inputs:
            changed.add(stage.fingerprint)
    refused = [kind for kind in roots if kind not in overwrite]
    if not refused:
        return
    first, names = roots[refused[0]], [plan.folders[one] for one in stale]
    options = " ".join(f"--overwrite {kind}" for kind in roots)
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    raise UserError(
        "stage.different_config",
        f"{plan.context.folder(first)} was created with a different config: {stale[first.fingerprint]}; add {options} "
        f"to delete and run again {len(names)} stages ({shown}), or choose another output, with --reuse {plan.output} "
        "for the stages that still hold",
    )


def _done_in(output: Path) -> Iterator[tuple[str, str]]:
    folders = started_stages(output)
    if not folders:
        raise UserError("reuse.no_stages", f"--reuse: {output} is not the output of a run: it has no {RECORD} below it")
    for fingerprint, name in folders.items():
        record = read_record(output / name)
        if record is not None and record.get("status") == "done":
            yield fingerprint, str(output / name)


def remove_stale(plan: Plan, changes: Changes) -> None:
    """Delete the folders of stages that run again, those first that read from others: a kill in between loses none."""
    for fingerprint in reversed(changes.stale):
        _empty(plan.output / plan.folders[fingerprint])
        logger.info("%s: deleted, it was created with a different config", plan.folders[fingerprint])


def _empty(folder: Path) -> None:
    """Delete what is in a folder, its record last: a stage that is deleted by half must not look done, or new."""
    record = read_record(folder)
    if record is not None:
        write_json(folder / RECORD, {**record, "status": "deleted"})
    for path in folder.iterdir() if folder.exists() else ():
        if path.name != RECORD:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (folder / RECORD).unlink(missing_ok=True)


def take_over(stage: Stage, context: Context, source: Path) -> dict[str, Any]:
    """Take a stage over from the folder of another output, by hard links where possible; returns its metrics."""
    record, folder = read_record(source), context.folder(stage)
    if record is None or record.get("fingerprint") != stage.fingerprint or record.get("status") != "done":
        raise UserError("reuse.changed", f"{source} has changed since this run began; start the same command again")
    _empty(folder)  # of what a stage that was killed has left
    for file in _files(source):
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except OSError:  # another file system, or one without links
            with atomic_path(target) as temporary:
                shutil.copyfile(file, temporary)
    inputs = {context.name(own): own.fingerprint for own in stage.inputs}
    write_json(folder / RECORD, {**record, "stage": context.name(stage), "inputs": inputs, "reused_from": str(source)})
    logger.info("%s: reused from %s", context.name(stage), source)
    metrics: dict[str, Any] = record["metrics"]
    return metrics


def _files(source: Path) -> Iterator[Path]:
    """The files of a stage, but not those of stages in its folder."""
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not (Path(folder, name, RECORD)).exists()]
        yield from (Path(folder, name) for name in files if name != RECORD and not name.startswith("."))
