"""stage.json: what a stage was run with, and whether it is done."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vidsemi.io.errors import UserError

RECORD = "stage.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of the stage that was started in a folder; None if there is none."""
    file = folder / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(record, dict) and isinstance(record.get("fields"), dict)):
            raise ValueError("it has no fields")
        if record.get("status") == "done" and not isinstance(record.get("metrics"), dict):
            raise ValueError("its status is done, but it has no metrics")
        return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            "stage.unreadable_record", f"cannot read {file}: {error}; delete {folder} to run this stage again"
        ) from None


def first_difference(record: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """Where the fields of a record differ from others, in words."""
    return next(_differences(record["fields"], fields), "another version of vidsemi")


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from _differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif json.dumps(old) != json.dumps(new):
        yield f"{key} was {_shown(old)}, is now {_shown(new)}"


def _shown(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def started_stages(output: Path) -> dict[str, str]:
    """Folders of the stages that were started in a run's directory, by fingerprint."""
    folders = {}
    for file in sorted(output.rglob(RECORD)):
        try:
            fingerprint = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
            folders[fingerprint] = file.parent.relative_to(output).as_posix()
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # `read_record` reports it if this stage is needed
    return folders
