"""The crew of actors, on a cluster that is made up: who is replaced, when it gives up, what it shows."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.errors import refused
from vidsemi import __version__
from vidsemi.config import Runtime
from vidsemi.io.progress import Progress, show_progress
from vidsemi.io.store import LocalStore, shard_name
from vidsemi.runtime import ray_crew, ray_engine, ray_worker
from vidsemi.runtime.leases import Lease, Leases
from vidsemi.runtime.ray_cluster import Head
from vidsemi.runtime.ray_crew import MAX_DEATHS, Crew, Share
from vidsemi.runtime.ray_engine import _share, cluster_of_jobs, run_on_ray
from vidsemi.runtime.ray_worker import Look, Outcome, Setting, Worker
from vidsemi.runtime.shard_worker import Computed, Figures, ShardJob, ShardWorker, watched

DEATH = "The actor died unexpectedly.\n\tpid: 7\nWorker exit detail: end of file. Some common causes include: many"
DONE = Outcome("done", value=42)


class RayError(Exception):
    pass


class RayActorError(RayError):
    actor_init_failed = False


class Actor:
    """One whose work ends as planned, and whose looks show what is planned."""

    def __init__(self, plan: tuple[Any, Look | None]):
        self.ends, self.seen = plan
        self.stopped = self.killed = False
        self.shown = self.seen is None  # then its work may end
        self.work = self.look = self

    def remote(self, *arguments: Any, stop: bool = False) -> tuple[str, "Actor", object]:
        self.stopped |= stop
        return "work" if arguments else "look", self, object()


class Ray:
    """A cluster; `plans` tell how the work of each actor ends, in the order in which they start. None: it does not."""

    class exceptions:  # noqa: N801
        RayError, RayActorError = RayError, RayActorError

    def __init__(self, *plans: tuple[Any, Look | None]):
        self.plans, self.actors, self.alive = list(plans), list[Actor](), {"a"}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        return lambda kind: type("Class", (), {"remote": self.start})

    def start(self) -> Actor:
        self.actors.append(Actor(self.plans.pop(0)))
        return self.actors[-1]

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        ready = [
            (kind, actor, number)
            for kind, actor, number in references
            if kind == "look" or (actor.ends is not None and actor.shown) or actor.stopped
        ]
        return ready[:num_returns], []

    def get(self, reference: Any) -> Any:
        kind, actor, _ = reference
        if kind == "look":
            if actor.seen is None:
                raise RayActorError(DEATH)
            actor.shown = True
            return actor.seen
        if isinstance(actor.ends, Outcome):
            return actor.ends
        raise actor.ends

    def put(self, value: Any) -> Any:
        return value

    def kill(self, actor: Actor) -> None:
        actor.killed = True

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "Alive": node in self.alive, "Resources": {"CPU": 4}} for node in ("a", "b")]


def look(*figures: int, node: str = "a", logs: tuple[tuple[int, str], ...] = ()) -> Look:
    return Look(f"host-{node}", node, Figures(*figures) if figures else None, list(logs))


def crew(ray: Ray, actors: int = 1) -> Crew:
    return Crew(ray, Worker, Share(actors, 1, 0, Runtime()), (1,), "score", "example", Head("nowhere:1"))


def test_actors_that_die_are_replaced_until_one_is_done(caplog: pytest.LogCaptureFixture):
    deaths = [(RayActorError(DEATH), look(100, 0, 3 * n)) for n in range(1, 20)]  # each has finished something
    ray = Ray(*deaths, (DONE, look(100, 50)))
    running = crew(ray)
    assert running.run() == 42
    running.end()
    assert len(ray.actors) == 20 and all(actor.killed for actor in ray.actors)
    assert len(caplog.messages) == 19
    assert caplog.messages[0] == "score: a worker has died and is replaced: on host-a: Worker exit detail: end of file."


def test_it_gives_up_when_all_workers_die_before_they_finish_anything(monkeypatch: pytest.MonkeyPatch):
    """Or a machine that is too small would make failures of all examples, three deaths each."""
    monkeypatch.setattr(ray_crew, "LONGEST_PAUSE", 0.0)
    finished = (RayActorError(DEATH), look(100, 0, 0, 1))
    idle = [(RayActorError(DEATH), None), (Outcome("failed", text="Traceback:\nRuntimeError: CUDA"), look(100, 0))]
    ray = Ray(*idle, *idle, finished, *idle * MAX_DEATHS)
    with refused("ray.workers_die", str(MAX_DEATHS), "memory", "resumes"):
        crew(ray).run()
    assert len(ray.actors) == 4 + MAX_DEATHS


def test_workers_on_nodes_that_are_gone_do_not_count(caplog: pytest.LogCaptureFixture):
    ray = Ray(*[(RayActorError(DEATH), look(100, 0, node="b"))] * 3 * MAX_DEATHS, (DONE, look(100, 0)))
    assert crew(ray).run() == 42
    assert set(caplog.messages) == {"score: the node host-b is gone; its worker starts elsewhere"}


def test_what_workers_wait_for_is_said_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_crew, "STARTS_WITHIN", -1.0)
    ray = Ray((None, None), (None, None))
    running = crew(ray, 2)
    looks = iter([None, None, look(100, 0), look(100, 0)])

    def answer(seconds: float) -> None:
        running._members[1].seen = next(looks)

    monkeypatch.setattr(running, "_take_answers", answer)
    with pytest.raises(StopIteration):
        running.run()
    assert len(caplog.messages) == 1
    assert "each needs 1 CPUs and 0 GPUs" in caplog.text and "3 CPUs and 0 GPUs free" in caplog.text


def test_an_error_of_the_users_ends_all_and_names_the_node():
    wrong = Outcome("refused", code="scores.plan_mismatch", text="views 2 (now 3)", host="host-b")
    ray = Ray((None, look(100, 0)), (wrong, look()), (None, None))
    running = crew(ray, 3)
    with refused("scores.plan_mismatch", "on host-b: views 2"):
        running.run()
    running.end()
    assert [actor.stopped for actor in ray.actors] == [True, True, False]  # what has not started is killed
    assert all(actor.killed for actor in ray.actors)


def test_figures_and_warnings_of_all_workers_are_gathered(caplog: pytest.LogCaptureFixture):
    said = ((logging.WARNING, "a disk is away"),)
    first = Look("host-a", "a", Figures(100, 10, written=20, open=3, unreadable=1, waiting=0.5), list(said))
    second = Look("host-b", "b", Figures(100, 20, written=30, open=5, unreadable=2, waiting=0.1), list(said))
    gone = replace(first, figures=Figures(100, 10, written=10, open=9, unreadable=4), node="c")
    ray = Ray((RayActorError(DEATH), gone), (None, second), (None, first))
    seen: list[Progress] = []

    def show(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 10 + 10 + 20 + 3 + 30 + 5 and "7 cannot" in progress.note:
            raise EnoughError

    with show_progress(show), pytest.raises(EnoughError):
        crew(ray, 2).run()
    assert (seen[-1].total, seen[-1].note) == (100, "2 of 2 workers, 7 cannot be read, waits for data 30%")
    assert sum("a disk is away" in message for message in caplog.messages) == 1


class EnoughError(Exception):
    pass


def test_actors_get_what_the_cluster_has():
    def nodes(*resources: dict[str, float]) -> Any:
        return type("Ray", (), {"nodes": lambda: [{"Alive": True, "Resources": own} for own in resources]})

    cpus = {"engine": "ray", "cpus_per_actor": 3}
    small, large, gpu = {"CPU": 2.0}, {"CPU": 7.0}, {"CPU": 16.0, "GPU": 2.0}
    share = _share(nodes(small, large, large), Runtime(**cpus), grows=False)
    assert (share.actors, share.gpus) == (4, 0)
    assert (share.runtime.engine, share.runtime.device, share.runtime.workers) == ("local", "cpu", 3)
    share = _share(nodes(large, gpu), Runtime(**cpus, workers=1), grows=False)
    assert (share.actors, share.gpus, share.runtime.device, share.runtime.workers) == (2, 1, "cuda", 1)
    assert _share(nodes(large, gpu), Runtime(**cpus, gpus_per_actor=0.5), grows=False).actors == 4
    assert _share(nodes(large, gpu), Runtime(**cpus, device="cpu"), grows=False).actors == 2 + 5
    assert _share(nodes(small), Runtime(**cpus), grows=True).actors == 1  # for a node that may come
    assert _share(nodes(small), Runtime(**cpus, actors=9), grows=True).actors == 9
    with refused("ray.no_room", "3 CPUs", "2 CPUs"):
        _share(nodes(small), Runtime(**cpus), grows=False)


def test_jobs_that_never_have_room_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_engine, "named_cluster", lambda: nullcontext((Ray(), False)))
    with cluster_of_jobs(Runtime(engine="ray", cpus_per_actor=4)):
        pass
    with refused("ray.no_room", "5 CPUs", "4 CPUs"), cluster_of_jobs(Runtime(engine="ray", cpus_per_actor=5)):
        pass


def one_shard(runtime: Runtime, folder: Path) -> str:
    with Leases(LocalStore(folder), 1000) as leases:
        Doubles(ShardJob(LocalStore(folder), [range(3)], "doubles"), leases).work()
    return runtime.device


class Doubles(ShardWorker):
    def compute(self, leases: Iterable[Lease], careful: Lease | None = None) -> Computed:
        for lease in leases:
            for _ in self.job.shards[lease.number]:
                self.finished_one(readable=True)
            yield lease, {shard_name(lease.number): b"done"}


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """Of a worker in this process, whose messages and folder are put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_worker, "SECONDS_FOR_MARKER", 0.0)
    loggers = [logging.getLogger(), ray_worker.logger]
    before = [(one, one.handlers, one.level) for one in loggers]
    (tmp_path / "marker").write_text("")
    yield Setting(__version__, str(tmp_path), tmp_path / "marker")
    for one, handlers, level in before:
        one.handlers = handlers
        one.setLevel(level)


def test_a_worker_works_shows_how_far_it_is_and_stops_when_told(setting: Setting, tmp_path: Path):
    worker = Worker()
    job = partial(one_shard, folder=tmp_path)
    assert worker.work(setting, job, Runtime(device="cpu")) == Outcome("done", value="cpu")
    assert worker.look().figures == Figures(3, 0, written=3)
    (tmp_path / shard_name(0)).unlink()
    assert worker.look(stop=True).logs == []
    assert worker.work(setting, job, Runtime()) == Outcome("stopped")
    assert LocalStore(tmp_path).names("leases") == [] and not (tmp_path / shard_name(0)).exists()
    assert watched.get() is None


def test_a_worker_returns_what_is_wrong(setting: Setting, tmp_path: Path):
    def work(job: Callable[[Runtime], Any], **changes: Any) -> tuple[str, str]:
        outcome = Worker().work(replace(setting, **changes), job, Runtime())
        return outcome.kind, outcome.code or outcome.text.splitlines()[-1]

    assert work(lambda runtime: 1 / 0) == ("failed", "ZeroDivisionError: division by zero")
    assert work(lambda runtime: Path("/nowhere").read_text()) == ("refused", "ray.file_system")
    assert work(lambda runtime: 1, version="0") == ("refused", "ray.other_version")
    assert work(lambda runtime: 1, marker=tmp_path / "other") == ("refused", "ray.folder_not_shared")


def test_ray_is_needed_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("ray.not_installed", "vidsemi[cluster]"):
        run_on_ray(lambda runtime: 1, Runtime(engine="ray"), place=tmp_path, title="score")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with refused("ray.torchrun", "torchrun"):
        run_on_ray(lambda runtime: 1, Runtime(engine="ray"), place=tmp_path, title="score")
    assert not list(tmp_path.iterdir())
