"""The first section of a report: which student is best, what it gains over labels alone, and at what cost."""

from collections.abc import Sequence

from vidsemi.reporting.accuracy_plot import approach_name
from vidsemi.reporting.gains import Gain, paired_gains
from vidsemi.reporting.plot import rounded
from vidsemi.reporting.results import BASELINE, TEACHERS, Result, RunResults
from vidsemi.reporting.section import Section
from vidsemi.reporting.unmeasured import unmeasured_sections

LABELS_ALONE = "training on the labels alone"


def answer_section(
    groups: Sequence[Sequence[Result]], runs: Sequence[RunResults], warnings: Sequence[str]
) -> list[Section]:
    """A section with a sentence for each group of results that can be compared, and what to know before reading on.

    Args:
        groups: results of the runs, a group for each test set.
        runs: their rows.
        warnings: what a reader must know first.
    """
    ours = [[result for result in group if result.ours] for group in groups]
    ours = [group for group in ours if group]
    gains = [gain for run in runs for gain in paired_gains(run, runs)]
    lead = [_sentence(group, gains) for group in ours]
    if not ours and not any(run.transfer_rows for run in runs):
        lead = [] if unmeasured_sections(runs) else ["No network has been evaluated yet."]
    if not lead and not warnings:
        return []
    facts = _facts(ours[0], gains) if len(ours) == 1 else []
    students = max((sum(result.approach not in TEACHERS for result in group) for group in ours), default=0)
    notes = []
    if students > 1:
        notes = [f"The best of {students} by its test accuracy, which flatters it a little."]
    data = {"answer": lead, "caveats": [*warnings]}
    return [Section("Result", lead=lead, facts=facts, text=notes, warnings=warnings, data=data)]


def _best(results: Sequence[Result]) -> Result | None:
    students = [result for result in results if result.approach not in TEACHERS]
    return max(students, key=lambda result: result.top1.mean, default=None)


def _teacher(results: Sequence[Result], best: Result | None) -> Result | None:
    """The teacher of a student, in a study that of its variant; the more accurate one of two."""
    teachers = [result for result in results if result.approach in TEACHERS]
    if best:
        of_run = [result for result in teachers if result.run == best.run]
        teachers = [result for result in of_run if result.variant == best.variant] or of_run
    return max(teachers, key=lambda result: result.top1.mean, default=None)


def _sentence(results: Sequence[Result], gains: Sequence[Gain]) -> str:
    best = _best(results)
    teacher = _teacher(results, best)
    if best is None:
        assert teacher is not None  # a result is of a student or of a teacher
        return f"No student has been evaluated yet. The teacher reaches {teacher.top1}% top-1."
    variant = f" [{best.variant}]" if best.variant else ""
    name = f"The best student, {best.name}{variant} ({approach_name(best.approach)}), reaches {best.top1}% top-1"
    cost = _cost(best, teacher)
    if best.approach == BASELINE:
        return f"{name} with {LABELS_ALONE}{f', {cost}' if cost else ''}. {_others(best, gains)}"
    gain = _gain(best, gains)
    if gain is None:
        return f"{name}{f', {cost}' if cost else ''}. It was not trained on the labels alone, so no gain is known."
    shown = {
        "gain": f"{name}: {_difference(gain)}{f', {cost}' if cost else ''}.",
        "one seed": f"{name}, {_difference(gain)}. Nothing is shown with one seed: more `seeds` give an interval.",
    }
    other = f"{name}, {_difference(gain)}. No gain is shown."
    text = shown.get(gain.verdict, other)
    return text if gain.verdict == "gain" or not cost else f"{text} It works {cost}."


def _gain(best: Result, gains: Sequence[Gain]) -> Gain | None:
    """The gain of a result over labels alone."""
    own = (best.run, best.student, best.approach, best.variant, BASELINE, best.variant, best.test_set)
    return next((gain for gain in gains if _key(gain) == own), None)


def _key(gain: Gain) -> tuple[str | None, ...]:
    names = (gain.run, gain.student, gain.approach, gain.variant)
    return (*names, gain.baseline, gain.baseline_variant, gain.test_set)


def _difference(gain: Gain) -> str:
    side = "above" if gain.gain.mean >= 0 else "below"
    interval = f" (95% interval {gain.interval}, {gain.seeds} seeds)" if gain.interval else ""
    return f"{abs(gain.gain.mean):.1f} points {side} {LABELS_ALONE}{interval}"


def _others(best: Result, gains: Sequence[Gain]) -> str:
    """What is known of the other approaches of a student for which labels alone are best."""
    own = (best.run, best.student, best.variant, BASELINE, best.variant, best.test_set)
    others = [gain for gain in gains if (*_key(gain)[:2], *_key(gain)[3:]) == own]
    if not others:
        return "No other approach of this student has been evaluated."
    nearest = max(others, key=lambda gain: gain.gain.mean)
    return f"No gain is shown: {approach_name(nearest.approach)} is {_difference(nearest)}."


def _cost(best: Result, teacher: Result | None) -> str:
    if teacher is None or not teacher.gmacs_per_view or best.gmacs_per_view is None:
        return ""
    return f"at {_share(best.gmacs_per_view / teacher.gmacs_per_view)} of the teacher's multiply-adds"


def _share(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.095 else f"{100 * share:.1f}%"


def _facts(results: Sequence[Result], gains: Sequence[Gain]) -> list[tuple[str, str]]:
    """The numbers of the sentence."""
    best = _best(results)
    teacher, facts = _teacher(results, best), []
    if best:
        facts.append((f"{best.top1}%", f"top-1 of {best.name}, {approach_name(best.approach)}"))
        if gain := _gain(best, gains):
            interval = f"95% interval {gain.interval}, {gain.seeds} seeds" if gain.interval else "one seed, no interval"
            facts.append((f"{gain.gain.mean:+.1f} points", f"over {LABELS_ALONE}; {interval}"))
        if _cost(best, teacher) and best.gmacs_per_view and teacher and teacher.gmacs_per_view:
            share = _share(best.gmacs_per_view / teacher.gmacs_per_view)
            gmacs = f"{rounded(best.gmacs_per_view)} of {rounded(teacher.gmacs_per_view)} GMAC per view"
            facts.append((share, f"of the teacher's multiply-adds: {gmacs}"))
    if teacher:
        facts.append((f"{teacher.top1}%", "top-1 of the teacher"))
    return facts
