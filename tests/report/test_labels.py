"""Names in a picture: inside, near what they name, over nothing while there is room."""

from hypothesis import given
from hypothesis import strategies as st

from vidsemi.report.labels import Box, place_names

BOUNDS = Box(0, 0, 700, 400)


def at(x: float, y: float) -> Box:
    return Box(x - 8, y - 8, x + 8, y + 8)


def inside(box: Box) -> bool:
    return box.left >= 0 and box.bottom >= 0 and box.right <= 700 and box.top <= 400


def test_a_name_stands_above_its_point_in_the_middle():
    (box,) = place_names([(60, 10)], [at(300, 200)], [at(300, 200)], BOUNDS)
    assert (box.left, box.right) == (270, 330)
    assert 208 < box.bottom < 218


def test_names_at_the_edges_stay_inside():
    corners = [at(x, y) for x in (8, 692) for y in (8, 392)]
    for box in place_names([(150, 10)] * 4, corners, corners, BOUNDS):
        assert inside(box)
        assert not any(box.overlap(corner) for corner in corners)


@given(st.lists(st.tuples(st.floats(8, 692), st.floats(8, 392)), max_size=6))
def test_a_few_names_never_meet(points: list[tuple[float, float]]):
    boxes = place_names([(100, 10)] * len(points), [at(*point) for point in points], [], BOUNDS)
    for index, box in enumerate(boxes):
        assert inside(box)
        assert not any(box.overlap(other) > 0.5 for other in boxes[:index])


def test_points_stay_visible():
    points = [at(300, 200), at(300, 222), at(330, 222), at(270, 222)]
    (box,) = place_names([(60, 10)], points[:1], points, BOUNDS)
    assert not any(box.overlap(point) for point in points)


def test_overlap_is_the_common_area():
    assert Box(0, 0, 4, 4).overlap(Box(3, 2, 9, 9)) == 2
    assert Box(0, 0, 4, 4).overlap(Box(4, 0, 9, 9)) == 0
    assert Box(0, 0, 1, 1).overlap(Box(5, 5, 9, 9)) == 0
