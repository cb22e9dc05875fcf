"""Stages without torch that do to their process what the tests of jobs need."""

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsemi.config import Log, Runtime
from vidsemi.io.errors import UserError
from vidsemi.pipeline.board import Board
from vidsemi.pipeline.jobs import run_in_jobs
from vidsemi.pipeline.stage import Context, Stage
from vidsemi.runtime.process import job_count, job_number, usable_cores
from vidsemi.runtime.ray_cluster import ray_cluster
from vidsemi.training.preemption import GracefulShutdown


@dataclass(frozen=True, eq=False)
class ActingStage(Stage):
    """Does what its field says."""

    number: int
    does: str = "nothing"
    reads: tuple[Stage, ...] = ()

    def run(self, context: Context) -> dict[str, Any]:
        meeting = context.output / "meeting"  # a FIFO, whose two ends wait for each other
        match self.does:
            case "until stopped":
                with GracefulShutdown() as shutdown:
                    meeting.open("rb").close()
                    while not shutdown.requested:
                        time.sleep(0.01)
                    (context.folder(self) / "checkpoint").touch()
                    shutdown.exit()
            case "refuse" | "fail" | "die" | "terminate" | "interrupt all":
                meeting.open("wb").close()
                self.end_somehow()
            case "tell":
                logging.getLogger("vidsemi").warning("told")
                logging.getLogger("vidsemi").info("%s: titled", context.name(self))
                warnings.warn("warned", UserWarning, stacklevel=1)
                print("printed")
            case "join":
                return self.join()
        return {"job": job_number(), "jobs": job_count(), "cores": usable_cores(), "folder": os.getcwd()}

    def join(self) -> dict[str, Any]:
        """Run something on a Ray cluster; returns which one and where."""
        with ray_cluster() as (ray, _):
            worker = ray.get(ray.remote(lambda: os.getppid()).remote())
            return {
                "cluster": ray.get_runtime_context().gcs_address,
                "cpus": ray.cluster_resources()["CPU"],
                "raylet": worker,
            }

    def end_somehow(self) -> None:
        """Raise an error or send a signal."""
        match self.does:
            case "refuse":
                raise UserError("test.refused", f"stage {self.number} refuses")
            case "fail":
                raise ValueError(f"stage {self.number} fails")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "terminate":
                os.kill(os.getppid(), signal.SIGTERM)
            case "interrupt all":
                os.killpg(0, signal.SIGINT)
        with GracefulShutdown() as shutdown:
            while not shutdown.requested:
                time.sleep(0.01)
            shutdown.exit()


def run_stages(
    stages: Sequence[Stage],
    output: Path,
    finished: Callable[[Stage, dict[str, Any]], object],
    runtime: Runtime | None = None,
) -> None:
    """Run stages in two jobs, in the folders 0, 1, … of an output."""
    output.mkdir(exist_ok=True)
    if not (output / "meeting").exists():
        os.mkfifo(output / "meeting")
    folders = {stage.fingerprint: str(number) for number, stage in enumerate(stages)}
    with Board(output, dict.fromkeys(folders.values(), False), 2) as board:
        run_in_jobs(stages, Context(output, folders, runtime or Runtime(), Log()), 2, board, finished=finished)
