"""Gains between approaches: paired by seed, with an interval that an independent test agrees with."""

import csv
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from tests.helpers.result_rows import row, run_of, write_results
from vidsemi.reporting.gains import confidence_interval, gains_section, paired_gains
from vidsemi.reporting.write import write_report

PERCENT = st.floats(0, 100, allow_nan=False)


@settings(max_examples=50)
@given(st.lists(st.tuples(PERCENT, PERCENT), min_size=2, max_size=12))
def test_the_interval_is_that_of_a_paired_t_test(pairs):
    before, after = zip(*pairs, strict=True)
    differences = [b - a for a, b in pairs]
    low, high = confidence_interval(differences)
    if statistics.stdev(differences) < 1e-9:  # the test divides by it
        assert low == pytest.approx(differences[0], abs=1e-6)
        assert high == pytest.approx(differences[0], abs=1e-6)
        return
    expected = ttest_rel(after, before).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_interval_by_hand():
    # differences 1, 2, 3: mean 2, deviation 1, and Student's t has 4.302653 at 97.5% with two degrees of freedom
    assert confidence_interval([1, 2, 3]) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert confidence_interval([1]) == (None, None)


def test_equal_differences_are_no_proof():
    # two accuracies on 100 examples are rounded to one point each: the difference deviates by sqrt(1/12 + 1/12)
    half = 12.706205 * math.sqrt(1 / 6) / math.sqrt(2)
    assert confidence_interval([2, 2], 1) == pytest.approx((2 - half, 2 + half))
    assert confidence_interval([1, 2, 3], 1) == confidence_interval([1, 2, 3])  # varies more than rounding does
    for total, verdict in ((100, "neither"), (10_000, "gain")):
        rows = [row("a", "supervised", seed, 50, total=total) for seed in range(2)]
        rows += [row("a", "semi_supervised", seed, 52, total=total) for seed in range(2)]
        (gain,) = paired_gains(run_of(rows))
        assert gain.verdict == verdict


def test_each_approach_is_compared_with_what_it_builds_upon_seed_by_seed():
    top1 = {
        "supervised": {0: 60, 1: 50, 2: 55},
        "weakly_supervised": {0: 70, 1: 70, 2: 71},
        "semi_supervised_pretrained": {1: 59, 2: 52},
        "semi_supervised": {1: 61, 2: 54, 3: 90},
        "semi_weakly_supervised": {0: 71, 1: 69, 2: 74},
    }
    rows = [row("a", approach, seed, value) for approach, own in top1.items() for seed, value in own.items()]
    rows += [row("b", "supervised", 0, 99), row("teacher", "teacher", 0, 80)]  # nothing to compare with
    gains = {(one.approach, one.baseline): (one.gain.mean, one.seeds) for one in paired_gains(run_of(rows))}
    assert gains == {
        ("weakly_supervised", "supervised"): (pytest.approx(46 / 3), 3),
        ("semi_supervised_pretrained", "supervised"): (pytest.approx(3), 2),
        ("semi_supervised", "supervised"): (pytest.approx(5), 2),
        ("semi_supervised", "semi_supervised_pretrained"): (2, 2),
        ("semi_weakly_supervised", "supervised"): (pytest.approx(49 / 3), 3),
        ("semi_weakly_supervised", "weakly_supervised"): (pytest.approx(1), 3),
        ("semi_weakly_supervised", "semi_supervised"): (pytest.approx(14), 2),
    }


def test_rows_on_different_test_sets_are_not_compared():
    rows = [row("a", "supervised", 0, 50, test_set="x"), row("a", "semi_supervised", 0, 60, test_set="y")]
    assert paired_gains(run_of(rows)) == []
    assert gains_section([run_of(rows)]) == []


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((5, 6, 7), "gain"), ((-5, -6, -7), "loss"), ((-5, 6, 7), "neither"), ((5,), "one seed")],
)
def test_the_sentence_says_what_is_shown(gains, verdict):
    rows = [row("a", "supervised", seed, 50) for seed in range(len(gains))]
    rows += [row("a", "semi_supervised", seed, 50 + gain) for seed, gain in enumerate(gains)]
    (section,) = gains_section([run_of(rows)])
    assert section.data["gains"][0]["verdict"] == verdict
    sentence = section.markdown_text[0]
    assert section.tables[0].rows[0][-1] == {"gain": "a gain", "loss": "a loss", "one seed": ""}.get(verdict, verdict)
    mean = statistics.fmean(gains)
    assert f"{abs(mean):.1f} points {'above' if mean >= 0 else 'below'} supervised" in sentence
    assert ("nothing is shown" in sentence) == (verdict == "one seed")
    assert ("neither gain nor loss is shown" in sentence) == (verdict == "neither")
    assert (f"a {verdict} is shown" in sentence) == (verdict in ("gain", "loss"))


def test_files_of_a_report_have_the_gains(tmp_path):
    top1 = {"supervised": (50, 54), "semi_supervised": (60, 62)}
    rows = [row("a", approach, seed, value) for approach, own in top1.items() for seed, value in enumerate(own)]
    run = write_results(tmp_path / "run", rows)
    report = write_report([run], run)
    (line,) = csv.DictReader((run / "gains.csv").read_text().splitlines())
    assert (line["approach"], line["baseline"], line["seeds"], line["verdict"]) == (
        "semi_supervised",
        "supervised",
        "2",
        "neither",
    )
    low, high = confidence_interval([10, 8])
    assert (float(line["gain_mean"]), float(line["low"]), float(line["high"])) == pytest.approx((9, low, high))
    assert report.document["gains"][0]["gain_mean"] == 9
    assert "9.0 points above supervised" in (run / "results.md").read_text()
    assert "points above supervised" not in (run / "report.html").read_text().split('id="section-2"')[1]
    write_results(tmp_path / "run", [row("a", "supervised", 0, 50)])
    write_report([run], run)
    assert not (run / "gains.csv").exists()
