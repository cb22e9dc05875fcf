"""Gains between the approaches of a student, paired by seed, with 95% confidence intervals."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidsemi.reporting.results import TEACHERS, RunResults, Spread, as_record, display_name, group_rows
from vidsemi.reporting.section import Section, Table

CONFIDENCE = 0.95
PRETRAINED = "_pretrained"  # suffix of an approach before its fine-tuning
HEADER = ("student", "approach", "compared with", "gain, points", "95% interval", "seeds", "shown")
SHOWN = {"gain": "a gain", "loss": "a loss", "neither": "neither", "one seed": ""}  # verdict → in the table
NOTE = (
    "Gain: top-1 in percentage points, the mean of the differences seed by seed. The interval is Student's t over "
    "seeds: it covers the randomness of training, not the choice of the labeled, unlabeled and test examples. A gain "
    "is shown if the whole interval is above 0, a loss if it is below."
)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A student trained by one approach beside the same student trained by another; a row of gains.csv."""

    run: str
    student: str
    approach: str
    variant: str | None  # of a study
    baseline: str
    baseline_variant: str | None
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
    def first(self) -> str:
        """The approach, with its variant in a study."""
        return f"{self.approach} [{self.variant}]" if self.variant else self.approach

    @property
    def second(self) -> str:
        """What it is compared with."""
        return f"{self.baseline} [{self.baseline_variant}]" if self.baseline_variant else self.baseline

    @property
    def interval(self) -> str:
        """The interval in points; empty with one seed."""
        return "" if self.low is None or self.high is None else f"{self.low:+.1f} to {self.high:+.1f}"

    @property
    def sentence(self) -> str:
        """The gain as a sentence that says what is shown."""
        side = "above" if self.gain.mean >= 0 else "below"
        what = f"{self.name}: {self.first} is {abs(self.gain.mean):.1f} points {side} {self.second}"
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
        (one.name, one.first, one.second, f"{one.gain.mean:+.1f}", one.interval, str(one.seeds), SHOWN[one.verdict])
        for one in gains
    ]
    records = [{**as_record(one), "verdict": one.verdict} for one in gains]
    return [
        Section(
            "Gains",
            tables=[Table(HEADER, rows, text_columns=3)],
            markdown_text=[one.sentence for one in gains],
            text=[NOTE],
            data={"gains": records},
        )
    ]


def paired_gains(run: RunResults, runs: Sequence[RunResults] = ()) -> list[Gain]:
    """Compare each approach with `supervised` and with what else it builds upon, and each variant with the first one.

    Args:
        run: results of a run. Seeds that only one of two results has are left out.
        runs: all runs of the report, which determine the names of students.
    """
    gains = []
    for (student, test_set), rows in group_rows(run.rows, "student", "test_set").items():
        groups = group_rows((row for row in rows if row["approach"] not in TEACHERS), "variant", "approach")
        variants = [*dict.fromkeys(variant for variant, _ in groups)]
        pairs = [
            ((variant, approach), (variant, baseline))
            for variant in variants
            for approach, baseline in _comparisons([approach for own, approach in groups if own == variant])
        ]
        pairs += [
            ((variant, approach), (variants[0], approach)) for variant, approach in groups if variant != variants[0]
        ]
        for own, other in pairs:
            if other in groups and (differences := _differences(groups[own], groups[other])):
                low, high = confidence_interval(differences, _step(groups[own]))
                gains.append(
                    Gain(
                        run=run.name,
                        student=student,
                        approach=own[1],
                        variant=own[0],
                        baseline=other[1],
                        baseline_variant=other[0],
                        test_set=test_set,
                        seeds=len(differences),
                        gain=Spread.of(differences),
                        low=low,
                        high=high,
                        name=display_name(run, student, runs),
                    )
                )
    return gains


def _differences(rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[float]:
    """Of top-1, seed by seed; none if both are the same networks."""
    if [row.get("weights", id(row)) for row in rows] == [row.get("weights", id(row)) for row in others]:
        return []
    top1, before = ({row["seed"]: row["top1"] for row in own} for own in (rows, others))
    return [top1[seed] - before[seed] for seed in sorted(top1.keys() & before.keys())]


def _step(rows: Sequence[dict[str, Any]]) -> float:
    """The smallest difference of two top-1 accuracies in points: one test example."""
    least: float = min(row.get("total", math.inf) for row in rows)
    return 100 / max(1, least)


def _comparisons(approaches: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each approach with those that it is compared with, as far as there are results."""
    for approach in approaches:
        baselines = ["supervised"]
        if approach == "semi_weakly_supervised":
            baselines += ["weakly_supervised", "semi_supervised"]
        baselines.append(f"{approach}{PRETRAINED}")
        yield from ((approach, baseline) for baseline in baselines if baseline in approaches and baseline != approach)


def confidence_interval(values: Sequence[float], step: float = 0.0) -> tuple[float, float] | tuple[None, None]:
    """Student's t interval of the mean, at the level `CONFIDENCE`; (None, None) for a single value.

    Args:
        values: differences of two accuracies, one a seed.
        step: that accuracies are multiples of. Their difference has a standard deviation of step/√6 from rounding
            alone, so a few values that happen to be equal are not taken for an interval of zero width.
    """
    if len(values) < 2:
        return None, None
    from scipy.stats import t

    deviation = max(statistics.stdev(values), step / math.sqrt(6))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - half, mean + half
