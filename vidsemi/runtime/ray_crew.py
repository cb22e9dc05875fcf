"""The actors of a job on Ray: kept alive, asked how far they are, ended together."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from vidsemi.config import Runtime
from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.runtime.ray_cluster import Head
from vidsemi.runtime.ray_worker import Look, Outcome, Worker
from vidsemi.runtime.shard_worker import Figures

logger = logging.getLogger("vidsemi")

LOOK_EVERY = 1.0  # seconds; with more than 100 actors less often
STARTS_WITHIN = 30.0  # seconds; a warning tells what is missing if no worker does
LAST_LOOK = 1.0  # seconds to wait for the last figures
GRACE = 10.0  # seconds in which workers that are told to stop give their leases back
MAX_DEATHS = 10  # of workers in a row, while nobody finishes an example; then something is wrong with all of them
QUICK_DEATHS = 3  # in a row in one place; then the next worker waits, longer and longer
LONGEST_PAUSE = 60.0  # seconds


@dataclass(frozen=True)
class Share:
    """How many actors there are, and what each one gets."""

    actors: int
    cpus: int
    gpus: float
    runtime: Runtime


@dataclass(eq=False)
class _Member:
    """A place in the crew, and the actor that has it now."""

    actor: Any = None
    since: float = 0.0  # moment when the actor was asked for
    outcome: Any = None  # reference to how its work ends
    look: Any = None  # reference to what it is doing, while that is asked
    seen: Look | None = None
    deaths: int = 0  # of actors in a row that finished no example
    not_before: float = 0.0  # moment of the next actor's start

    @property
    def figures(self) -> Figures:
        """How far its actor is."""
        return (self.seen and self.seen.figures) or Figures(0, 0)


class Crew:
    """The actors of a job.

    Args:
        ray: the module, connected to a cluster.
        kind: the class of the actors.
        share: how many there are, and what each one gets.
        work: the arguments of `Worker.work`.
        title: for the progress bar.
        unit: what is counted there.
        head: of the cluster.
    """

    def __init__(
        self, ray: Any, kind: type[Worker], share: Share, work: tuple[Any, ...], title: str, unit: str, head: Head
    ):
        self._ray, self._title, self._unit, self._head = ray, title, unit, head
        self._work = [ray.put(argument) for argument in work]  # once for all actors
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": "SPREAD"}
        self._new_actor = ray.remote(max_concurrency=2, max_restarts=0, max_task_retries=0, **options)(kind).remote
        self._members = [_Member() for _ in range(share.actors)]
        self._bar: Any = None
        self._before = 0  # examples that were done when the first worker started
        self._gone_written = self._gone_open = self._gone_unreadable = 0  # by actors that are gone
        self._deaths, self._computed_then = 0, -1  # in a row, and examples that were computed at the last one
        self._logged: set[str] = set()
        self._needs = f"{share.cpus} CPUs and {share.gpus:g} GPUs"
        self._has_warned = False  # that no worker starts, since one did

    def run(self) -> Any:
        """Keep the actors alive until one is done; returns its value.

        Raises:
            UserError: a worker has raised one, all keep dying, or the head node is lost.
        """
        while True:
            self._head.check()
            for member in self._members:
                if member.actor is None and monotonic() >= member.not_before:
                    member.actor, member.since = self._new_actor(), monotonic()
                    member.outcome = member.actor.work.remote(*self._work)
            working = {member.outcome: member for member in self._working()}
            ended = self._ready(working, max(LOOK_EVERY, len(self._members) / 100))
            self._look()
            self._warn_if_none_starts()
            for reference in ended:
                outcome = self._outcome(reference, working[reference])
                if outcome.kind == "done":
                    self._look(LAST_LOOK)
                    self._show(done=True)
                    return outcome.value
                if outcome.kind == "refused":
                    raise UserError(outcome.code, f"{self._on(outcome.host)}{outcome.text}")
                self._replace(working[reference], outcome)

    def end(self) -> None:
        """End all actors; those that work give their leases back first."""
        running = [] if self._head.is_lost else self._working()  # Ray ends those that have lost it
        working = [member for member in running if member.seen is not None]
        try:
            for member in working:
                member.actor.look.remote(stop=True)
            if working:
                self._ray.wait([member.outcome for member in working], num_returns=len(working), timeout=GRACE)
        finally:
            for member in running:
                self._ray.kill(member.actor)
            if self._bar is not None:
                self._bar.close()

    def _working(self) -> list[_Member]:
        return [member for member in self._members if member.actor is not None]

    def _ready(self, references: Any, seconds: float, most: int = 1) -> list[Any]:
        if not references:
            return []
        ready: list[Any] = self._ray.wait(list(references), num_returns=most, timeout=seconds)[0]
        return ready

    def _outcome(self, reference: Any, member: _Member) -> Outcome:
        host = member.seen.host if member.seen else ""
        try:
            outcome: Outcome = self._ray.get(reference)
            return outcome
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:  # the node lacks vidsemi, or has another one
                return Outcome("refused", code="ray.no_worker", text=_last_line(str(error)), host=host)
            return Outcome("failed", text=_reason(str(error)), host=host)
        except self._ray.exceptions.RayError as error:
            return Outcome("failed", text=str(error), host=host)

    def _replace(self, member: _Member, outcome: Outcome) -> None:
        """Have another actor start, at once unless those before it have died at once.

        Raises:
            UserError: too many have died in a row.
        """
        seen, own = member.seen, member.figures
        computed = self._gone_written + self._gone_open
        computed += sum(one.figures.written + one.figures.open for one in self._members)
        self._gone_written += own.written
        self._gone_open += own.open
        self._gone_unreadable += own.unreadable
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(member.actor)  # where it was only out of reach
        member.actor = member.seen = member.look = None
        if seen is not None and not self._is_alive(seen.node):
            logger.warning("%s: the node %s is gone; its worker starts elsewhere", self._title, outcome.host)
            return
        why = _last_line(outcome.text)
        logger.warning("%s: a worker has died and is replaced: %s%s", self._title, self._on(outcome.host), why)
        member.deaths = 0 if own.written + own.open else member.deaths + 1
        if member.deaths > QUICK_DEATHS:
            member.not_before = monotonic() + min(2.0 ** (member.deaths - QUICK_DEATHS), LONGEST_PAUSE)
        self._deaths = self._deaths + 1 if computed <= self._computed_then else 1
        self._computed_then = max(computed, self._computed_then)
        if self._deaths >= MAX_DEATHS:
            raise UserError(
                "ray.workers_die",
                f"{self._deaths} workers in a row have died before they finished an example; the last: "
                f"{self._on(outcome.host)}{why}; if memory is short, give each actor more CPUs, so that fewer share a "
                "node; the same command resumes",
            )

    def _is_alive(self, node: str) -> bool:
        return any(one["NodeID"] == node and one["Alive"] for one in self._ray.nodes())

    def _on(self, host: str) -> str:
        """Name a node, where there are several."""
        return f"on {host}: " if host and len(self._ray.nodes()) > 1 else ""

    def _look(self, seconds: float = 0.0) -> None:
        """Take the answers of actors that were asked what they are doing, and ask again; wait so long for these."""
        self._take_answers(0.0)
        for member in self._working():
            member.look = member.look or member.actor.look.remote()
        if seconds:
            self._take_answers(seconds)
        self._show()

    def _take_answers(self, seconds: float) -> None:
        asked = {member.look: member for member in self._working() if member.look is not None}
        for reference in self._ready(asked, seconds, len(asked)):
            member = asked[reference]
            with suppress(self._ray.exceptions.RayError):  # it has died, as its outcome tells
                member.seen = self._ray.get(reference)
                self._log(member.seen)
            member.look = None

    def _log(self, look: Look) -> None:
        """Repeat the log messages of a worker, each text once."""
        for level, text in look.logs:
            if text not in self._logged:
                self._logged.add(text)
                logger.log(level, "%s: %s%s", self._title, self._on(look.host), text)

    def _warn_if_none_starts(self) -> None:
        working = self._working()
        if any(member.seen is not None for member in working):
            self._has_warned = False
        elif working and not self._has_warned and monotonic() - min(one.since for one in working) > STARTS_WITHIN:
            self._has_warned = True
            free = self._ray.available_resources()
            logger.warning(
                "%s: no worker has started for %.0f s; each needs %s on one node, and all nodes together have %g CPUs "
                "and %g GPUs free (see `ray status`); waiting for other jobs to end or nodes to join",
                self._title,
                STARTS_WITHIN,
                self._needs,
                free.get("CPU", 0),
                free.get("GPU", 0),
            )

    def _show(self, done: bool = False) -> None:
        """Show how far all workers are together."""
        own = [member.figures for member in self._working() if member.figures.total]
        if not own:
            return
        total = own[0].total
        if self._bar is None:
            self._before = min(one.before for one in own)
            self._bar = progress_bar(total, self._unit, self._title, self._before)
        written = self._before + self._gone_written + sum(one.written for one in own)
        known = max(written + sum(one.open for one in own), *(one.before + one.written for one in own))
        waiting = [one.waiting for one in own if one.waiting is not None]
        note = Figures(
            total,
            self._before,
            unreadable=self._gone_unreadable + sum(one.unreadable for one in own),
            waiting=sum(waiting) / len(waiting) if waiting else None,
        ).note
        self._bar.set_postfix_str(f"{len(own)} of {len(self._members)} workers, {note}", refresh=False)
        self._bar.update((total if done else min(known, total)) - self._bar.n)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else "no reason is known"


def _reason(text: str) -> str:
    """The reason in Ray's message about a dead actor, without its advice."""
    return _last_line(text).partition(" Some common causes")[0]
