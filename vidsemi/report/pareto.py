"""Which of several choices are worth considering: those that no other beats."""

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Whether each choice is on the Pareto front.

    It is unless another one costs no more and gains no less, and is better in one of the two. So choices that are alike
    in both are on the front together, or not at all.

    Args:
        costs: less is better.
        gains: more is better.
    """
    front = [False] * len(costs)
    best: tuple[float, float] | None = None  # cost and gain of the last one found on the front
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        if best is None or gains[index] > best[1] or (costs[index], gains[index]) == best:
            front[index] = True
            best = costs[index], gains[index]
    return front
