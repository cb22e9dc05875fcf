"""Whether the confidence of a run's networks is their accuracy: reliability diagram and expected calibration error."""

from collections.abc import Sequence

from vidsemi.inference.calibration import BINS, Reliability, reliability
from vidsemi.reporting.accuracy_plot import APPROACH_COLORS, OTHER, approach_name
from vidsemi.reporting.plot import INK, Line, Panel, Plot, Scale
from vidsemi.reporting.predictions import StoredPredictions, read_predictions
from vidsemi.reporting.results import TEACHERS, RunResults, best_rows, group_rows, student_of
from vidsemi.reporting.section import Section, Table

HEADER = ("student", "approach", "accuracy %", "mean confidence %", "calibration error", "seeds")
NOTE = (
    f"Calibration error: the expected calibration error, in points: the mean difference of accuracy and confidence "
    f"over {BINS} equal bins of confidence. Readable test examples of all seeds together."
)


def calibration_sections(runs: Sequence[RunResults]) -> list[Section]:
    """One section per run with stored predictions."""
    sections = []
    for run in runs:
        groups = group_rows(run.rows, "student", "approach", "variant", "test_set")
        read = [(rows, read_predictions(rows, run.folder)) for rows in groups.values()]
        known = [(rows[0], len(rows), predictions) for rows, predictions in read if predictions]
        if not known:
            continue
        best = next(iter(best_rows(run)))
        table, lines = [], [Line("confidence is accuracy", [0, 100], [0, 100], color=INK, dash="dash", width=1)]
        for row, seeds, predictions in known:
            found = reliability(predictions.confidence, predictions.correct)
            table.append((student_of(row), row["approach"], *_numbers(predictions, found), str(seeds)))
            if row["approach"] in TEACHERS or student_of(row) == student_of(best):
                lines.append(_line(row["approach"], found))
        percent = Scale("confidence, %", limits=(0, 101)), Scale("accuracy, %", limits=(0, 103))
        plot = Plot(f"accuracy against confidence of {student_of(best)} and its teacher", [Panel(*percent, lines)])
        title = f"Calibration{f', {run.name}' if len(runs) > 1 else ''}"
        notes = [f"The plot has {student_of(best)} and the teachers; below the dashed line a network is too confident."]
        sections.append(
            Section(title, plots=[plot], tables=[Table(HEADER, table, text_columns=2)], text=[*notes, NOTE])
        )
    return sections


def _numbers(predictions: StoredPredictions, found: Reliability) -> tuple[str, str, str]:
    if not len(predictions.truth):
        return "", "", ""
    shares = (predictions.correct.mean(), predictions.confidence.mean(), found.error)
    accuracy, confidence, error = (f"{100 * float(share):.1f}" for share in shares)
    return accuracy, confidence, error


def _line(approach: str, found: Reliability) -> Line:
    filled = [
        (100 * confidence, 100 * accuracy, count)
        for confidence, accuracy, count in zip(found.confidence, found.accuracy, found.count.tolist(), strict=True)
        if count
    ]
    return Line(
        approach_name(approach),
        [float(confidence) for confidence, _, _ in filled],
        [float(accuracy) for _, accuracy, _ in filled],
        hover=[
            f"{approach_name(approach)}\n{accuracy:.1f}% right of {count:,} with a confidence of {confidence:.1f}%"
            for confidence, accuracy, count in filled
        ],
        color=APPROACH_COLORS.get(approach, OTHER),
        dash="dot" if approach == TEACHERS[1] else "solid",  # both teachers have one color
        symbols=["circle"],
        size=6,
    )
