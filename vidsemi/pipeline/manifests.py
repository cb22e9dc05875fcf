"""Where the manifests and scores of a run's stages lie, so that a report finds the examples again."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, overload

from vidsemi.data.joined import join, parts_of
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place, parse_place
from vidsemi.pipeline.record import read_record
from vidsemi.pipeline.stage import Stage


def manifest_places(stage: Stage) -> dict[str, list[dict[str, str | None]]]:
    """The files of the manifests among a stage's fields, for stage.json; they are not part of its identity."""
    found = {field.name: getattr(stage, field.name) for field in fields(stage)}
    return {
        name: [_place(part) for part in parts_of(value)] for name, value in found.items() if isinstance(value, Manifest)
    }


def _place(manifest: Manifest) -> dict[str, str | None]:
    root = None if manifest.root == manifest.file.parent else str(manifest.root.absolute())
    return {"file": str(manifest.file.absolute()), "root": root}


def read_manifest(stage: Path, field: str) -> Manifest:
    """Read the manifest that a stage ran with, given the stage's folder.

    Raises:
        UserError: the stage has no record of it, or the manifest is missing or has changed.
    """
    record = _record(stage)
    try:
        places = record["manifests"][field]
        files = [
            (parse_place(place["file"]), parse_place(place["root"]) if place["root"] else None) for place in places
        ]
    except (KeyError, TypeError):
        raise UserError(
            "stage.no_manifest", f"{stage} does not say where its manifest '{field}' is: an earlier version wrote it"
        ) from None
    manifest = join([load_manifest(file, root) for file, root in files])
    known = record["fields"].get(field)
    known = [known] if isinstance(known, str) else known
    if [part.fingerprint for part in parts_of(manifest)] != [str(own).partition(" under ")[0] for own in known or []]:
        raise UserError("stage.other_manifest", f"{manifest.file} has changed since the run in {stage}")
    return manifest


@overload
def score_folders(select: Path, run: None = None) -> list[Path]: ...
@overload
def score_folders(select: Path, run: Place | None) -> list[Place]: ...
def score_folders(select: Path, run: Place | None = None) -> Sequence[Place]:
    """The directories of scores that a select stage read, given its folder, in their order.

    Args:
        select: the folder.
        run: the directory that they are in; by default the run's that the folder is in.

    Raises:
        UserError: the stage does not name them.
    """
    record = _record(select)
    try:
        own = Path(record["stage"]).parts
        if select.absolute().parts[-len(own) :] != own:
            raise ValueError
        output = Path(*select.absolute().parts[: -len(own)]) if run is None else run
        folders = {fingerprint: output / name for name, fingerprint in record["inputs"].items()}
        return [folders[fingerprint] for fingerprint in record["fields"]["scores"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError("stage.no_scores", f"{select} does not say where its scores are") from None


def _record(stage: Path) -> Mapping[str, Any]:
    record = read_record(stage)
    if record is None:
        raise UserError("stage.no_record", f"{stage} is not the folder of a stage: it has no stage.json")
    return record
