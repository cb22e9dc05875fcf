"""Examples of selections on a page: which ranks, what is marked, what is missing."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.builders import write_shard
from tests.helpers.errors import assert_refused, refused
from tests.helpers.result_rows import run_of
from vidsemi.api.browse import browse
from vidsemi.cli import main as cli
from vidsemi.data.manifest import load_manifest
from vidsemi.io.tables import csv_text
from vidsemi.pipeline.select import select_scores
from vidsemi.reporting.previews import PreviewMaker
from vidsemi.reporting.section import Section
from vidsemi.reporting.selected_examples import ranks_shown, selected_section, selected_sections
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_writer import write_failures

NAMES = ["<u>bold</u>", 'a "quoted" one', "plain"]


class Cards(HTMLParser):
    """The cards of a page: class → (texts, whether it has a picture, its classes in the markup)."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.strips: dict[str, list[dict]] = {}
        self._strip: list[dict] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.tags.append(tag)
        if own.get("class") == "strip":
            self._strip = self.strips.setdefault(own["data-name"] or "", [])
        elif tag == "figure" and "card" in (own.get("class") or ""):
            self._strip.append({"texts": [], "src": None, "beyond": "beyond" in (own["class"] or "")})
            self._inside = True
        elif tag == "img" and self._inside:
            self._strip[-1]["src"] = own["src"]

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "figure"

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self._strip[-1]["texts"].append(data.strip())


def write_selection(
    folder: Path, names: list[str], *, examples: int = 60, per_class: int = 20, per_example: int = 2, missing: int = 0
) -> Path:
    """Images, a manifest, random scores and a selection of them; returns the selection."""
    folder.mkdir(exist_ok=True)
    for number in range(examples - missing):
        Image.new("RGB", (16, 12), (4 * number, 99, 0)).save(folder / f"<i>{number}.png")
    (folder / "m.csv").write_text(csv_text([{"path": f"<i>{number}.png"} for number in range(examples)]))
    stored = min(per_example, len(names))
    fingerprint = load_manifest(folder / "m.csv").fingerprint
    info = ScoresInfo(fingerprint, "w", names, stored, views=1, examples=examples, shards=1)
    logits = np.random.default_rng(0).normal(size=(examples, len(names)))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    write_failures(folder / "scores", 0, [])
    write_shard(folder / "scores", 0, np.arange(examples), scores, info)
    file = folder / "selection.parquet"
    select_scores(file, [folder / "scores"], per_class=per_class, per_example=stored)
    return file


def section_of(file: Path, *, scores: bool = True, count: int = 4, seconds: float | None = None) -> Section:
    maker = PreviewMaker(count, workers=0, seconds=seconds)
    folders = [file.parent / "scores"] if scores else []
    return selected_section("Selection", file, load_manifest(file.parent / "m.csv"), folders, maker)


@given(st.integers(0, 3000), st.integers(1, 20))
def test_ranks_are_distinct_inside_and_begin_with_those_that_tell_most(selected: int, count: int):
    ranks = ranks_shown(selected, count)
    assert len(ranks) == len(set(ranks)) == min(selected, count)
    assert all(0 <= rank < selected for rank in ranks)
    named = [0, selected - 1, math.ceil(selected / 2) - 1, math.ceil(selected / 10) - 1]
    assert set(ranks) >= set([rank for rank in dict.fromkeys(named) if 0 <= rank < selected][: len(ranks)])
    assert ranks_shown(selected, count + 1)[: len(ranks)] == ranks


def test_each_row_has_the_examples_of_the_selection_table(tmp_path: Path):
    file = write_selection(tmp_path, NAMES)
    section = section_of(file)
    page, table = Cards(str(section.html)), pq.read_table(file).to_pylist()
    shards = pq.read_table(tmp_path / "scores/part-000000.parquet").to_pylist()
    taken: dict[int, set[str]] = {}
    for row in table:
        taken.setdefault(row["example_id"], set()).add(NAMES[row["label"]])
    assert any(len(names) > 1 for names in taken.values())
    assert [*page.strips] == NAMES and not {"u", "i"} & {*page.tags}
    for label, name in enumerate(NAMES):
        rows = {row["rank"]: row for row in table if row["label"] == label}
        candidates = sorted((-row["score"], row["example_id"]) for row in shards if row["label"] == label)
        expected = [(rank, rows[rank]["example_id"], rows[rank]["score"]) for rank in (0, 1, 9, 19)]
        expected += [(20, candidates[20][1], -candidates[20][0])] if len(candidates) > 20 else []
        assert len(page.strips[name]) == len(expected)
        for card, (rank, example, score) in zip(page.strips[name], expected, strict=True):
            text = " ".join(card["texts"])
            assert text.startswith(f"rank {rank + 1} {score:.3f} ") and text.endswith(f"/<i>{example}.png")
            assert card["beyond"] == ("not selected" in text) == (rank == 20)
            others = taken.get(example, set()) - {name}
            assert ("selected by" in text or "but by" in text) == bool(others)
            assert all(other in text for other in others)
            assert section.files[card["src"].removeprefix("report_files/")][8:12] == b"WEBP"


def test_wrong_pseudo_labels_are_marked_where_the_truth_is_known(tmp_path: Path):
    file = write_selection(tmp_path, NAMES)
    labels = ["plain", "", "another"]
    rows = [{"path": f"<i>{number}.png", "label": labels[number % 3]} for number in range(50)]
    (tmp_path / "truth.csv").write_text(csv_text(rows))
    manifest, maker = load_manifest(tmp_path / "m.csv"), PreviewMaker(4, workers=0, seconds=None)
    truth = load_manifest(tmp_path / "truth.csv")
    section = selected_section("Selection", file, manifest, [], maker, true_labels=truth)
    for name, cards in Cards(str(section.html)).strips.items():
        for card in cards:
            number = int(card["texts"][-1].removesuffix(".png").rpartition("<i>")[2])
            true = labels[number % 3] if number < 50 else None
            assert ("is plain" in card["texts"]) == (true == "plain" != name)
            assert ("is none of the classes" in card["texts"]) == (true == "")
            assert ("is another" in card["texts"]) == (true == "another")


def test_without_scores_the_selection_is_shown_alone(tmp_path: Path):
    file = write_selection(tmp_path, NAMES)
    assert not any(
        card["beyond"] for strip in Cards(str(section_of(file, scores=False).html)).strips.values() for card in strip
    )
    write_shard(
        tmp_path / "scores", 0, np.arange(60), np.full((60, 3), 1 / 3), ScoresInfo("other", "w", NAMES, 2, views=1)
    )
    section = section_of(file)
    assert "beyond the selection are not shown" in str(section.html) and len(Cards(str(section.html)).strips) == 3


def test_missing_files_are_counted_with_their_reason(tmp_path: Path):
    section = section_of(write_selection(tmp_path, NAMES, missing=50))
    cards = [card for strip in Cards(str(section.html)).strips.values() for card in strip]
    shown = {card["texts"][-1] for card in cards}
    gone = {card["texts"][-1] for card in cards if card["src"] is None}
    assert gone and all("No such file" in card["texts"][0] for card in cards if card["src"] is None)
    counts = section.data["previews"][0]
    assert (counts["made"], counts["failed"], counts["late"]) == (len(shown) - len(gone), len(gone), 0)
    assert f"{len(gone)} of {len(shown)} previews cannot be made: No such file or directory ({len(gone)})" in str(
        section.html
    )


def test_what_there_was_no_time_for_is_said(tmp_path: Path):
    section = section_of(write_selection(tmp_path, NAMES), seconds=0.0)
    assert section.data["previews"][0]["made"] == 0 and not section.files
    assert "not made: time is up" in str(section.html) and "--previews" in str(section.html)


@pytest.mark.parametrize("classes", [1, 400])
def test_one_class_and_400(tmp_path: Path, classes: int):
    names = [f"class {number}" for number in range(classes)]
    section = section_of(write_selection(tmp_path, names, per_class=3), count=2)
    strips = Cards(str(section.html)).strips
    assert [*strips] == names
    assert len(strips["class 0"]) == (3 if classes == 1 else len(strips["class 0"]))


def test_browse_writes_a_page_of_a_selection_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write_selection(tmp_path, NAMES)
    command = ["browse", str(file), "--manifest", f"{tmp_path}/m.csv", "--workers", "0"]
    assert cli.main([*command, "--scores", f"{tmp_path}/scores", "--json"]) == 0
    page = tmp_path / "selection.html"
    assert json.loads(capsys.readouterr().out) == {"page": str(page)}
    strips = Cards(page.read_text()).strips
    assert [len(strip) for strip in strips.values()] == [5, 5, 5]
    assert all(re.match("data:image/webp;base64,", card["src"]) for strip in strips.values() for card in strip)
    assert len([*(tmp_path / "previews").iterdir()]) == len(section_of(file).files)
    assert cli.main([*command, "--previews", "1", "--output", f"{tmp_path}/other.html"]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}/other.html"
    assert [len(strip) for strip in Cards((tmp_path / "other.html").read_text()).strips.values()] == [1, 1, 1]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run with a selection, without its other files."""
    folder = tmp_path / "run/seed0/teacher"
    file = write_selection(tmp_path / "data", NAMES)
    manifests = {name: [{"file": f"{tmp_path}/data/{name}.csv", "root": None}] for name in ("m", "truth")}
    truth = [{"path": f"<i>{number}.png", "label": "another"} for number in range(60)]
    (tmp_path / "data/truth.csv").write_text(csv_text(truth))
    fingerprints = {name: load_manifest(tmp_path / f"data/{name}.csv").fingerprint for name in manifests}
    for stage, fields, more in (
        ("score", {"unlabeled": fingerprints["m"]}, {"manifests": {"unlabeled": manifests["m"]}}),
        ("select", {"scores": ["1"]}, {"inputs": {"seed0/teacher/score": "1"}}),
        ("precision", {"true_labels": fingerprints["truth"]}, {"manifests": {"true_labels": manifests["truth"]}}),
    ):
        (folder / stage).mkdir(parents=True)
        record = {"stage": f"seed0/teacher/{stage}", "status": "running", "fields": fields, **more}
        (folder / stage / "stage.json").write_text(json.dumps(record))
    (tmp_path / "data/scores/part-000000.parquet").rename(folder / "score/part-000000.parquet")
    return file.rename(folder / "select/selection.parquet").parents[3]


def test_in_a_run_the_manifest_scores_and_true_labels_are_found(run: Path):
    file = run / "seed0/teacher/select/selection.parquet"
    page = browse(file, run / "page.html", workers=0)
    strips = Cards(page.read_text()).strips
    assert [len(cards) for cards in strips.values()] == [5, 5, 5]
    assert all("is another" in card["texts"] for cards in strips.values() for card in cards)
    (section,) = selected_sections([run_of([], folder=run)], PreviewMaker(4, workers=0, seconds=None))
    assert section.title == "What was selected by the teacher, seed0"
    assert [*Cards(str(section.html)).strips.values()] != [] and len(section.files) > 10
    (file.parents[1] / "score/stage.json").unlink()
    (section,) = selected_sections([run_of([], folder=run)], PreviewMaker(4, workers=0, seconds=None))
    assert section.html is None and "score" in section.text[0]


def test_browse_refuses_what_does_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = write_selection(tmp_path, NAMES)
    assert cli.main(["browse", str(file)]) == 2
    assert_refused(capsys.readouterr().err, "browse.missing_manifest", "--manifest", file)
    (tmp_path / "other.csv").write_text("path\na.png\n")
    with refused("selection.wrong_manifest", "other.csv"):
        browse(file, manifest=tmp_path / "other.csv", workers=0)
    with refused("output.is_input", "m.csv"):
        browse(file, tmp_path / "m.csv", manifest=tmp_path / "m.csv", workers=0)
    with refused("selection.not_found", "none.parquet"):
        browse(tmp_path / "none.parquet", manifest=tmp_path / "m.csv", workers=0)
    with refused("options.invalid", "root"):
        browse(file, root=tmp_path)
    with refused("options.invalid", "previews"):
        browse(file, manifest=tmp_path / "m.csv", previews=0)
