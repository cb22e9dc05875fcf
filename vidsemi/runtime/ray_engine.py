"""Ray as the engine: workers of a job as actors of a cluster that may grow, shrink and be preempted.

Ray decides where workers run, never what they compute: shards and leases are those of any other workers, which may join
from a shell at the same time. An actor that dies, with its node or alone, is replaced wherever there is room.
"""

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from vidsemi import __version__
from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.io.files import remove_temporary, write_bytes
from vidsemi.io.store import Place
from vidsemi.runtime.distributed import started_processes
from vidsemi.runtime.ray_cluster import Head, named_cluster, ray_cluster
from vidsemi.runtime.ray_crew import Crew, Share
from vidsemi.runtime.ray_worker import Look, Setting, Worker

logger = logging.getLogger("vidsemi")

T = TypeVar("T")


def run_on_ray(
    job: Callable[[Runtime], T], runtime: Runtime, *, place: Place, title: str, unit: str = "example", gpus: bool = True
) -> T:
    """Run workers of a job as Ray actors until one reports that every shard is done.

    Args:
        job: the work of one worker, importable and picklable; receives its share of the runtime.
        runtime: how many actors, with how many CPUs and GPUs each.
        place: the folder that the workers meet in; a local one must be shared by all nodes.
        title: for the progress bar.
        unit: what is counted there.
        gpus: whether the work can use a GPU.

    Returns:
        what the job returns on the worker that is done first.

    Raises:
        UserError: Ray is not installed or cannot be reached, a worker meets an error of the user's, or all keep dying.
    """
    if started_processes() > 1:
        raise UserError("ray.torchrun", "engine ray starts its own workers; start the command without torchrun")
    with ray_cluster() as (ray, grows), _marker(place) as marker:
        share = _share(ray, runtime if gpus else runtime.model_copy(update={"gpus_per_actor": 0}), grows)
        setting = Setting(__version__, os.getcwd(), marker)
        head = Head(ray.get_runtime_context().gcs_address)
        crew = Crew(ray, Actor, share, (setting, job, share.runtime), title, unit, head)
        try:
            value: T = crew.run()
            return value
        finally:
            crew.end()


@contextmanager
def cluster_of_jobs(runtime: Runtime) -> Iterator[None]:
    """Let processes that are started within the block share one cluster, if their engine is Ray.

    Raises:
        UserError: Ray is not installed or cannot be reached, or has no room for an actor.
    """
    if runtime.engine != "ray":
        yield
        return
    with named_cluster() as (ray, grows):
        _share(ray, runtime, grows)  # which they take for one that may grow
        yield


@contextmanager
def _marker(place: Place) -> Iterator[Path | None]:
    """Put a file into a local folder by which workers know it, while the block lasts."""
    if not isinstance(place, Path):
        yield None
        return
    remove_temporary(place, 86400, "ray-*")  # of commands that were killed
    marker = place / f".ray-{uuid.uuid4().hex}.tmp"
    write_bytes(marker, b"")
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _share(ray: Any, runtime: Runtime, grows: bool) -> Share:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = runtime.cpus_per_actor, runtime.gpus_per_actor
    if gpus is None:
        gpus = float(runtime.device != "cpu" and any(node.get("GPU", 0) >= 1 for node in nodes))
    room = sum(_room(node, cpus, gpus) for node in nodes)
    if not room:
        most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
        text = (
            f"no node has room for an actor of {cpus} CPUs and {gpus:g} GPUs; the largest has {most['CPU']:g} CPUs and "
            f"{most['GPU']:g} GPUs"
        )
        if not grows:
            raise UserError("ray.no_room", text)
        logger.warning("%s; waiting for one", text)
    device = runtime.device if runtime.device != "auto" else "cuda" if gpus else "cpu"
    own = {"engine": "local", "device": device, "workers": cpus if runtime.workers is None else runtime.workers}
    return Share(runtime.actors or max(room, 1), cpus, gpus, runtime.model_copy(update=own))


def _room(node: dict[str, float], cpus: int, gpus: float) -> int:
    """How many actors a node has room for."""
    room = node.get("CPU", 0) // cpus
    return int(min(room, node.get("GPU", 0) // gpus) if gpus else room)


class Actor(Worker):
    """A worker that knows its node."""

    def look(self, stop: bool = False) -> Look:  # noqa: D102
        import ray

        return replace(super().look(stop), node=ray.get_runtime_context().get_node_id())
