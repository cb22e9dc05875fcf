"""Which example comes when: repeat factors, the shuffled order of each epoch, and micro-batches.

An epoch goes once through the dataset, repeats included. At natural frequency rare hashtags are hardly ever seen; the
other two rules for repeat factors are reported to gain 5 to 6 points (Mahajan et al. 2018). That the threshold t is the
share of the most frequent label is our reading: with it, `uniform` does what its name says.
"""

import math
from collections.abc import Callable, Iterator
from itertools import islice, repeat

import numpy as np
from torch.utils.data import Sampler

from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import Key

MOST = np.iinfo(np.int32).max
AT_ONCE = 1 << 20  # examples whose repeats are drawn at a time
KEYS_AT_ONCE = 100_000  # keys of an epoch that are converted to Python integers at a time

REPEAT_RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # φ
    "natural": np.ones_like,
    "square_root": np.sqrt,
    "uniform": np.asarray,
}


def repeat_factors(targets: Targets, rule: str) -> np.ndarray:
    """How often each example should occur in an epoch, (N,) float64, at least 1.

    A label h of a share f_h of the examples has the factor max(1, φ(t / f_h)), and an example the largest factor of its
    labels, where t is the share of the most frequent label. With `uniform` all labels come equally often if examples
    have one label each. The rule is a key of `REPEAT_RULES`.
    """
    return np.concatenate([np.empty(0), *_factors(targets, rule)])


def draw_repeats(factors: np.ndarray, seed: int | np.random.Generator) -> np.ndarray:
    """Round factors (N,) stochastically to (N,) int32: up with the probability of the fractional part.

    The mean over seeds is the factor itself.
    """
    return np.floor(factors + np.random.default_rng(seed).random(len(factors))).astype(np.int32)


def repeats_of(targets: Targets, rule: str, seed: int) -> np.ndarray:
    """Draw how often each example occurs in an epoch, (N,) int32, from its repeat factor; see `repeat_factors`."""
    random, repeats, done = np.random.default_rng(seed), np.empty(len(targets), np.int32), 0
    for own in _factors(targets, rule):
        repeats[done : done + len(own)] = draw_repeats(own, random)
        done += len(own)
    return repeats


def _factors(targets: Targets, rule: str) -> Iterator[np.ndarray]:
    """The repeat factors of some examples at a time."""
    counts = np.bincount(targets.labels, minlength=targets.classes)
    factors = np.maximum(1.0, REPEAT_RULES[rule](counts.max() / np.maximum(counts, 1)))
    for begin in range(0, len(targets), AT_ONCE):
        offsets = targets.offsets[begin : begin + AT_ONCE + 1]
        yield np.maximum.reduceat(factors[targets.labels[offsets[0] : offsets[-1]]], offsets[:-1] - offsets[0])


class EpochSampler(Sampler[Key]):
    """Keys (epoch, index, repeat) of `TrainClips`; the order of an epoch is a permutation of (seed, epoch).

    Each of N examples occurs `repeats`, (N,) integers, times in an epoch, each time augmented differently. The
    positions `start` and `stop` count over all epochs.
    """

    def __init__(self, repeats: np.ndarray, *, seed: int, start: int, stop: int):
        self.repeats, self.seed, self.start, self.stop = repeats, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Key]:
        ends = np.cumsum(self.repeats)
        position = self.start
        while position < self.stop:
            epoch, offset = divmod(position, int(ends[-1]))
            order = np.arange(ends[-1], dtype=np.int32 if ends[-1] <= MOST else np.int64)
            np.random.default_rng((self.seed, epoch)).shuffle(order)
            stop = min(len(order), offset + self.stop - position)
            for first in range(offset, stop, KEYS_AT_ONCE):
                places = order[first : min(first + KEYS_AT_ONCE, stop)]
                index = np.searchsorted(ends, places, side="right")
                copy = places - (ends[index] - self.repeats[index])
                yield from zip(repeat(epoch), index.tolist(), copy.tolist(), strict=False)
            position += len(order) - offset


class MicroBatchSampler(Sampler[list[Key]]):
    """Lists of keys: the micro-batches of each step that this process computes.

    A step takes the next `step_size` keys, the last one perhaps fewer. Micro-batch i of n holds those from i/n to
    (i + 1)/n of the step, so it does not depend on the number of processes which example is in which micro-batch. Those
    in `own` are this process's.
    """

    def __init__(self, keys: EpochSampler, *, step_size: int, micro_batches: int, own: range):
        self.keys, self.step_size, self.micro_batches, self.own = keys, step_size, micro_batches, own

    def __len__(self) -> int:
        return math.ceil(len(self.keys) / self.step_size) * len(self.own)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = iter(self.keys)
        while step := list(islice(keys, self.step_size)):
            for number in self.own:
                first, stop = (micro_batch_start(len(step), i, self.micro_batches) for i in (number, number + 1))
                yield step[first:stop]


def micro_batch_start(size: int, number: int, micro_batches: int) -> int:
    """How many of a step's `size` keys come before micro-batch `number`."""
    return size * number // micro_batches
