"""Tables 7 and 8 of the paper (Yalniz et al. 2019), to compare with one's own results."""

from vidsemi.reporting.results import Result, Spread

TABLE_7 = "paper, Table 7"
TABLE_7_NOTE = (
    "(paper): Table 7 of Yalniz et al. 2019, as printed there. Measured on Kinetics-400: compare it only with runs on "
    "Kinetics-400. The paper's rows are not candidates for the Pareto fronts."
)

NETWORKS = {  # name → model, frames, parameters, billions of multiply-adds per view
    "R(2+1)D-18, 8 frames": ("r2plus1d_18", 8, 33_000_000, 21.0),
    "R(2+1)D-18, 32 frames": ("r2plus1d_18", 32, 33_000_000, 83.0),
    "R(2+1)D-34, 8 frames": ("r2plus1d_34", 8, 64_000_000, 38.0),
}
TABLE_7_APPROACHES = ("supervised", "weakly_supervised", "semi_weakly_supervised")
ACCURACIES = {  # network → top-1, top-5, in the order of the approaches
    "R(2+1)D-18, 8 frames": ((64.8, 84.5), (71.5, 89.7), (74.2, 91.3)),
    "R(2+1)D-18, 32 frames": ((69.3, 87.7), (76.0, 92.0), (76.7, 92.3)),
    "R(2+1)D-34, 8 frames": ((67.0, 85.8), (74.8, 91.2), (75.9, 92.0)),
}
OTHER_METHODS = {  # methods without a cost in the table: top-1, top-5
    "NL I3D (RGB)": (77.7, 93.3),
    "3-stream SATT (RGB+flow+audio)": (77.7, 93.2),
    "I3D two-stream (RGB+flow)": (75.7, 92.0),
}

TABLE_8_APPROACHES = ("supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised")
TABLE_8 = {  # top-1 of ResNet-50 on CUB-200-2011, in the order of the approaches
    "full_ft": (82.1, 83.2, 83.6, 84.8),
    "fc_only": (73.3, 74.0, 80.4, 80.7),
}


def table_7() -> list[Result]:
    """The rows of Table 7: one per network and approach, then the other methods."""
    results = [
        _result(student, approach, accuracy, *NETWORKS[student])
        for student, accuracies in ACCURACIES.items()
        for approach, accuracy in zip(TABLE_7_APPROACHES, accuracies, strict=True)
    ]
    return results + [_result(method, "", accuracy) for method, accuracy in OTHER_METHODS.items()]


def _result(
    student: str,
    approach: str,
    accuracy: tuple[float, float],
    model: str | None = None,
    frames: int | None = None,
    parameters: int | None = None,
    gmacs: float | None = None,
) -> Result:
    return Result(
        student=student,
        name=f"{student} (paper)",
        approach=approach,
        source=TABLE_7,
        top1=Spread(accuracy[0]),
        top5=Spread(accuracy[1]),
        model=model,
        frames=frames,
        parameters=parameters,
        gmacs_per_view=gmacs,
    )
