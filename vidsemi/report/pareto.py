"""The Pareto front: the choices that no other choice beats."""

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Whether each choice is on the Pareto front.

    A choice is on it unless another one costs no more, gains no less, and is better in one of the two. Choices that are
    equal in both are on the front together, or not at all.

    Args:
        costs: lower is better.
        gains: higher is better.
    """
    front = [False] * len(costs)
    best: tuple[float, float] | None = None  # cost and gain of the last choice on the front
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        if best is None or gains[index] > best[1] or (costs[index], gains[index]) == best:
            front[index] = True
            best = costs[index], gains[index]
    return front
