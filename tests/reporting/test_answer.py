"""The first sentence of a report: what is shown, and nothing that is not."""

import pytest

from tests.helpers.result_rows import row, run_of
from vidsemi.reporting.answer import answer_section
from vidsemi.reporting.results import average_seeds, by_test_set
from vidsemi.reporting.section import Section

TEACHER = row("teacher", "teacher", 0, 90.0, 100.0)


def answer(*rows: dict, warnings: tuple[str, ...] = ()) -> Section:
    run = run_of([*rows])
    (section,) = answer_section(by_test_set(average_seeds([run])), [run], warnings)
    return section


def seeds(student: str, approach: str, gmacs: float, *top1: float, **more: object) -> list[dict]:
    return [row(student, approach, seed, value, gmacs, **more) for seed, value in enumerate(top1)]


def test_a_gain_stands_with_its_interval_and_the_share_of_the_cost():
    section = answer(
        TEACHER,
        *seeds("small", "supervised", 4.0, 50, 51, 52),
        *seeds("small", "semi_supervised", 4.0, 60, 61, 62.5),
        *seeds("large", "supervised", 40.0, 55, 55, 56),
    )
    (sentence,) = section.lead
    for text in (
        "best student, small (semi-supervised)",
        "61.2 ± 1.3% top-1",
        "10.2 points above",
        "3 seeds",
        "at 4.0%",
    ):
        assert text in sentence
    assert "+9.4 to +10.9" in sentence  # 10 1/6 ± 4.303 · 0.2887 / √3
    assert [value for value, _ in section.facts] == ["61.2 ± 1.3%", "+10.2 points", "4.0%", "90.0%"]
    assert "best of 3" in section.text[0]


@pytest.mark.parametrize(
    ("after", "words"),
    [((60.0,), "Nothing is shown with one seed"), ((49.0, 58.0, 51.0), "No gain is shown")],
)
def test_what_is_not_shown_is_said_to_be_so(after: tuple[float, ...], words: str):
    (sentence,) = answer(
        TEACHER,
        *seeds("s", "supervised", 150.0, *(50.0, 51.0, 52.0)[: len(after)]),
        *seeds("s", "semi_supervised", 150.0, *after),
    ).lead
    assert words in sentence and "150% of the teacher's" in sentence


def test_labels_alone_may_be_best():
    rows = [*seeds("s", "supervised", 4.0, 60, 61, 62), *seeds("s", "semi_supervised", 4.0, 50, 51, 52.5)]
    (sentence,) = answer(*rows).lead
    assert "with training on the labels alone. No gain is shown: semi-supervised is 9.8 points below" in sentence
    (sentence,) = answer(*rows[:3]).lead
    assert sentence.endswith("No other approach of this student has been evaluated.")


def test_without_labels_alone_no_gain_is_known():
    section = answer(*seeds("s", "semi_supervised", 4.0, 60))
    assert "so no gain is known" in section.lead[0]
    assert section.text == []


def test_unfinished_runs_say_so():
    assert answer(TEACHER).lead == ["No student has been evaluated yet. The teacher reaches 90.0% top-1."]
    assert answer().lead == ["No network has been evaluated yet."]


def test_each_test_set_has_its_sentence():
    section = answer(*seeds("s", "supervised", 4.0, 60, test_set="1"), *seeds("s", "supervised", 4.0, 70, test_set="2"))
    assert [float(sentence.split("reaches ")[1].split("%")[0]) for sentence in section.lead] == [60, 70]
    assert section.facts == []


def test_the_best_variant_of_a_study_is_compared_within_its_variant():
    rows = [
        one
        for variant, base in (("10", 50), ("20", 60))
        for one in (
            *seeds("s", "supervised", 4.0, base, base + 1, variant=variant),
            *seeds("s", "semi_supervised", 4.0, base + 5, base + 6, variant=variant),
        )
    ]
    (sentence,) = answer(*rows).lead
    assert "s [20] (semi-supervised)" in sentence and "5.0 points above" in sentence


def test_warnings_stand_beside_the_answer():
    assert answer(TEACHER, warnings=("careful",)).warnings == ("careful",)
