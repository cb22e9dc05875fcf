"""Run one stage and record it in its stage.json."""

import time
from typing import Any

from vidsemi import __version__
from vidsemi.io.files import write_json
from vidsemi.pipeline.manifests import manifest_places
from vidsemi.pipeline.record import RECORD
from vidsemi.pipeline.stage import Context, Stage
from vidsemi.runtime.distributed import done_by_first
from vidsemi.runtime.environment import command_line, describe_environment


def run_stage(stage: Stage, context: Context) -> dict[str, Any]:
    """Run a stage, or resume it; the first process records that it is running, then that it is done."""
    file = context.folder(stage) / RECORD
    record = {
        "stage": context.name(stage),
        "status": "running",
        "fingerprint": stage.fingerprint,
        "fields": stage.document,
        "manifests": manifest_places(stage),
        "inputs": {context.name(own): own.fingerprint for own in stage.inputs},
        "vidsemi": __version__,
    }
    done_by_first(lambda: write_json(file, record))
    begin = time.monotonic()
    metrics = stage.run(context) if stage.together else done_by_first(lambda: stage.run(context))
    seconds = round(time.monotonic() - begin, 3)
    done = {"status": "done", "seconds": seconds, "metrics": metrics, "machine": describe_environment()}
    done["command"] = command_line()
    done_by_first(lambda: write_json(file, record | done))
    done_by_first(lambda: stage.clean_up(context))
    return metrics
