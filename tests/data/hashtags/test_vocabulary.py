import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data.hashtags.normalize import canonical, join_tags, split_tags
from vidsemi.data.hashtags.vocabulary import (
    count_examples,
    frequent,
    label_space,
    read_label_space,
    read_synonyms,
    tagged_examples,
    write_label_space,
)
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io.errors import UserError

CLASSES = ["yoga", "catching fish", "???", "Yoga!"]


@pytest.mark.parametrize(
    ("tag", "form"),
    [
        ("#CatchingAFish", "catchingafish"),
        ("catching a fish", "catchingafish"),
        ("catching_a-fish!", "catchingafish"),
        ("canon+powershot", "canonpowershot"),
        ("%23caf%C3%A9", "café"),
        ("cafe\u0301", "café"),
        ("#straße_fest", "strassefest"),
        ("ＹＯＧＡ", "yoga"),  # full width
        ("योग", "योग"),  # the vowel signs stay
        ("می\u200cخواهم", "میخواهم"),  # people write it with and without the joiner
        ("🎣", ""),
        ("#surfing🏄\u200d♂\ufe0f", "surfing"),
        ("❤\ufe0f", ""),
        ("1\ufe0f\u20e3", "1"),
        ("i\u200d\u0307\ufe0f\u0307", "i"),
        ("İstanbul", "istanbul"),
        ("كتـــاب", "كتاب"),
        ("50%", "50"),
        ("%FF", ""),  # bytes that are no text
    ],
)
def test_canonical_form(tag: str, form: str):
    assert canonical(tag) == form


@given(st.text())
def test_what_is_canonical_stays_so_and_holds_letters_marks_and_numbers_only(tag: str):
    form = canonical(tag)
    assert canonical(form) == form
    assert all(unicodedata.category(letter)[0] in "LMN" for letter in form)
    assert not any("\ufe00" <= letter <= "\ufe0f" for letter in form)


@given(st.lists(st.text()))
def test_tags_of_a_manifest_are_read_as_they_were_written(tags: list[str]):
    once = split_tags(tags)
    assert split_tags(join_tags(once)) == once
    assert split_tags(reversed(once)) == once[::-1]


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ("#a #b  #a", ["a", "b"]),
        ("#a#b", ["a", "b"]),
        ("New York, catching fish,#x", ["newyork", "catchingfish", "x"]),
        ("['a', 'b c']", ["a", "bc"]),
        ("['new york']", ["newyork"]),
        ("＃釣り＃海、空", ["釣り", "海", "空"]),
        (["＃釣り＃海"], ["釣り", "海"]),
        ("[x] y z", ["x", "y", "z"]),
        (["#a", "b c", "#A"], ["a", "bc"]),
        ("", []),
        (None, []),
    ],
)
def test_fields(field: str | list[str] | None, tags: list[str]):
    assert split_tags(field) == tags


def test_examples_of_labels(write_csv: Callable[..., Path]):
    manifest = load_manifest(write_csv("m.csv", ["path", "hashtags"], [["a", "#yoga #Yoga #x"], ["b", ""], ["c", ""]]))
    space = label_space(CLASSES, {})
    assert [(label.tag, label.classes) for label in space.labels] == [
        ("yoga", ("yoga", "Yoga!")),  # two classes of one name are one label
        ("catchingfish", ("catching fish",)),
    ]
    ids, labels = tagged_examples(manifest, space, "this test")
    assert (ids.tolist(), labels.tolist()) == ([0], [0])


@given(st.lists(st.text() | st.sampled_from(["new york，catching fish", "catching fish、yoga", "['catching fish']"])))
def test_examples_are_found_as_their_tags_are_read(fields: list[str]):
    table = pa.table({"path": ["a"] * len(fields), "hashtags": pa.array(fields, pa.string())})
    space = label_space(CLASSES, {"yoga": ["a", "0", "é"]})
    ids, labels = tagged_examples(Manifest(Path(), Path(), table, ""), space, "this test")
    assert list(zip(ids.tolist(), labels.tolist(), strict=True)) == [
        (number, label) for number, field in enumerate(fields) for label in space.of(field)
    ]


def test_a_name_need_not_give_all_its_tags(write_csv: Callable[..., Path]):
    file = write_csv("s.csv", ["class", "tag"], [["catching fish", "#fishing"], ["catching fish", "!#catchafish"]])
    (label,) = label_space(["catching fish"], read_synonyms(file, ["catching fish"])).labels
    assert "fishing" in label.spellings
    assert "catchafish" not in label.spellings
    file = write_csv("s.csv", ["class", "tag"], [["catching fish", "!fishing"]])
    with pytest.raises(UserError, match="line 2: the name 'catching fish' does not give #fishing"):
        read_synonyms(file, ["catching fish"])


def test_classes_of_a_file_are_those_of_d_whatever_its_white_space(tmp_path: Path):
    names = ["a; b", "foo  bar", "=x", " y"]
    write_label_space(tmp_path / "v.csv", label_space(names, {}))
    back = read_label_space(tmp_path / "v.csv").of_classes(names, "v.csv")
    assert [label.classes for label in back.labels] == [(name,) for name in names]


def test_classes_that_share_a_tag_are_one_label_by_way_of_others_too():
    space = label_space(["a", "b", "c", "d"], {"a": ["x"], "b": ["y"], "d": ["#X", "y"]})
    assert [(label.tag, label.classes) for label in space.labels] == [("a", ("a", "b", "d")), ("c", ("c",))]
    assert space.labels[0].spellings == ("a", "x", "b", "y", "d")


def test_a_label_space_is_read_as_it_was_written(tmp_path: Path):
    space = label_space(["yoga", "=cmd()", "योग"], {"yoga": ["asana"]})
    write_label_space(tmp_path / "v.csv", space, [3, 2, 1])
    assert read_label_space(tmp_path / "v.csv") == space
    assert "\n#cmd,'=cmd()," in (tmp_path / "v.csv").read_text()  # no formula to a spreadsheet
    (tmp_path / "v.csv").write_text("tag,classes,examples,spellings\n#a,,,#b\n#b,,,\n")
    with pytest.raises(UserError, match="line 3: #b is a spelling of #a too"):
        read_label_space(tmp_path / "v.csv")


def test_labels_of_too_few_examples_go_and_their_tags_with_them(write_csv: Callable[..., Path]):
    rows = [[str(number), tags] for number, tags in enumerate(["#a #b", "#b", "#c #b #B", "#x", ""])]
    manifest = load_manifest(write_csv("m.csv", ["path", "hashtags"], rows))
    space = label_space(["a", "b", "c", "d"], {})
    counts = count_examples(space, tagged_examples(manifest, space, "this test")[1])
    assert counts.tolist() == [1, 3, 1, 0]
    kept, dropped = frequent(space, counts, 1)
    assert kept.names == ["#a", "#b", "#c"] and [(label.tag, count) for label, count in dropped] == [("d", 0)]
    kept, dropped = frequent(space, counts, 3)
    assert kept.numbers == {"b": 0} and [count for _, count in dropped] == [1, 1, 0]
    assert tagged_examples(manifest, kept, "this test")[0].tolist() == [0, 1, 2]
