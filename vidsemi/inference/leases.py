"""Leases: which worker scores which shard. Workers on any number of machines share a directory and nothing else.

A worker creates `leases/NNNNNN` exclusively, writes the shard, and removes the lease; meanwhile it renews the time of
the file. A lease whose worker is dead, or whose file does not change for `EXPIRY` seconds of the observer's own clock,
is taken over. Clocks of machines are not compared, so they may differ. If two workers ever hold one shard, both write
the same bytes.
"""

import json
import os
import re
import stat
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from vidsemi.io.files import create_exclusive, put_aside, read_regular, remove_temporary, write_text
from vidsemi.runtime.process import is_dead, lives_here, this_process

RENEW_EVERY = 30.0  # seconds
EXPIRY = 180.0  # seconds; network file systems may show a file's time up to 60 s late
CAREFUL_FROM = 3  # attempt; being careful is slow, and one death tells little
MAX_SHARDS = 10**12
MAX_BYTES = 1 << 20  # of a lease
MAX_DEATHS = 3  # of workers that were reading one example and nothing else; it is then not read again


@dataclass
class Lease:
    """A shard that this worker holds."""

    number: int
    file: Path
    attempt: int = 1  # one more for each worker that died with the shard
    deaths: dict[int, int] = field(default_factory=dict)  # workers that died while they read an example, by its id
    reading: int | None = None  # the example that is being read, where that is noted
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells this lease from others of the same shard

    @property
    def careful(self) -> bool:
        """Whether to read one example at a time and note which, since workers died with this shard."""
        return self.attempt >= CAREFUL_FROM

    @property
    def crashing(self) -> set[int]:
        """Examples that crashed `MAX_DEATHS` workers and are not read again."""
        return {example_id for example_id, deaths in self.deaths.items() if deaths >= MAX_DEATHS}

    def note(self, example_id: int | None) -> None:
        """Record which example is being read, for the worker that takes over if this one dies."""
        self.reading = example_id
        write_text(self.file, self.text(this_process()))

    def text(self, owner: dict[str, Any] | None) -> str:
        """Return the content of the file."""
        names = ("token", "attempt", "reading", "deaths")
        return json.dumps({"owner": owner, **{name: getattr(self, name) for name in names}})


class Leases:
    """The leases of a directory: a context that renews those of this worker and gives them back when it ends.

    After `patience` seconds without `report_progress` this worker counts as hung and renews no more. Whatever else is
    in the folder, such as links, folders, or leases of shards from number `shards` on, is named and put aside.
    """

    def __init__(self, folder: Path, patience: float, shards: int = MAX_SHARDS):
        self._folder, self._patience, self._shards = folder, patience, shards
        self._progress = monotonic()
        self._held: dict[int, Lease] = {}
        self._seen: dict[int, tuple[str, float]] = {}  # state of a lease of another worker, and since when
        self._ended = Event()
        self._thread = Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Leases":
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            put_aside(self._folder, self._aside, "is not a folder")
        for file in self._files():  # so that leases of dead workers expire while this one scores other shards
            self._unchanged_since(int(file.name), _state(file) or "")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for lease in list(self._held.values()):
            self._give_back(lease)

    def report_progress(self) -> None:
        """Report that this worker is not hung."""
        self._progress = monotonic()

    def take(self, number: int) -> Lease | None:
        """Lease a shard; None if another worker holds it."""
        return self._create(Lease(number, self._file(number)))

    def _create(self, lease: Lease) -> Lease | None:
        self._held[lease.number] = lease  # before the file, so that an interrupt between the two leaves no file
        if not create_exclusive(lease.file, lease.text(this_process())):
            del self._held[lease.number]
            return None
        return lease

    def take_over(self, number: int) -> Lease | None:
        """Lease a shard whose worker is gone; None if the worker lives or there is no lease."""
        file = self._file(number)
        if _is_junk(file):
            self._put_junk_aside(file)
            return self.take(number)
        state = _state(file)
        if state is None:
            return None
        content = _content(state)
        age = monotonic() - self._unchanged_since(number, state)
        if not (content and is_dead(content["owner"])) and age < EXPIRY:
            return None
        aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
        with suppress(FileNotFoundError):
            os.rename(file, aside)
            lease = None
            if _state(aside) == state:
                lease = self._create(_successor(number, file, content))
                if content is None:
                    put_aside(aside, self._aside, "is damaged", name=file.name)
            else:  # another worker was faster, and this is its lease
                with suppress(OSError):
                    os.link(aside, file)
            aside.unlink(missing_ok=True)
            return lease
        return None

    def state(self, number: int) -> str | None:
        """Return a text that changes when the lease of a shard does; None if there is none."""
        return _state(self._file(number))

    def is_held_here(self, number: int) -> bool:
        """Return whether a process of this machine that lives has the lease of a shard."""
        content = _content(self.state(number) or "")
        return bool(content and lives_here(content["owner"]))

    def release(self, lease: Lease) -> None:
        """Remove the lease of a shard that is written, or that others may take."""
        if self.owns(lease):
            lease.file.unlink(missing_ok=True)
        self._held.pop(lease.number, None)

    def clear(self) -> None:
        """Remove all leases once every shard is done; a worker may have died between its shard and its lease."""
        for file in self._files():
            file.unlink(missing_ok=True)
        remove_temporary(self._folder)

    def owns(self, lease: Lease) -> bool:
        """Return whether this worker still holds a lease; one that took it for dead may have taken over."""
        content = _content(_state(lease.file) or "")
        return bool(content and content["token"] == lease.token)

    def _unchanged_since(self, number: int, state: str) -> float:
        if number not in self._seen or self._seen[number][0] != state:
            self._seen[number] = (state, monotonic())
        return self._seen[number][1]

    def _give_back(self, lease: Lease) -> None:
        """Leave a shard to others, and with it what is known about its examples."""
        if lease.attempt == 1:
            self.release(lease)
        elif self.owns(lease):
            lease.reading = None
            with suppress(OSError):
                write_text(lease.file, lease.text(None))

    def _files(self) -> list[Path]:
        """Return the leases; put anything else aside."""
        files = []
        for file in self._folder.glob("[!.]*"):
            name = file.name
            known = name.isascii() and name.isdecimal() and len(name) <= 12 and file == self._file(int(name))
            if known and int(name) < self._shards and not _is_junk(file):
                files.append(file)
            else:
                self._put_junk_aside(file)
        return files

    @property
    def _aside(self) -> Path:
        return self._folder.with_name("aside")

    def _put_junk_aside(self, file: Path) -> None:
        aside = put_aside(file, self._aside, "is not the lease of a shard")
        if aside is None or not re.fullmatch(r"\d{6,12}", file.name) or _is_junk(aside):
            return
        if int(file.name) < self._shards:  # another worker was faster, and this is its lease
            with suppress(OSError):
                os.link(aside, file)
            aside.unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}"

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_EVERY):
            for lease in list(self._held.values()) if monotonic() - self._progress < self._patience else []:
                with suppress(OSError):  # another worker has taken over
                    os.utime(lease.file)


def _is_junk(file: Path) -> bool:
    """Whether something that is not a regular file has the name of a lease."""
    try:
        return not stat.S_ISREG(os.lstat(file).st_mode)
    except OSError:
        return False


def _state(file: Path) -> str | None:
    """Return time and content of a lease as one text that changes if either does; None if there is no lease.

    A lease that cannot be read, such as one of another user, has no content.
    """
    try:
        time = file.stat().st_mtime_ns
    except OSError:  # there is none, or another machine replaced it just now (ESTALE)
        return None
    try:
        return f"{time}\n{read_regular(file, MAX_BYTES).decode(errors='replace')}"
    except FileNotFoundError:
        return None
    except OSError:
        return f"{time}\n"


def _content(state: str) -> dict[str, Any] | None:
    """Parse a lease from its `_state`; None if it is damaged."""
    try:
        content = json.loads(state.partition("\n")[2])
        lease = {
            "owner": content["owner"],
            "token": str(content["token"]),
            "attempt": int(content["attempt"]),
            "reading": None if content["reading"] is None else int(content["reading"]),
            "deaths": {int(example_id): int(deaths) for example_id, deaths in content["deaths"].items()},
        }
        deaths = lease["deaths"].values()
        possible = min(deaths, default=0) >= 0 and sum(deaths) <= lease["attempt"] + 1  # each death adds an attempt
        return lease if possible and lease["attempt"] < MAX_SHARDS else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _successor(number: int, file: Path, content: dict[str, Any] | None) -> Lease:
    if content is None:
        return Lease(number, file, attempt=2)
    deaths = dict(content["deaths"])
    if content["reading"] is not None:
        deaths[content["reading"]] = deaths.get(content["reading"], 0) + 1
    return Lease(number, file, attempt=content["attempt"] + (content["owner"] is not None), deaths=deaths)
