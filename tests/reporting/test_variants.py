"""The section of a study: a point per variant with its interval, on an axis of numbers where they are numbers."""

import pytest

from tests.helpers.result_rows import row, run_of
from vidsemi.reporting.accuracy import accuracy_sections
from vidsemi.reporting.gains import paired_gains
from vidsemi.reporting.results import average_seeds
from vidsemi.reporting.variants import variant_plot, variant_sections


def rows_of(names: tuple[str, ...]) -> list[dict]:
    return [
        row("a", approach, seed, 50 + 3 * number + seed, variant=name, varied="examples per class")
        for number, name in enumerate(names)
        for approach in ("supervised", "semi_supervised")
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    "names", [("10", "20", "40"), ("1", "1000"), ("balanced_ranked", "random"), ("$a$",), ("0", "5")]
)
def test_a_study_has_a_plot(names: tuple[str, ...]):
    (section,) = variant_sections([run_of(rows_of(names))])
    assert "examples per class" in section.title
    (plot,) = section.plots
    assert plot.files["variants.svg"].startswith(b"<?xml")
    assert plot.files["variants.png"].startswith(b"\x89PNG")
    assert [text for _, text in plot.panels[0].x.ticks] == [*names]


def test_a_single_run_has_none_and_keeps_its_plot():
    run = run_of([row("a", "supervised", 0, 50)])
    assert variant_sections([run]) == []
    (section,) = accuracy_sections([average_seeds([run])])
    assert section.plots
    assert "variant" not in section.tables[0].header


def test_seeds_are_averaged_within_a_variant_only():
    results = average_seeds([run_of(rows_of(("10", "20")))])
    assert [(result.variant, result.approach, result.seeds, result.top1.mean) for result in results] == [
        ("10", "supervised", 2, 50.5),
        ("10", "semi_supervised", 2, 50.5),
        ("20", "supervised", 2, 53.5),
        ("20", "semi_supervised", 2, 53.5),
    ]
    (section,) = accuracy_sections([results])
    assert not section.plots  # they would lie over one another
    assert [cells[2] for cells in section.tables[0].rows] == ["10", "10", "20", "20"]


def test_variants_with_the_same_networks_share_a_row():
    rows = [{**one, "weights": f"{one['approach']}{one['seed']}.pt"} for one in rows_of(("10", "20", "40"))]
    for one in rows:
        if one["approach"] == "semi_supervised" and one["variant"] != "10":
            one["weights"] = f"semi_of_20_and_40_{one['seed']}.pt"
    (section,) = accuracy_sections([average_seeds([run_of(rows)])])
    assert [cells[1:3] for cells in section.tables[0].rows] == [
        ("supervised", "all"),
        ("semi_supervised", "10"),
        ("semi_supervised", "20, 40"),
    ]
    assert len(section.data["lines"]) == 6


def test_variants_are_compared_with_the_first():
    gains = paired_gains(run_of(rows_of(("10", "20", "40"))))
    between = {(one.first, one.second): one.gain.mean for one in gains if one.variant != one.baseline_variant}
    assert between == {
        (f"{approach} [{name}]", f"{approach} [10]"): gain
        for approach in ("supervised", "semi_supervised")
        for name, gain in (("20", 3), ("40", 6))
    }


def test_plots_are_the_same_for_the_same_results():
    rows = rows_of(("10", "20"))
    assert variant_plot(rows, "alt", "file").svg == variant_plot(rows, "alt", "file").svg
