"""The figures of accuracy: what they show, and that it can be read."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from tests.helpers.result_rows import row, run_of
from vidsemi.reporting import accuracy_plot
from vidsemi.reporting.accuracy_plot import FLOPS, SPEED, Axis, plot_accuracy
from vidsemi.reporting.paper import table_7
from vidsemi.reporting.plotting import pyplot
from vidsemi.reporting.results import Result, average_seeds, mark_pareto_fronts

Draw = Callable[[list[Result], Axis], Any]
STUDENTS = {"r2plus1d_18_width_0.25_8_frames": 1.6, "r2plus1d_18_8f": 20.75, "r2plus1d_34_8_frames_at_the_edge": 38.1}


def results_of(*runs: str, students: dict[str, float] = STUDENTS) -> list[Result]:
    approaches = ("supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised")
    rows = [row("teacher", "teacher", seed, 80 + seed, 152.4) for seed in range(2)]
    for place, (student, gmacs) in enumerate(students.items()):
        for number, approach in enumerate(approaches):
            rows += [row(student, approach, seed, 50 + 4 * place + 3 * number + seed, gmacs) for seed in range(2)]
    return average_seeds([run_of(rows, name) for name in runs or ("run",)])


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Iterator[Draw]:
    """Draw a figure, and return it as it is before it becomes a file."""
    figures: list[Any] = []

    def keep(figure: Any, format: str) -> bytes:
        figure.draw_without_rendering()
        figures.append(figure)
        return b""

    def drawn(results: list[Result], axis: Axis) -> Any:
        plot_accuracy(mark_pareto_fronts(results), axis, "svg")
        return figures[-1]

    monkeypatch.setattr(accuracy_plot, "save", keep)
    yield drawn
    for figure in figures:
        pyplot().close(figure)


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=pyplot().Text)]


def test_figures_are_the_same_for_the_same_results():
    results = mark_pareto_fronts(results_of())
    svg = plot_accuracy(results, FLOPS, "svg")
    assert svg == plot_accuracy(results, FLOPS, "svg")
    assert b"<svg" in svg and b"mathdefault" not in svg
    assert plot_accuracy(results, FLOPS, "png").startswith(b"\x89PNG")
    assert plot_accuracy([], SPEED, "png").startswith(b"\x89PNG")


def test_legends_name_each_student_and_approach_once(draw: Draw):
    found = texts(draw(results_of(), FLOPS))
    for name in (*STUDENTS, "teacher", "supervised", "semi-weakly-supervised", "Pareto front"):
        assert found.count(name) == 1, name


def test_the_papers_rows_are_marked_and_methods_without_a_cost_left_out(draw: Draw):
    found = texts(draw([*results_of(), *table_7()], FLOPS))
    for name in ("R(2+1)D-18, 8 frames (paper)", "R(2+1)D-34, 8 frames (paper)", "weakly-supervised (paper)"):
        assert found.count(name) == 1, name
    assert not any("I3D" in text for text in found)


def test_legends_tell_runs_apart(draw: Draw):
    found = texts(draw(results_of("first", "second"), FLOPS))
    assert found.count("supervised, first") == found.count("supervised, second") == 1
    assert found.count("r2plus1d_18_8f") == 1


def test_students_of_equal_cost_have_other_markers(draw: Draw):
    figure = draw(results_of(students={"a": 20.0, "b": 20.0}), FLOPS)
    students, approaches = figure.legends
    markers = [handle.get_marker() for handle in students.legend_handles]
    assert len(markers) == len(set(markers)) == 2
    colors = [handle.get_color() for handle in approaches.legend_handles if handle.get_linestyle() == "-"]
    assert len(colors) == len(set(colors)) == 4


def test_results_without_a_speed_are_not_in_the_figure_of_speed(draw: Draw):
    results = [
        replace(result, clips_per_second=9.0 if result.student == "r2plus1d_18_8f" else None) for result in results_of()
    ]
    found = texts(draw(results, SPEED))
    assert found.count("r2plus1d_18_8f") == 1
    assert "teacher" not in found
    assert any("faster to the right" in text for text in found)


@pytest.mark.parametrize("length", [1, 4])
def test_names_neither_meet_nor_cover_the_axes(draw: Draw, length: int):
    students = {name * length: gmacs for name, gmacs in STUDENTS.items()}
    figure = draw([*results_of("run", "another run", students=students), *table_7()], FLOPS)
    boxes = [text.get_window_extent() for legend in figure.legends for text in legend.get_texts()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.overlaps(figure.axes[0].bbox) for box in boxes)


def test_approaches_of_other_versions_are_drawn(draw: Draw):
    assert "of tomorrow" in texts(draw(average_seeds([run_of([row("a", "of tomorrow", 0, 50)])]), FLOPS))
