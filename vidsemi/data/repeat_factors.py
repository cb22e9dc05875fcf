"""How often an example stands in a pass, by how rare its labels are (Mahajan et al. 2018).

By natural frequencies a long tail of hashtags is hardly seen: the other two rules are reported 5 to 6 points ahead. The
formula below is what is told of theirs; that its threshold t is the share of the most frequent label is this program's
reading, by which `uniform` does what its name says.
"""

from collections.abc import Callable

import numpy as np

from vidsemi.data.datasets import Targets

RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # φ
    "natural": np.ones_like,
    "square_root": np.sqrt,
    "uniform": np.asarray,
}


def replication_factors(targets: Targets, rule: str) -> np.ndarray:
    """How many times each example should stand in a pass, (N,) float64, at least 1.

    A label h carried by a share f_h of the examples has the factor max(1, φ(t / f_h)), and an example the largest
    factor of its labels. t is the share of the most frequent label: by the rule `uniform` every label comes out equally
    often where examples have one label each.

    Args:
        targets: labels of the examples, at least one each.
        rule: a key of `RULES`.
    """
    counts = np.bincount(targets.labels, minlength=targets.classes)
    factors = np.maximum(1.0, RULES[rule](counts.max() / np.maximum(counts, 1)))
    return np.maximum.reduceat(factors[targets.labels], targets.offsets[:-1])


def whole_copies(factors: np.ndarray, seed: int) -> np.ndarray:
    """Factors (N,) as whole numbers (N,) int64: rounded up with the probability of what is after the point.

    So the copies of a label's examples come out as many as their factors say, on average over seeds.
    """
    return np.floor(factors + np.random.default_rng(seed).random(len(factors))).astype(np.int64)
