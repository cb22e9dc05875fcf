"""Who scores which shard: any number of workers on any number of machines that share a directory, and nothing else.

A worker creates `claims/NNNNNN` exclusively, writes the shard's part, and removes the claim. While it lives it sets the
file's time again and again. A claim whose worker is dead, or whose file stays the same for `LEASE` seconds of the
observer's own clock, is taken over. Clocks are not compared, so it does not matter what they say. If two workers ever
hold one shard, both write the same part.
"""

import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from vidsemi.io.files import create_exclusive, remove_temporary, write_text
from vidsemi.runtime.process import is_dead, own_identity

RENEW = 30.0  # seconds
LEASE = 180.0  # seconds; network file systems may show a file's time up to 60 s late
CAREFUL_FROM = 3  # attempt, since being careful is slow and one death tells little
DEATHS = 3  # of workers that were reading one and the same file and nothing else; then it is not read again


@dataclass
class Claim:
    """A shard that this worker has.

    Attributes:
        number: of the shard.
        file: the claim.
        attempt: 1 where nobody had it before; one more for each worker that died with it.
        deaths: how many workers died while they read an example, by its id.
        reading: the example that is being read, where that is noted.
        token: tells this claim from others of the same shard.
    """

    number: int
    file: Path
    attempt: int = 1
    deaths: dict[int, int] = field(default_factory=dict)
    reading: int | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def careful(self) -> bool:
        """Whether to read one file at a time and note which, since workers have died with this shard."""
        return self.attempt >= CAREFUL_FROM

    @property
    def deadly(self) -> set[int]:
        """Examples that are not to be read again."""
        return {example_id for example_id, deaths in self.deaths.items() if deaths >= DEATHS}

    def note(self, example_id: int | None) -> None:
        """Put down which example is being read, for whoever finds this worker dead."""
        self.reading = example_id
        write_text(self.file, self.text(own_identity()))

    def text(self, owner: dict[str, Any] | None) -> str:
        """The content of the file."""
        return json.dumps(
            {
                "owner": owner,
                "token": self.token,
                "attempt": self.attempt,
                "reading": self.reading,
                "deaths": self.deaths,
            }
        )


class Claims:
    """The claims of a directory; a context that renews those of this worker, and gives them back when it ends.

    Args:
        folder: where they are.
        patience: seconds without `progress` after which claims are renewed no longer, since the worker must be hung.
    """

    def __init__(self, folder: Path, patience: float):
        self._folder, self._patience = folder, patience
        self._progress = monotonic()
        self._held: dict[int, Claim] = {}
        self._seen: dict[int, tuple[str, float]] = {}  # what a claim of others looked like, and since when
        self._ended = Event()
        self._thread = Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Claims":
        for file in self._files():  # leases of the dead may be over when it is their shards' turn
            self._changed(int(file.name), _look(file) or "")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for claim in list(self._held.values()):
            self._give_back(claim)

    def progress(self) -> None:
        """Say that this worker is at work."""
        self._progress = monotonic()

    def take(self, number: int) -> Claim | None:
        """Claim a shard that nobody has; None if somebody has it."""
        return self._create(Claim(number, self._file(number)))

    def _create(self, claim: Claim) -> Claim | None:
        self._held[claim.number] = claim  # before the file: who is interrupted between the two gives it back
        if not create_exclusive(claim.file, claim.text(own_identity())):
            del self._held[claim.number]
            return None
        return claim

    def take_over(self, number: int) -> Claim | None:
        """Claim a shard whose worker is gone; None if it is not, or nobody has the shard."""
        file = self._file(number)
        look = _look(file)
        if look is None:
            return None
        content = _content(look)
        unchanged = monotonic() - self._changed(number, look)
        if not (content and is_dead(content["owner"])) and unchanged < LEASE:
            return None
        aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
        with suppress(FileNotFoundError):
            os.rename(file, aside)
            claim = None
            if _look(aside) == look:
                claim = self._create(_heir(number, file, content))
            else:  # somebody else was faster, and it is that one's claim that was moved
                with suppress(OSError):
                    os.link(aside, file)
            aside.unlink(missing_ok=True)
            return claim
        return None

    def release(self, claim: Claim) -> None:
        """Give a shard up whose part is written."""
        if self.owns(claim):
            claim.file.unlink(missing_ok=True)
        self._held.pop(claim.number, None)

    def clear(self) -> None:
        """Remove all claims, once no shard is left to be scored; some may be of workers that died after their part."""
        for file in self._files():
            file.unlink(missing_ok=True)
        remove_temporary(self._folder)

    def _changed(self, number: int, look: str) -> float:
        """Since when a claim has looked as it does, as far as this worker has seen."""
        if number not in self._seen or self._seen[number][0] != look:
            self._seen[number] = (look, monotonic())
        return self._seen[number][1]

    def _give_back(self, claim: Claim) -> None:
        """Leave a shard to others; what is known of its files stays known."""
        if claim.attempt == 1:
            self.release(claim)
        elif self.owns(claim):
            claim.reading = None
            with suppress(OSError):
                write_text(claim.file, claim.text(None))

    def owns(self, claim: Claim) -> bool:
        """Whether a claim is still this worker's: not taken over by one that thought it dead."""
        content = _content(_look(claim.file) or "")
        return bool(content and content["token"] == claim.token)

    def _files(self) -> list[Path]:
        return [file for file in self._folder.glob("[0-9]*") if file.name.isdecimal()]

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}"

    def _renew(self) -> None:
        while not self._ended.wait(RENEW):
            for claim in list(self._held.values()) if monotonic() - self._progress < self._patience else []:
                with suppress(OSError):  # somebody thought this worker dead
                    os.utime(claim.file)


def _look(file: Path) -> str | None:
    """Time and content of a claim as one text that changes if either does; None if there is none."""
    try:
        return f"{file.stat().st_mtime_ns}\n{file.read_text(encoding='utf-8', errors='replace')}"
    except PermissionError:
        raise
    except OSError:  # there is none, or it was replaced on another machine just now (ESTALE)
        return None


def _content(look: str) -> dict[str, Any] | None:
    """What a claim says; None if it is damaged."""
    try:
        content = json.loads(look.partition("\n")[2])
        return {
            "owner": content["owner"],
            "token": str(content["token"]),
            "attempt": int(content["attempt"]),
            "reading": None if content["reading"] is None else int(content["reading"]),
            "deaths": {int(example_id): int(deaths) for example_id, deaths in content["deaths"].items()},
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _heir(number: int, file: Path, content: dict[str, Any] | None) -> Claim:
    """The claim of the worker after the one that left `content`."""
    if content is None:
        return Claim(number, file, attempt=2)
    deaths = dict(content["deaths"])
    if content["reading"] is not None:
        deaths[content["reading"]] = deaths.get(content["reading"], 0) + 1
    return Claim(number, file, attempt=content["attempt"] + (content["owner"] is not None), deaths=deaths)
