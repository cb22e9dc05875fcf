"""Gains between the approaches of a student, paired by seed, with 95% confidence intervals."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vidsemi.reporting.results import TEACHERS, RunResults, Spread, as_record, display_name, group_rows
from vidsemi.reporting.section import Section, Table

CONFIDENCE = 0.95
PRETRAINED = "_pretrained"  # suffix of an approach before its fine-tuning
HEADER = ("student", "approach", "compared with", "gain, points", "95% interval", "seeds")
NOTE = (
    "Gain: top-1 in percentage points, the mean of the differences seed by seed. The interval is Student's t over "
    "seeds: it covers the randomness of training, not the choice of the labeled, unlabeled and test examples."
)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A student trained by one approach beside the same student trained by another; a row of gains.csv."""

    run: str
    student: str
    approach: str
    baseline: str
    test_set: str | None
    seeds: int  # that both have
    gain: Spread  # of the differences, in points of top-1
    low: float | None  # of the confidence interval; None with one seed
    high: float | None
    name: str  # of the student in tables

    @property
    def verdict(self) -> str:
        """What the interval shows: "gain", "loss", or "neither"; "one seed" where there is none."""
        if self.low is None or self.high is None:
            return "one seed"
        return "gain" if self.low > 0 else "loss" if self.high < 0 else "neither"

    @property
    def interval(self) -> str:
        """The interval in points; empty with one seed."""
        return "" if self.low is None or self.high is None else f"{self.low:+.1f} to {self.high:+.1f}"

    @property
    def sentence(self) -> str:
        """The gain as a sentence that says what is shown."""
        side = "above" if self.gain.mean >= 0 else "below"
        what = f"{self.name}: {self.approach} is {abs(self.gain.mean):.1f} points {side} {self.baseline}"
        if not self.interval:
            return f"{what} with one seed: nothing is shown; more `seeds` give an interval."
        end = {"gain": "a gain is shown", "loss": "a loss is shown", "neither": "neither gain nor loss is shown"}
        return f"{what} (95% interval {self.interval}, {self.seeds} seeds): {end[self.verdict]}."


def gains_section(runs: Sequence[RunResults]) -> list[Section]:
    """A section with the gains of all runs; none where no two approaches can be compared."""
    gains = [gain for run in runs for gain in paired_gains(run, runs)]
    if not gains:
        return []
    rows = [
        (one.name, one.approach, one.baseline, f"{one.gain.mean:+.1f}", one.interval, str(one.seeds)) for one in gains
    ]
    records = [{**as_record(one), "verdict": one.verdict} for one in gains]
    return [
        Section(
            "Gains",
            tables=[Table(HEADER, rows, text_columns=3)],
            text=[*(one.sentence for one in gains), NOTE],
            data={"gains": records},
        )
    ]


def paired_gains(run: RunResults, runs: Sequence[RunResults] = ()) -> list[Gain]:
    """The gains of a run: of each approach over `supervised`, and over what else it builds upon.

    Args:
        run: results of a run. Seeds that only one of two approaches has are left out.
        runs: all runs of the report, which determine the names of students.
    """
    gains = []
    for (student, test_set), rows in group_rows(run.rows, "student", "test_set").items():
        by_approach = {
            approach: {row["seed"]: row["top1"] for row in own}
            for (approach,), own in group_rows(rows, "approach").items()
            if approach not in TEACHERS
        }
        for approach, baseline in _comparisons([*by_approach]):
            seeds = sorted(by_approach[approach].keys() & by_approach[baseline].keys())
            if not seeds:
                continue
            differences = [by_approach[approach][seed] - by_approach[baseline][seed] for seed in seeds]
            low, high = confidence_interval(differences)
            gains.append(
                Gain(
                    run=run.name,
                    student=student,
                    approach=approach,
                    baseline=baseline,
                    test_set=test_set,
                    seeds=len(seeds),
                    gain=Spread.of(differences),
                    low=low,
                    high=high,
                    name=display_name(run, student, runs),
                )
            )
    return gains


def _comparisons(approaches: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each approach with those that it is compared with, as far as there are results."""
    for approach in approaches:
        baselines = ["supervised", *(["weakly_supervised"] if approach == "semi_weakly_supervised" else [])]
        baselines.append(f"{approach}{PRETRAINED}")
        yield from ((approach, baseline) for baseline in baselines if baseline in approaches and baseline != approach)


def confidence_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Student's t interval of the mean, at the level `CONFIDENCE`; (None, None) for a single value."""
    if len(values) < 2:
        return None, None
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - half, mean + half
