"""The section of accuracy and cost: its numbers, and the notes that they need."""

from tests.helpers.result_rows import row, run_of
from vidsemi.reporting.accuracy import accuracy_sections
from vidsemi.reporting.results import average_seeds, by_test_set, mark_pareto_fronts


def test_the_table_has_a_row_per_student_and_approach():
    rows = [row("a", "supervised", seed, 50 + seed, 123.4) for seed in (0, 1)] + [
        row("b", "supervised", 0, 40, 0.00619)
    ]
    (section,) = accuracy_sections([average_seeds([run_of(rows)])])
    (table,) = section.tables
    assert list(table.rows) == [
        ("a", "supervised", "50.5 ± 0.7", "95.0 ± 0.0", "50.5 ± 0.7", "123", "10", "1.50M", "2"),
        ("b", "supervised", "40.0", "95.0", "40.0", "0.00619", "10", "1.50M", "1"),
    ]
    assert any("standard deviation" in note for note in section.text)


def test_top_5_of_five_classes_is_not_shown():
    few, many = row("a", "supervised", 0, 50, num_classes=5), row("b", "supervised", 0, 50, num_classes=6)
    (section,) = accuracy_sections([average_seeds([run_of([few])])])
    assert "top-5 %" not in section.tables[0].header
    assert section.tables[0].rows[0][:4] == ("a", "supervised", "50.0", "50.0")
    assert section.data["lines"][0]["top5_mean"] is None
    (section,) = accuracy_sections([average_seeds([run_of([few, many])])])
    assert [cells[3] for cells in section.tables[0].rows] == ["", "95.0"]


def test_validation_is_shown_where_it_was_measured():
    rows = [row("a", "supervised", seed, 50, validation_top1=60 + 2 * seed) for seed in (0, 1)]
    (section,) = accuracy_sections([average_seeds([run_of([*rows, row("b", "supervised", 0, 50)])])])
    place = list(section.tables[0].header).index("validation %")
    assert [cells[place] for cells in section.tables[0].rows] == ["61.0 ± 1.4", ""]
    assert section.data["lines"][0]["validation_top1_mean"] == 61


def test_notes_state_the_convention_the_unread_videos_and_the_front():
    results = mark_pareto_fronts(average_seeds([run_of([row("a", "supervised", 0, 50, read=7, total=9)])]))
    (section,) = accuracy_sections([results])
    text = "\n".join(section.text)
    assert "multiply-adds of convolutions, linear layers and attention, per view" in text
    assert "2 test videos could not be read" in text
    assert "standard deviation" not in text
    assert "accuracy and multiply-adds: a (supervised)." in text
    assert section.data["notes"] == section.text


def test_a_run_of_transfers_alone_has_no_such_section():
    assert accuracy_sections(by_test_set([])) == []
