"""Table 7 of the paper: what others' networks reach on Kinetics-400, to put beside one's own."""

from dataclasses import replace

from vidsemi.report.summary import Line, Spread

SOURCE = "paper, Table 7"
NOTE = (
    "(paper): Table 7 of Yalniz et al. 2019, as printed there. Measured on Kinetics-400, so compare only with runs on "
    "Kinetics-400; the paper's rows take no part in the Pareto fronts."
)

NETWORKS = {  # its name here → model, frames, parameters, billions of multiply-adds a view
    "R(2+1)D-18, 8 frames": ("r2plus1d_18", 8, 33_000_000, 21.0),
    "R(2+1)D-18, 32 frames": ("r2plus1d_18", 32, 33_000_000, 83.0),
    "R(2+1)D-34, 8 frames": ("r2plus1d_34", 8, 64_000_000, 38.0),
}
ACCURACIES = {  # network → approach → top-1, top-5
    "R(2+1)D-18, 8 frames": {
        "supervised": (64.8, 84.5),
        "weakly_supervised": (71.5, 89.7),
        "semi_weakly_supervised": (74.2, 91.3),
    },
    "R(2+1)D-18, 32 frames": {
        "supervised": (69.3, 87.7),
        "weakly_supervised": (76.0, 92.0),
        "semi_weakly_supervised": (76.7, 92.3),
    },
    "R(2+1)D-34, 8 frames": {
        "supervised": (67.0, 85.8),
        "weakly_supervised": (74.8, 91.2),
        "semi_weakly_supervised": (75.9, 92.0),
    },
}
OTHER_METHODS = {  # of which the table tells no cost: top-1, top-5
    "NL I3D (RGB)": (77.7, 93.3),
    "3-stream SATT (RGB+flow+audio)": (77.7, 93.2),
    "I3D two-stream (RGB+flow)": (75.7, 92.0),
}


def paper_lines() -> list[Line]:
    """The table's rows, one a network and approach, then the other methods; empty where it tells nothing."""
    lines = []
    for student, approaches in ACCURACIES.items():
        model, frames, parameters, gmacs = NETWORKS[student]
        for approach, (top1, top5) in approaches.items():
            line = _line(student, approach, top1, top5)
            lines.append(replace(line, model=model, frames=frames, parameters=parameters, gmacs_per_view=gmacs))
    return lines + [_line(method, "", top1, top5) for method, (top1, top5) in OTHER_METHODS.items()]


def _line(student: str, approach: str, top1: float, top5: float) -> Line:
    name = f"{student} (paper)"
    return Line("", student, name, approach, SOURCE, top1=Spread(top1, None), top5=Spread(top5, None))
