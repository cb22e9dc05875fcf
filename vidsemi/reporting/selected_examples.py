"""What was selected: of each class examples at several ranks, and the first one that was not (the paper's Figure 2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from vidsemi.data.class_names import class_name
from vidsemi.data.joined import join
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place
from vidsemi.pipeline.manifests import read_manifest, score_folders
from vidsemi.pipeline.precision import true_classes
from vidsemi.reporting.gallery import Card, Strip, gallery, missing_notes, preview_counts
from vidsemi.reporting.previews import FOLDER, Preview, PreviewMaker
from vidsemi.reporting.results import RunResults
from vidsemi.reporting.section import Section
from vidsemi.reporting.selection_files import SelectionFile, selection_files
from vidsemi.selection.joined_scores import join_scores
from vidsemi.selection.result import Selection
from vidsemi.selection.runners_up import runners_up
from vidsemi.selection.score_format import ScoreRows

MOST_SELECTIONS = 4  # of a report whose examples are shown: one of each teacher and variant
MOST_OTHERS = 3  # names of other classes that selected an example


@dataclass(frozen=True)
class Shown:
    """An example to show in the row of a class."""

    label: int
    rank: int  # from 0
    example_id: int
    score: float  # NaN where the policy ignores scores
    selected: bool


def ranks_shown(selected: int, count: int) -> list[int]:
    """Up to `count` ranks of so many, the most telling first: the first, the last, K/2, K/10, then in the widest gaps.

    >>> ranks_shown(100, 4), ranks_shown(100, 5), ranks_shown(3, 4)
    ([0, 99, 49, 9], [0, 99, 49, 9, 74], [0, 2, 1])
    """
    named = [0, selected - 1, -(-selected // 2) - 1, -(-selected // 10) - 1] if selected else []
    ranks = [*dict.fromkeys(named)][:count]
    while len(ranks) < min(count, selected):
        known = sorted(ranks)
        gap, first = max((after - before, -before) for before, after in pairwise(known))
        ranks.append(-first + gap // 2)
    return ranks


def shown_examples(selection: Selection, beyond: ScoreRows | None, count: int) -> list[Shown]:
    """The examples to show of all classes, `count` of each and one that was not selected; the most telling first."""
    starts = np.searchsorted(selection.label, np.arange(len(selection.classes) + 1))
    by_turn: list[list[Shown]] = [[] for _ in range(count)]
    for label, (start, end) in enumerate(pairwise(starts)):
        for turn, rank in enumerate(ranks_shown(int(end - start), count)):
            at = start + rank
            one = Shown(label, rank, int(selection.example_id[at]), float(selection.score[at]), selected=True)
            by_turn[turn].append(one)
    if beyond is not None:
        rows = zip(beyond.label.tolist(), beyond.example_id.tolist(), beyond.score.tolist(), strict=True)
        wanted = selection.info.wanted_per_class
        by_turn.insert(2, [Shown(label, wanted[label], example, score, False) for label, example, score in rows])
    return [one for turn in by_turn for one in turn]


def selected_sections(runs: Sequence[RunResults], maker: PreviewMaker) -> list[Section]:
    """The examples of the selections in the runs' directories, of one seed each."""
    first: dict[str, SelectionFile] = {}
    for one in selection_files(runs):
        first.setdefault(one.group, one)
    found = [*first.values()]
    found, left_out = found[:MOST_SELECTIONS], found[MOST_SELECTIONS:]
    sections = [_section_of_run(one, one.title.replace("Selection of", "What was selected by"), maker) for one in found]
    if left_out:
        note = f"The examples of {len(left_out)} more selections: vidsemi browse {left_out[0].original}, and so on."
        sections.append(Section("What was selected: other selections", text=[note]))
    return sections


def _section_of_run(one: SelectionFile, title: str, maker: PreviewMaker) -> Section:
    try:
        manifest, scores = data_of(one.file, one.run_folder)
        return selected_section(title, one.file, manifest, scores, maker, true_labels=true_labels_of(one.file))
    except UserError as error:  # the rest of the report is still worth writing
        return Section(title, text=[f"No examples are shown: {error}."])


def true_labels_of(file: Path) -> Manifest | None:
    """The true labels of the unlabeled set, if the run of a selection knows them."""
    try:
        return read_manifest(file.absolute().parent.with_name("precision"), "true_labels")
    except UserError:
        return None


def data_of(file: Path, run: Place | None = None) -> tuple[Manifest, list[Place]]:
    """The unlabeled set and the directories of scores of a selection in a run's directory; a `UserError` if unknown.

    `run` is where the run really is, if the directory is a copy without scores.
    """
    stages = score_folders(file.parent)
    manifest = join([read_manifest(stage, "unlabeled") for stage in stages])
    return manifest, [*score_folders(file.parent, run)]


def selected_section(
    title: str,
    file: Path,
    manifest: Manifest,
    scores: Sequence[Place],
    maker: PreviewMaker,
    *,
    true_labels: Manifest | None = None,
) -> Section:
    """The examples of a selection.

    Args:
        title: of the section.
        file: the selection, beside which previews are kept.
        manifest: the unlabeled set.
        scores: directories of scores that it was made from, to show examples that were not selected; may be empty.
        maker: of previews.
        true_labels: examples of the unlabeled set with their true labels, to mark wrong pseudo-labels.

    Raises:
        UserError: the selection cannot be read, or is of another manifest; or an example has two true labels.
    """
    selection = Selection.read(file)
    selection.check_manifest(manifest, file)
    beyond, problem = _beyond(selection, scores)
    examples = shown_examples(selection, beyond, maker.count)
    ids = [*dict.fromkeys(one.example_id for one in examples)]
    previews = dict(zip(ids, maker.make([manifest.row(one) for one in ids], file.parent / FOLDER), strict=True))
    notes = [_explanation(maker.count, beyond), *([problem] if problem else []), *missing_notes(previews.values())]
    truth: dict[int, str | None] = {}
    if true_labels is not None:
        truth = dict(zip(ids, true_classes(np.array(ids, np.int64), manifest, true_labels), strict=True))
        notes.insert(1, "Where the true label is another one, it is named.")
    html, media = gallery(_strips(selection, manifest, examples, previews, truth), "a class", notes)
    data = {"previews": [{"section": title, **preview_counts(previews.values())}]}
    return Section(title, html=html, files=media, data=data)


def _beyond(selection: Selection, scores: Sequence[Place]) -> tuple[ScoreRows | None, str]:
    """The first example of each class that was not selected, or why that is not known."""
    if not scores:
        return None, "Examples just beyond the selection are not shown, since it does not say where its scores are."
    try:
        return runners_up(selection, join_scores(scores)), ""
    except UserError as error:
        return None, f"Examples just beyond the selection are not shown: {error}."


def _explanation(count: int, beyond: ScoreRows | None) -> str:
    ranks = "1, K/10, K/2 and K" if count == 4 else f"1 to K, {count} of them"
    dashed = "" if beyond is None else " The one with a dashed frame is the first that was not selected."
    return f"Each row shows examples of a class at the ranks {ranks}, where K is how many it selected.{dashed}"


def _strips(
    selection: Selection,
    manifest: Manifest,
    examples: Sequence[Shown],
    previews: dict[int, Preview],
    truth: dict[int, str | None],
) -> Iterator[Strip]:
    info, names = selection.info, selection.classes
    others = _takers(selection, [*previews])
    by_label = {label: [*own] for label, own in groupby(sorted(examples, key=_place), key=lambda shown: shown.label)}
    for label, name in enumerate(names):
        cards = []
        for one in by_label.get(label, []):
            more = [names[other] for other in others[one.example_id] if other != label]
            notes = [] if one.selected else ["not selected"]
            if more:
                notes.append(_list("also selected by" if one.selected else "but by", more))
            true = truth.get(one.example_id)
            if true is not None and true != class_name(name):
                notes.append(f"is {true}" if true else "is none of the classes")
            score = "" if np.isnan(one.score) else f"{one.score:.3f}"
            row, rank = manifest.row(one.example_id), f"rank {one.rank + 1}"
            cards.append(Card(row, previews[one.example_id], rank, score, notes, beyond=not one.selected))
        summary = f"{info.chosen_per_class[label]} selected of {info.candidates_per_class[label]} candidates"
        yield Strip(name, cards, summary)


def _place(one: Shown) -> tuple[int, int]:
    return one.label, one.rank


def _list(before: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_OTHERS} more" if len(names) > MOST_OTHERS else ""
    return f"{before} {', '.join(names[:MOST_OTHERS])}{more}"


def _takers(selection: Selection, wanted: Sequence[int]) -> dict[int, list[int]]:
    """Example id → the classes that selected it."""
    ids, offsets, labels = selection.labels_by_example()
    places = np.searchsorted(ids, wanted)
    return {
        example: labels[offsets[at] : offsets[at + 1]].tolist() if at < len(ids) and ids[at] == example else []
        for example, at in zip(wanted, places.tolist(), strict=True)
    }
