"""Selection policies: how many candidates each class takes, and which of them it prefers.

A candidate is a score row that `scan` leaves after P (`per_example`) and `min_score`. K (`per_class`) comes in here:
`Policy.quotas` turns it into rows per class, and `TopPerClass` keeps that many. `balanced_ranked` is the paper's
method; the others are controls, two of them from its Table 5. Register another with `register_policy`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.runtime.registry import Registry, failed_plugins, nearest

if TYPE_CHECKING:  # names can be checked without compiling anything
    from vidsemi.selection.topk import Priority


class Policy:
    """Base class: each class takes K candidates, the highest-scoring first."""

    needs_counts = False  # `quotas` needs the candidates of each class, which takes another pass over the scores
    needs_seed = False  # `priority` depends on the seed
    needs_tags = False  # candidates are the examples whose hashtags match a class, not score rows
    mergeable = True  # selections from different shards can be merged; not if a quota depends on all candidates

    def quotas(self, per_class: int, candidates: np.ndarray) -> np.ndarray:
        """Return how many rows each class takes.

        Args:
            per_class: K.
            candidates: rows that each class could take, (classes,) int64; all 0 unless `needs_counts`.

        Returns:
            (classes,) int64.
        """
        return np.full_like(candidates, per_class)

    def priority(self, seed: int) -> "Priority | None":
        """Return what a class ranks its candidates by.

        Args:
            seed: of a policy that draws at random.

        Returns:
            a function from example ids and labels to float32 in [0, 1], the highest first; None for the score.
        """
        return None


PolicyType = TypeVar("PolicyType", bound=type[Policy])

_POLICIES: Registry[Policy] = Registry("policy")


def register_policy(name: str) -> Callable[[PolicyType], PolicyType]:
    """Decorate a subclass of `Policy` to make it available under a name, in configs and on the command line.

    Args:
        name: of the policy.

    Returns:
        The decorator, which returns the class as it is.

    Raises:
        UserError: the name is invalid or taken, or what is decorated is not a subclass of `Policy`.
    """
    return _POLICIES.decorator(name, _instance)


def _instance(policy: object) -> Policy:
    if not (isinstance(policy, type) and issubclass(policy, Policy)):
        raise UserError("policy.not_a_policy", f"{policy!r} is not a subclass of vidsemi.selection.policies.Policy")
    return policy()


def find_policy(name: str) -> Policy | None:
    """Return a registered policy, or None."""
    return _POLICIES.get(name)


def get_policy(name: str) -> Policy:
    """Return a registered policy, or raise a `UserError` that names those there are."""
    policy = find_policy(name)
    if policy is None:
        known = _POLICIES.all()
        near = nearest(name, known)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UserError(
            "policy.unknown", f"unknown policy '{name}'{hint}; choose one of {', '.join(known)}{failed_plugins()}"
        )
    return policy


def quotas_of(name: str, per_class: int, candidates: np.ndarray) -> np.ndarray:
    """Rows that each class takes by a policy, (classes,) int64; a UserError if it does not return such."""
    quotas = np.asarray(get_policy(name).quotas(per_class, candidates))
    if quotas.shape != candidates.shape or quotas.dtype.kind not in "iu" or (quotas < 0).any():
        raise UserError(
            "policy.invalid_quotas",
            f"the policy '{name}' returns quotas of {_described(quotas)}; expected {len(candidates)} whole numbers",
        )
    return quotas.astype(np.int64)


def priority_of(name: str, seed: int) -> "Priority | None":
    """What a class ranks its candidates by in a policy, None for the score; a UserError if that is not as promised."""
    priority = get_policy(name).priority(seed)
    if priority is None:
        return None

    def checked(example_id: np.ndarray, label: np.ndarray) -> np.ndarray:
        values = priority(example_id, label)
        valid = isinstance(values, np.ndarray) and values.shape == example_id.shape and values.dtype == np.float32
        if not valid or not ((values >= 0) & (values <= 1)).all():
            raise UserError(
                "policy.invalid_priority",
                f"the policy '{name}' returns priorities of {_described(np.asarray(values))}; expected "
                f"{len(example_id)} float32 numbers from 0 to 1",
            )
        return values

    return checked


def _described(values: np.ndarray) -> str:
    limits = f", from {values.min()} to {values.max()}" if values.size and values.dtype.kind in "iuf" else ""
    return f"shape {values.shape} and type {values.dtype}{limits}"


@register_policy("balanced_ranked")
class BalancedRanked(Policy):
    """The paper's method: each class takes its K highest-scoring candidates."""


@register_policy("unbalanced_ranked")
class UnbalancedRanked(Policy):
    """Ranked by score, but K × classes rows are divided by Zipf's law: the more candidates, the larger the share."""

    needs_counts = True
    mergeable = False

    def quotas(self, per_class: int, candidates: np.ndarray) -> np.ndarray:
        """Divide K × classes rows by Zipf's law."""
        return zipf_counts(candidates, per_class * len(candidates))


@register_policy("random")
class Random(Policy):
    """Each class takes K random candidates, which shows what the ranking alone is worth."""

    needs_seed = True

    def priority(self, seed: int) -> "Priority":
        """Rank at random."""
        return random_priority(seed)


@register_policy("balanced_with_tags")
class BalancedWithTags(Random):
    """Each class takes K random examples whose hashtags match it; the scores are ignored."""

    needs_tags = True
    mergeable = False


def zipf_counts(candidates: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` rows by Zipf's law: the class with the r-th most candidates gets a share proportional to 1/r.

    Ties go to the smaller class index. Shares are rounded down, and the rest goes to the largest fractions.
    """
    share = 1 / np.arange(1, len(candidates) + 1)
    exact = total * share / share.sum()
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    by_class: np.ndarray = np.empty_like(counts)
    by_class[np.argsort(-candidates, kind="stable")] = counts
    return by_class


def random_priority(seed: int) -> "Priority":
    """Return priorities that are a fixed function of seed, example and class, whatever the order of rows.

    They are the upper 24 bits of SplitMix64's finalizer, as a float32 in [0, 1).
    """
    start = np.array([seed * 0xD1342543DE82EF95 % 2**64], np.uint64)

    def priority(example_id: np.ndarray, label: np.ndarray) -> np.ndarray:
        z = start + example_id.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = z + label.astype(np.uint64) * np.uint64(0xA0761D6478BD642F)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        draws: np.ndarray = (z >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        return draws

    return priority
