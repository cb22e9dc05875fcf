"""The pictures of accuracy: what they say, and that it can be read."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from tests.helpers.result_rows import row
from vidsemi.report import accuracy_plot
from vidsemi.report.accuracy_plot import FLOPS, SPEED, Axis, plot_accuracy
from vidsemi.report.drawing import pyplot
from vidsemi.report.paper import paper_lines
from vidsemi.report.point_names import Point, write_names
from vidsemi.report.summary import Line, mark_fronts, summarize

Texts = Callable[[list[Line], Axis], list[str]]
STUDENTS = {"r2plus1d_18_width_0.25_8_frames": 1.6, "r2plus1d_18_8f": 20.75, "r2plus1d_34_8_frames_at_the_edge": 38.1}


def lines_of(run: str = "") -> list[Line]:
    approaches = ("supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised")
    rows = [row("teacher", "teacher", seed, 80 + seed, 152.4) for seed in range(2)]
    for place, (student, gmacs) in enumerate(STUDENTS.items()):
        for number, approach in enumerate(approaches):
            rows += [row(student, approach, seed, 50 + 4 * place + 3 * number + seed, gmacs) for seed in range(2)]
    return summarize(rows, run)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Texts:
    """All texts of a picture, taken before it becomes a file, where they are outlines."""
    found: list[str] = []

    def content(figure: Any, format: str) -> bytes:
        found.extend(text.get_text() for text in figure.findobj(match=pyplot().Text))
        return b""

    def of(lines: list[Line], axis: Axis) -> list[str]:
        found.clear()
        plot_accuracy(mark_fronts(lines), axis, "svg")
        return found

    monkeypatch.setattr(accuracy_plot, "file_content", content)
    return of


def test_pictures_are_the_same_for_the_same_lines():
    lines = mark_fronts(lines_of())
    svg = plot_accuracy(lines, FLOPS, "svg")
    assert svg == plot_accuracy(lines, FLOPS, "svg")
    assert b"<svg" in svg
    assert plot_accuracy(lines, FLOPS, "png").startswith(b"\x89PNG")
    assert plot_accuracy([], SPEED, "png").startswith(b"\x89PNG")


def test_each_student_is_named_once_and_each_approach_in_the_legend(texts: Texts):
    found = texts(lines_of(), FLOPS)
    for name in (*STUDENTS, "teacher", "supervised", "semi-weakly-supervised", "Pareto front"):
        assert found.count(name) == 1, name


def test_the_papers_rows_are_marked_and_methods_without_a_cost_left_out(texts: Texts):
    found = texts([*lines_of(), *paper_lines()], FLOPS)
    for name in ("R(2+1)D-18, 8 frames (paper)", "R(2+1)D-34, 8 frames (paper)", "weakly-supervised (paper)"):
        assert found.count(name) == 1, name
    assert not any("I3D" in text for text in found)


def test_runs_are_told_apart_by_the_legend(texts: Texts):
    found = texts(lines_of("first") + lines_of("second"), FLOPS)
    assert found.count("supervised, first") == found.count("supervised, second") == 1
    assert found.count("r2plus1d_18_8f") == 1


def test_lines_without_a_speed_are_not_in_the_picture_of_speed(texts: Texts):
    lines = [replace(line, clips_per_second=9.0 if line.student == "r2plus1d_18_8f" else None) for line in lines_of()]
    found = texts(lines, SPEED)
    assert found.count("r2plus1d_18_8f") == 1
    assert "teacher" not in found
    assert any("faster to the right" in text for text in found)


def test_names_neither_leave_the_picture_nor_meet():
    points = [Point(line, line.gmacs_per_view) for line in lines_of() if line.gmacs_per_view]
    figure, axes = pyplot().subplots(figsize=(8, 5.5), layout="constrained")
    axes.semilogx([point.x for point in points], [point.y for point in points], "o")
    write_names(figure, axes, [points])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(STUDENTS)
    for box in boxes:
        assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    pyplot().close(figure)
