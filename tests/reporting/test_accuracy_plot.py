"""The plots of accuracy: what they show, and that it can be read."""

from dataclasses import replace

import pytest

from tests.helpers.result_rows import row, run_of
from vidsemi.reporting.accuracy_plot import FLOPS, SPEED, Cost, accuracy_plot
from vidsemi.reporting.paper import table_7
from vidsemi.reporting.plot import Plot
from vidsemi.reporting.results import Result, average_seeds, mark_pareto_fronts

APPROACHES = ("supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised")
STUDENTS = {"r2plus1d_18_width_0.25_8_frames": 1.6, "r2plus1d_18_8f": 20.75, "r2plus1d_34_8_frames_at_the_edge": 38.1}


def results_of(*runs: str, students: dict[str, float] = STUDENTS) -> list[Result]:
    rows = [row("teacher", "teacher", seed, 80 + seed, 152.4) for seed in range(2)]
    for place, (student, gmacs) in enumerate(students.items()):
        for number, approach in enumerate(APPROACHES):
            rows += [row(student, approach, seed, 50 + 4 * place + 3 * number + seed, gmacs) for seed in range(2)]
    return average_seeds([run_of(rows, name) for name in runs or ("run",)])


def drawn(results: list[Result], cost: Cost = FLOPS) -> Plot:
    return accuracy_plot(mark_pareto_fronts(results), cost)


def students_of(plot: Plot) -> dict[str, str]:
    return {name: symbol for symbol, name in plot.key}


def test_plots_are_the_same_for_the_same_results():
    plot = drawn(results_of())
    assert plot.svg == drawn(results_of()).svg
    assert plot.files["accuracy_flops.png"].startswith(b"\x89PNG")
    assert drawn([], SPEED).files["accuracy_speed.png"].startswith(b"\x89PNG")


def test_legends_name_each_student_and_approach_once():
    plot = drawn(results_of())
    assert {*plot.legend} == {"teacher", "Pareto front", *(approach.replace("_", "-") for approach in APPROACHES)}
    assert {*students_of(plot)} == {*STUDENTS}
    approaches = [line for name, line in plot.legend.items() if name not in ("teacher", "Pareto front")]
    assert len({line.color for line in approaches}) == 4


def test_ticks_are_numbers_as_people_write_them():
    for students in ({"a": 0.02, "b": 1500.0}, {"a": 20.0, "b": 20.0}, STUDENTS, {"a": 0.9, "b": 6.0}):
        scale = drawn(results_of(students=students)).panels[0].x
        assert len(scale.ticks) > 2 and scale.limits is not None
        for place, text in scale.ticks:
            assert float(text.replace(",", "")) == pytest.approx(place) and "e" not in text
            assert scale.limits[0] <= place <= scale.limits[1]


def test_hover_tells_student_approach_accuracy_and_cost():
    hover = [text for line in drawn(results_of()).panels[0].lines for text in line.hover]
    assert "r2plus1d_18_8f, semi-supervised\n60.5 ± 0.7% top-1, 2 seeds\n20.8 GMAC per view" in hover
    assert any(text.startswith("teacher\n80.5 ± 0.7%") and "152 GMAC" in text for text in hover)


def test_approaches_stand_side_by_side_and_the_front_where_it_is():
    front, rings, *curves = drawn(results_of(students={"a": 20.0, "b": 80.0})).panels[0].lines
    first = [line.x[0] for line in curves if line.name != "teacher"]
    assert len({*first}) == len(first) == 4 and all(18 < x < 22 for x in first)
    assert [*front.x] == [20.0, 80.0] and front.shape == "hv" and not {*rings.x} & {20.0}


def test_the_papers_rows_are_marked_and_methods_without_a_cost_left_out():
    plot = drawn([*results_of(), *table_7()])
    assert {"R(2+1)D-18, 8 frames (paper)", "R(2+1)D-34, 8 frames (paper)"} < {*students_of(plot)}
    assert plot.legend["weakly-supervised (paper)"].hollow and not plot.legend["weakly-supervised"].hollow
    assert not any("I3D" in text for line in plot.panels[0].lines for text in line.hover)


def test_legends_tell_runs_apart():
    plot = drawn(results_of("first", "second"))
    assert plot.legend["supervised, first"].dash != plot.legend["supervised, second"].dash
    assert [*students_of(plot)].count("r2plus1d_18_8f") == 1


def test_students_of_equal_cost_have_other_symbols():
    assert len({*students_of(drawn(results_of(students={"a": 20.0, "b": 20.0}))).values()}) == 2


def test_results_without_a_speed_are_not_in_the_plot_of_speed():
    results = [
        replace(result, clips_per_second=9.0 if result.student == "r2plus1d_18_8f" else None) for result in results_of()
    ]
    plot = drawn(results, SPEED)
    assert [*students_of(plot)] == ["r2plus1d_18_8f"] and "teacher" not in plot.legend
    assert "faster to the right" in plot.panels[0].x.title


def test_approaches_of_other_versions_are_drawn():
    assert "of tomorrow" in drawn(average_seeds([run_of([row("a", "of tomorrow", 0, 50)])])).legend
