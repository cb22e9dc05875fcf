"""Where names go in a picture, so that they cover neither points nor one another. Boxes and pixels only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAP = 5.0  # pixels between a name and what is around it
NAMES = 1000.0  # times as bad as to cover something else
CROSSED = 100.0  # square pixels: a line across a name is as bad as covering a good part of a point
RISES = 8  # heights that are tried, each a name's own


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def center(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in the rectangle that is nearest to another place."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def place_names(
    sizes: Sequence[tuple[float, float]], named: Sequence[Box], obstacles: Sequence[Box], bounds: Box
) -> list[Box]:
    """A box for each name, above or below what it names, or beside it.

    Each takes the nearest place that covers nothing, in the order given; where there is none, that which covers least.

    Args:
        sizes: width and height of each name.
        named: what each stands for.
        obstacles: what should stay visible.
        bounds: that names do not leave.
    """
    placed: list[Box] = []  # with some room beside them
    for (width, height), target in zip(sizes, named, strict=True):
        candidates = [_inside(place, bounds) for place in _places((width + 2 * GAP, height), target)]
        costs = [_cost(place, target, obstacles, placed) for place in candidates]
        placed.append(candidates[costs.index(min(costs))])  # the first of the best
    return [Box(box.left + GAP, box.bottom, box.right - GAP, box.top) for box in placed]


def _cost(place: Box, target: Box, obstacles: Sequence[Box], placed: Sequence[Box]) -> float:
    """Square pixels that a place covers; those of other names count far more, since nobody could read either."""
    covered = sum(map(place.overlap, obstacles)) + NAMES * sum(map(place.overlap, placed))
    return covered + (CROSSED if _crosses(place, target, placed) else 0)


def _crosses(place: Box, target: Box, placed: Sequence[Box]) -> bool:
    """Whether a line from a place to its target would cross a name."""
    x, y = place.nearest(*target.center)
    end_x, end_y = target.nearest(x, y)
    line = [(x + (end_x - x) * step / 10, y + (end_y - y) * step / 10) for step in range(1, 10)]
    return any(name.nearest(*at) == at for name in placed for at in line)


def _places(size: tuple[float, float], target: Box) -> Iterator[Box]:
    """Boxes around the target, nearest first: above and below it, then beside it."""
    width, height = size
    left, right = target.left - width, target.right
    center, middle = (target.left + target.right - width) / 2, (target.bottom + target.top - height) / 2
    for rise in range(RISES):
        shift = rise * height
        above, below = target.top + GAP + shift, target.bottom - GAP - height - shift
        corners = [(x, y) for x in (center, right, left) for y in (above, below)]
        corners += [(x, y) for x in (right, left) for y in (middle + shift, middle - shift)]
        yield from (Box(x, y, x + width, y + height) for x, y in corners)


def _inside(box: Box, bounds: Box) -> Box:
    """The box moved into the bounds; one wider than they are starts where they do."""
    right = max(bounds.left - box.left, min(0.0, bounds.right - box.right))
    up = max(bounds.bottom - box.bottom, min(0.0, bounds.top - box.top))
    return Box(box.left + right, box.bottom + up, box.right + right, box.top + up)
