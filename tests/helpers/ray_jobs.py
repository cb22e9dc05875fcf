"""Scoring on Ray with files that wait or kill: what actors import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from vidsemi.config import Runtime
from vidsemi.data import views
from vidsemi.data.manifest import Row
from vidsemi.inference.score import score_shards


def score_with_odd_files(runtime: Runtime, *, gate: str = "", begin: int = 0, deadly: str = "", **options: Any) -> Any:
    """Score, but wait for the file `gate` before examples from number `begin` on, and die at a file of a name."""
    read = views.read_frames

    def read_oddly(row: Row, *arguments: Any, **options: Any) -> Any:
        while gate and row.example_id >= begin and not Path(gate).exists():
            time.sleep(0.05)
        if deadly and row.path.endswith(deadly):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(row, *arguments, **options)

    views.read_frames = read_oddly
    return score_shards(runtime, **options)
