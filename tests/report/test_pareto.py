"""The Pareto front: against the definition, and who takes part in it."""

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers.result_rows import row
from vidsemi.report.paper import paper_lines
from vidsemi.report.pareto import pareto_front
from vidsemi.report.summary import Line, mark_fronts, summarize

few = st.integers(0, 5).map(float)  # so that ties and duplicates are many


@given(st.lists(st.tuples(few, few), max_size=12))
@example([])
@example([(1.0, 1.0)])
@example([(1.0, 1.0), (1.0, 1.0)])
@example([(1.0, 1.0), (1.0, 1.0), (0.0, 1.0)])
@example([(1.0, 2.0), (1.0, 1.0), (2.0, 2.0)])
def test_the_front_is_what_no_other_choice_beats(choices: list[tuple[float, float]]):
    def beaten(cost: float, gain: float) -> bool:
        return any(c <= cost and g >= gain and (c < cost or g > gain) for c, g in choices)

    front = pareto_front([cost for cost, _ in choices], [gain for _, gain in choices])
    assert front == [not beaten(*choice) for choice in choices]


def on_front(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.student, line.approach) for line in lines if line.pareto_gmacs]


def test_neither_the_teacher_nor_the_paper_takes_part():
    rows = [
        row("teacher", "teacher", 0, 99, 0.5),  # would beat all others
        row("small", "supervised", 0, 40, 1.0),
        row("small", "semi_supervised", 0, 60, 1.0),
        row("large", "supervised", 0, 59, 50.0),
        row("large", "semi_supervised", 0, 62, 50.0),  # the paper's 76.7 for 83 and 74.2 for 21 do not count
    ]
    lines = mark_fronts([*summarize(rows), *paper_lines()])
    assert on_front(lines) == [("small", "semi_supervised"), ("large", "semi_supervised")]


def test_the_mean_over_seeds_decides():
    rows = [row("a", "supervised", seed, top1, 1.0) for seed, top1 in enumerate((10, 90))]
    rows += [row("b", "supervised", seed, top1, 1.0) for seed, top1 in enumerate((52, 52))]
    assert on_front(mark_fronts(summarize(rows))) == [("b", "supervised")]


def test_the_front_of_speed_has_those_whose_speed_is_known():
    rows = [row(name, "supervised", 0, top1, gmacs) for name, top1, gmacs in (("a", 50, 1), ("b", 60, 2), ("c", 70, 3))]
    speeds = {"a": 5.0, "b": 7.0, "c": None}  # the cheapest is not the fastest
    lines = mark_fronts([replace(line, clips_per_second=speeds[line.student]) for line in summarize(rows)])
    assert [line.student for line in lines if line.pareto_speed] == ["b"]
    assert [line.student for line in lines if line.pareto_gmacs] == ["a", "b", "c"]
