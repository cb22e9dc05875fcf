"""The picture of a selection: what each class could take and took, and the score of its last row."""

from vidsemi.report.drawing import file_content, pyplot
from vidsemi.selection.result import SelectionInfo

MOST_NAMES = 40  # classes whose names still fit below an axis


def plot_selection(info: SelectionInfo, format: str) -> bytes:
    """Draw what each class could take and took, most candidates first, and the score of its last row.

    Args:
        info: of the selection.
        format: svg or png.

    Returns:
        The picture as a file's content.
    """
    order = sorted(range(len(info.scores.classes)), key=lambda index: -info.candidates_per_class[index])
    figure, (counts, scores) = pyplot().subplots(
        2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 2), layout="constrained"
    )
    places = range(len(order))
    counts.step(places, [info.candidates_per_class[i] for i in order], where="mid", color="#7f7f7f", label="candidates")
    counts.step(places, [info.wanted_per_class[i] for i in order], where="mid", color="black", ls="--", label="wanted")
    chosen = [info.chosen_per_class[i] for i in order]
    counts.fill_between(places, chosen, step="mid", color="#d62728", alpha=0.4, label="chosen")
    counts.set_yscale("symlog", linthresh=1)
    counts.set_ylim(bottom=0)
    counts.set_ylabel("examples")
    counts.legend()
    counts.grid(alpha=0.3)
    last = [info.last_score_per_class[i] for i in order]
    scores.plot(places, [float("nan") if score is None else score for score in last], ".", color="#1f77b4")
    scores.set_ylim(0, 1.02)
    scores.set_ylabel("score of the last row")
    scores.grid(alpha=0.3)
    if len(order) <= MOST_NAMES:
        scores.set_xticks(places, [info.scores.classes[i] for i in order], rotation=45, ha="right")
    else:
        scores.set_xlabel("classes, most candidates first")
    return file_content(figure, format)
