"""Captions: sentences with hashtags in them, of which only the words behind a # are tags."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.cli import main as cli
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.hashtags.match import match_examples
from vidsemi.data.hashtags.normalize import Reading, read_text, split_tags
from vidsemi.data.hashtags.vocabulary import build_vocabulary, write_vocabulary
from vidsemi.data.manifest import load_manifest


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("No archery today #surfing", ["surfing"]),
        ("Great game, we ate pizza #bowling", ["bowling"]),
        ("#surfing today", ["surfing"]),
        ("Love it! #yoga#fun, #catching_fish. (#tag)", ["yoga", "fun", "catchingfish", "tag"]),
        ("it&#39;s great #yoga", ["yoga"]),
        ("see https://x.com/a#section #yoga", ["yoga"]),
        ("I code in C# #coding", ["coding"]),
        ("fun#yoga", ["yoga"]),
        ("楽しい＃釣り、海", ["釣り"]),
        ("best day 🏄 #surf🏄", ["surf"]),
        ("line one\nline #two", ["two"]),
    ],
)
def test_in_a_caption_only_words_behind_a_mark_are_tags(text: str, tags: list[str]):
    assert (split_tags(text), read_text(text)[1]) == (tags, Reading.CAPTION)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("rock climbing|bouldering", ["rockclimbing", "bouldering"]),
        ("#rock climbing|#bouldering", ["rockclimbing", "bouldering"]),
        ("a｜b c", ["a", "bc"]),
        ("#a 🏄 #b", ["a", "b"]),
        ("#new york, #catching fish", ["newyork", "catchingfish"]),
        ("a b", ["a", "b"]),
        ("a, b c", ["a", "bc"]),
    ],
)
def test_tags_that_are_no_caption(text: str, tags: list[str]):
    assert split_tags(text) == tags
    assert read_text(text)[1] is not Reading.CAPTION
    assert read_text("")[1] is read_text(" \n")[1] is Reading.TAGS


def test_items_of_lists():
    items = ["a|b c", "new york", "#new york", "we ate #pizza today", "#a#b"]
    assert split_tags(items) == ["a", "bc", "newyork", "pizza", "b"]


words = st.text(st.characters(categories=["L", "N"]), min_size=1)


@given(st.lists(st.tuples(st.booleans(), words), min_size=1))
def test_a_sentence_has_the_tags_that_are_marked(parts: list[tuple[bool, str]]):
    marked = [word for mark, word in parts if mark]
    text = " ".join(f"#{word}" if mark else word for mark, word in parts)
    expected = marked or [word for _, word in parts]
    assert split_tags(text) == split_tags(expected)
    assert (read_text(text)[1] is Reading.CAPTION) == (0 < len(marked) < len(parts))


ROWS = [
    "one archery",
    "No archery today #surfing",
    "archery, yoga",
    "rock climbing|yoga",
    "#a, b",
    "",
    "#a #b",
    "yoga",
]
FIXED = [None, "#surfing", None, "#rockclimbing #yoga", "#a", None, "#a #b", None]


@pytest.mark.parametrize("shift", range(8))
def test_a_column_with_a_caption_is_one_of_captions_whatever_the_order(shift: int, tmp_path: Path):
    rows = [*ROWS[shift:], *ROWS[:shift]]
    text = "".join(json.dumps({"path": f"{n}.mp4", "hashtags": row}) + "\n" for n, row in enumerate(rows))
    (tmp_path / "t.jsonl").write_text(text)
    found = read_table_format(tmp_path / "t.jsonl", None)
    assert found.columns["hashtags"] == [*FIXED[shift:], *FIXED[:shift]]
    assert found.captions == 5
    (tmp_path / "t.jsonl").write_text(text.replace("No archery", "#No #archery").replace("today", "#today"))
    found = read_table_format(tmp_path / "t.jsonl", None)
    assert found.captions == 0 and found.columns["hashtags"].count("#archery #yoga") == 1


def test_a_stray_sentence_does_not_make_captions_of_a_column_of_tags(tmp_path: Path):
    for rows, tags in ((99, None), (100, None), (101, "#a #b")):
        lines = ["we ate #pizza", *["a b"] * rows, "['new york', 'x']"]
        (tmp_path / "t.csv").write_text("path,hashtags\n" + "".join(f'{n},"{row}"\n' for n, row in enumerate(lines)))
        found = read_table_format(tmp_path / "t.csv", None)
        assert found.columns["hashtags"] == ["#pizza", *[tags] * rows, "#newyork #x"]
        assert found.captions == (1 if tags else 1 + rows)


def test_a_run_on_a_table_of_captions_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "m.csv").write_text('path,hashtags\na,we like #yoga\nb,"#yoga"\n')
    ids, _ = match_examples(load_manifest(tmp_path / "m.csv"), build_vocabulary(["yoga", "like"], {}), "this test")
    assert ids.tolist() == [0, 1]
    (message,) = caplog.messages
    assert "1 rows" in message and "m.csv" in message


def test_a_vocabulary_keeps_no_caption_without_its_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_vocabulary(tmp_path / "v.csv", build_vocabulary(["archery", "yoga"], {}))
    rows = ["just archery", "#x", "we like #archery", "archery|yoga", "yoga today"]
    (tmp_path / "t.csv").write_text("path,hashtags\n" + "".join(f"{n}.mp4,{row}\n" for n, row in enumerate(rows)))
    words = ["manifest", "table", str(tmp_path / "t.csv"), "--vocabulary", str(tmp_path / "v.csv")]
    assert cli.main([*words, "--output", str(tmp_path / "m.csv"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["examples"], answer["left_out"], answer["captions"]) == (2, 3, 3)
    assert (tmp_path / "m.csv").read_text().splitlines()[1:] == ['"2.mp4","#archery"', '"3.mp4","#archery #yoga"']
    assert cli.main([*words, "--output", str(tmp_path / "m.csv")]) == 0
    assert "3 rows are captions" in capsys.readouterr().out
