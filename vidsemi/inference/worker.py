"""One worker of a scoring job: it takes shards that nobody has, then those of workers that died, until none is left."""

import logging
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.data.views import ViewReader, ViewRequest
from vidsemi.data.worker_pool import read_all
from vidsemi.inference.leases import Claim, Claims
from vidsemi.inference.model import Inference
from vidsemi.inference.score_parts import count_examples, done_numbers, is_done, scored_example
from vidsemi.inference.score_views import Clock, Reading, VideoScore, Views, reading_in_processes, score_videos
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.files import remove_temporary
from vidsemi.io.progress import progress_bar
from vidsemi.runtime.device import clips_per_forward, worker_count
from vidsemi.runtime.launch import local_rank
from vidsemi.selection.score_format import ScoresInfo, shard_name
from vidsemi.selection.score_writer import top_classes, write_failures, write_shard

logger = logging.getLogger("vidsemi")

LOOK_AGAIN = 10.0  # seconds between looks at what other workers have done
WAIT = 1.0  # seconds between looks when only others have something to do
DEADLY = "ends the process that scores it, time after time"


class ScoreWorker:
    """Scores shards of a manifest into a directory. Arguments as in `score_manifest`, and what it makes of them."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        shards: list[range],
        info: ScoresInfo,
        infer: Inference,
        reader: ViewReader,
        runtime: Runtime,
        claims: Claims,
        title: str,
    ):
        self._folder, self._manifest, self._shards, self._info = folder, manifest, shards, info
        self._infer, self._reader, self._machine, self._claims = infer, reader, runtime, claims
        self._clips_per_forward = clips_per_forward(runtime, infer.device)
        self._clock = Clock()
        self._read = self._failed = 0
        self._waits, self._reason = False, ""
        self._put_off: set[int] = set()  # shards of which nothing could be read, before anything was
        self._done = done_numbers(folder)
        self._looked = time.monotonic()
        done = self._examples(self._done)
        self._bar = progress_bar(len(manifest), "example", title, done, silent=local_rank() != 0)

    def work(self) -> None:
        """Score until every shard has its part and its failures, which hold each of its examples once."""
        sample = self._manifest.row(0)
        ahead = reading_in_processes(self._reader, self._machine, self._clips_per_forward, sample)
        with self._bar:
            while left := self._left() or self._again():
                begun = len(self._done), self._read
                self._score(self._unclaimed(left), ahead)
                for number in left:
                    if claim := self._mine(self._claims.take_over(number)):
                        self._score([claim], self._carefully(claim) if claim.careful else ahead)
                if (len(self._done), self._read) == begun and (others := self._left()):
                    self._wait(others)
        self._claims.clear()
        remove_temporary(self._folder)
        remove_temporary(self._folder / "failures")

    def _wait(self, others: list[int]) -> None:
        """Give other workers time for the shards that they have, unless all that is left cannot be read here."""
        if self._put_off.issuperset(others):
            if scored_example(self._folder, sorted(self._done)) is None:
                tried = self._examples(self._put_off)
                raise UserError(f"not one of the {tried} examples tried can be read; the last is {self._reason}")
            self._put_off.clear()  # now somebody has read something
            return
        if not self._waits:
            logger.info("waiting for %d parts that other workers are at", len(others))
            self._waits = True
        time.sleep(WAIT)

    def _again(self) -> list[int]:
        """Shards that have both files, but not each example once; none in general.

        Two workers had such a shard, one of them being thought dead, and did not read the same of it; or somebody else
        put a part there. They are scored again.
        """
        wrong = []
        for number in range(len(self._shards)):
            if self._is_whole(number):
                continue
            if claim := self._claims.take(number) or self._claims.take_over(number):
                if not self._is_whole(number):  # still, now that nobody else is at it
                    (self._folder / shard_name(number)).unlink(missing_ok=True)
                    self._done.discard(number)
                    self._bar.update(-len(self._shards[number]))
                    wrong.append(number)
                self._claims.release(claim)
        return wrong

    def _is_whole(self, number: int) -> bool:
        counts = count_examples(self._folder, number, self._info.per_example)
        return counts is not None and sum(counts) == len(self._shards[number])

    def _left(self) -> list[int]:
        """The shards that are not done now."""
        before, self._done = self._done, done_numbers(self._folder)
        self._looked = time.monotonic()
        self._bar.update(self._examples(self._done - before))
        return [number for number in range(len(self._shards)) if number not in self._done]

    def _examples(self, numbers: Iterable[int]) -> int:
        return sum(len(self._shards[number]) for number in numbers if number < len(self._shards))

    def _unclaimed(self, left: list[int]) -> Iterator[Claim]:
        """Claims of shards that nobody has, one at a time."""
        for number in left:
            if time.monotonic() - self._looked > LOOK_AGAIN:
                self._left()
            if number in self._put_off and not self._read:
                continue
            if number not in self._done and (claim := self._mine(self._claims.take(number))):
                yield claim

    def _mine(self, claim: Claim | None) -> Claim | None:
        """A claim, unless somebody has finished the shard since we looked."""
        if claim is not None and is_done(self._folder, claim.number):
            self._claims.release(claim)
            return None
        return claim

    def _score(self, claims: Iterable[Claim], reading: Reading) -> None:
        """Score the shards of claims and write their parts."""
        taken: deque[tuple[Claim, list[int]]] = deque()

        def shards() -> Iterator[Sequence[int]]:
            for claim in claims:
                examples = [example for example in self._shards[claim.number] if example not in claim.deadly]
                if examples:
                    taken.append((claim, examples))
                    yield examples
                else:
                    self._write(claim, [])

        scores = score_videos(
            self._infer,
            shards(),
            self._manifest.row,
            self._reader,
            reading=reading,
            clips_per_forward=self._clips_per_forward,
            clock=self._clock,
        )
        with closing(scores):
            while first := next(scores, None):
                claim, examples = taken.popleft()
                rest = islice(scores, len(examples) - 1)
                self._write(claim, [self._reduced(first), *map(self._reduced, rest)])

    def _reduced(self, score: VideoScore) -> tuple[int, np.ndarray, np.ndarray] | tuple[int, str]:
        """An example's id with its best classes and their scores, or with the reason why there are none."""
        self._claims.progress()
        self._failed += score.error is not None
        self._read += score.error is None
        self._bar.set_postfix_str(
            f"{self._failed} cannot be read, waits for data {self._clock.share:.0%}", refresh=False
        )
        self._bar.update()
        probabilities = score.probabilities
        if probabilities is None:
            return score.example_id, score.error or ""
        labels, scores = top_classes(probabilities[None], self._info.per_example)
        return score.example_id, labels[0], scores[0]

    def _carefully(self, claim: Claim) -> Reading:
        """Reading one file at a time, with a note of which, so that one that ends this process is found."""

        def reading(requests: Iterable[ViewRequest]) -> Generator[Views, None, None]:
            def noted() -> Iterator[ViewRequest]:
                for request in requests:
                    claim.note(request.row.example_id)
                    yield request

            workers = min(worker_count(self._machine), 1)
            seconds = self._machine.seconds_per_file
            with closing(read_all(self._reader, noted(), workers=workers, seconds=seconds, prefetch=1)) as ready:
                for views in ready:
                    claim.note(None)
                    yield views

        return reading

    def _write(self, claim: Claim, scores: list[tuple]) -> None:
        """Write a shard: its failures first, so that a part that exists has both."""
        number = claim.number
        good = [score for score in scores if len(score) == 3]
        bad = [score for score in scores if len(score) == 2]
        if bad and not self._read and not self._others_fail_too(number, bad[0]):
            self._claims.release(claim)
            return
        if not self._claims.owns(claim):  # whoever has it may have read what could not be read here
            self._claims.release(claim)
            return
        self._bar.update(len(claim.deadly.intersection(self._shards[number])))
        bad += [(example, DEADLY) for example in self._shards[number] if example in claim.deadly]
        write_failures(
            self._folder, number, [(example, self._manifest.row(example).path, why) for example, why in sorted(bad)]
        )
        width = self._info.per_example
        write_shard(
            self._folder,
            number,
            np.array([example for example, _, _ in good], np.int64),
            np.array([labels for _, labels, _ in good], np.int64).reshape(-1, width),
            np.array([values for _, _, values in good], np.float32).reshape(-1, width),
            self._info,
        )
        self._done.add(number)
        self._claims.release(claim)

    def _others_fail_too(self, number: int, failure: tuple[int, str]) -> bool:
        """Whether a shard of which nothing can be read is at fault, not this machine, which has read nothing so far.

        That is settled by an example that was read before, by this or another worker. While there is none, the shard is
        put off, so that a worker whose disk is not there cannot make failures of a corpus.

        Raises:
            UserError: what others could read cannot be read here.
        """
        self._reason = f"{self._manifest.row(failure[0]).path}: {failure[1]}"
        known = scored_example(self._folder, sorted(self._done))
        if known is None:
            self._put_off.add(number)
            self._bar.update(-len(self._shards[number]))
            return False
        try:
            self._reader(next(self._reader.requests(self._manifest.row(known))))
        except DecodeError as error:
            raise UserError(f"{error}: that could be read before; is the disk there, and --root right?") from None
        return True
