"""Results averaged over seeds, and the students on the Pareto fronts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers.result_rows import load_run, row, run_of, write_results
from vidsemi.io.errors import UserError
from vidsemi.reporting.paper import table_7
from vidsemi.reporting.results import (
    Result,
    Spread,
    average_seeds,
    by_test_set,
    load_runs,
    mark_pareto_fronts,
    pareto_front,
    run_names,
)


def test_spread_is_the_sample_deviation():
    assert Spread.of([1.0, 2.0, 6.0]) == Spread(3.0, pytest.approx(7**0.5))
    assert str(Spread.of([1.0, 2.0, 6.0])) == "3.0 ± 2.6"
    assert str(Spread.of([3.25])) == "3.2"
    assert f"{Spread(3.25):+}" == "+3.2"


def test_results_are_averaged_over_seeds_in_the_order_of_the_rows():
    rows = [row("b", "supervised", 0, 50), row("a", "semi_supervised", 0, 70), row("b", "supervised", 1, 60)]
    results = average_seeds([run_of(rows)])
    assert [(result.student, result.approach, result.seeds, result.top1.mean) for result in results] == [
        ("b", "supervised", 2, 55),
        ("a", "semi_supervised", 1, 70),
    ]


def test_students_of_several_runs_carry_their_runs_names(tmp_path: Path):
    folders = [write_results(tmp_path / name, [row("a", "supervised", 0, 50)]) for name in ("x", "y")]
    assert [result.name for result in average_seeds(load_runs(folders))] == ["x/a", "y/a"]
    assert [result.name for result in average_seeds(load_run(folders[0]))] == ["a"]


def test_runs_have_the_shortest_names_that_differ():
    assert run_names([Path("/x/a"), Path("/x/b")]) == ["a", "b"]
    assert run_names([Path("/x/a/run"), Path("/x/b/run"), Path("/x/c")]) == ["a/run", "b/run", "x/c"]


def test_a_run_without_results_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"results\.json"):
        load_runs([tmp_path])
    (tmp_path / "results.json").write_text(json.dumps([{"student": "a"}]))
    with pytest.raises(UserError, match=r"results\.json"):
        load_runs([tmp_path])


def on_front(results: list[Result]) -> list[tuple[str, str]]:
    return [(result.student, result.approach) for result in results if result.pareto_gmacs]


def test_neither_teachers_nor_the_paper_are_on_the_front():
    rows = [
        row("teacher", "teacher", 0, 99, 0.5),  # would beat all others
        row("small", "supervised", 0, 40, 1.0),
        row("small", "semi_supervised", 0, 60, 1.0),
        row("large", "supervised", 0, 59, 50.0),
        row("large", "semi_supervised", 0, 62, 50.0),  # the paper's 76.7 for 83 and 74.2 for 21 do not count
    ]
    results = mark_pareto_fronts([*average_seeds([run_of(rows)]), *table_7()])
    assert on_front(results) == [("small", "semi_supervised"), ("large", "semi_supervised")]


def test_the_mean_over_seeds_decides():
    rows = [row("a", "supervised", seed, top1, 1.0) for seed, top1 in enumerate((10, 90))]
    rows += [row("b", "supervised", seed, top1, 1.0) for seed, top1 in enumerate((52, 52))]
    assert on_front(mark_pareto_fronts(average_seeds([run_of(rows)]))) == [("b", "supervised")]


def test_the_front_of_speed_has_only_students_with_a_measured_speed():
    rows = [row(name, "supervised", 0, top1, gmacs) for name, top1, gmacs in (("a", 50, 1), ("b", 60, 2), ("c", 70, 3))]
    speeds = {"a": 5.0, "b": 7.0, "c": None}  # the cheapest is not the fastest
    measured = [replace(result, clips_per_second=speeds[result.student]) for result in average_seeds([run_of(rows)])]
    results = mark_pareto_fronts(measured)
    assert [result.pareto_speed for result in results] == [False, True, None]
    assert [result.student for result in results if result.pareto_gmacs] == ["a", "b", "c"]


def test_each_test_set_has_a_front_of_its_own():
    """Neither seeds of different test sets are averaged, nor is a student beaten on another test set."""
    rows = [row("a", "supervised", 0, 50, 1.0, test_set="x"), row("b", "supervised", 0, 90, 0.5, test_set="y")]
    rows += [row("a", "supervised", 1, 10, 1.0, test_set="y")]
    groups = [mark_pareto_fronts(group) for group in by_test_set(average_seeds([run_of(rows)]))]
    assert [[(r.student, r.top1.mean, r.pareto_gmacs) for r in group] for group in groups] == [
        [("a", 50, True)],
        [("b", 90, True), ("a", 10, False)],
    ]
    assert [len(group) for group in by_test_set([*average_seeds([run_of(rows)]), *table_7()])] == [1, 2, 12]
    assert [len(group) for group in by_test_set([*average_seeds([run_of(rows[1:])]), *table_7()])] == [14]


few = st.integers(0, 5).map(float)  # so that there are many ties and duplicates


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
