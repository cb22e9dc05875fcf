import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data.batches import TableBatches
from vidsemi.data.hashtags.match import match_examples, match_frequent
from vidsemi.data.hashtags.normalize import canonical, join_tags, split_tags
from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_synonyms, read_vocabulary, write_vocabulary
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
    vocabulary = build_vocabulary(CLASSES, {})
    assert [(label.tag, label.classes) for label in vocabulary.labels] == [
        ("yoga", ("yoga", "Yoga!")),  # two classes of one name are one label
        ("catchingfish", ("catching fish",)),
    ]
    ids, labels = match_examples(manifest, vocabulary, "this test")
    assert (ids.tolist(), labels.tolist()) == ([0], [0])


@given(st.lists(st.text() | st.sampled_from(["new york，catching fish", "catching fish、yoga", "['catching fish']"])))
def test_examples_are_found_as_their_tags_are_read(fields: list[str]):
    table = pa.table({"path": ["a"] * len(fields), "hashtags": pa.array(fields, pa.string())})
    vocabulary = build_vocabulary(CLASSES, {"yoga": ["a", "0", "é"]})
    ids, labels = match_examples(Manifest(Path(), Path(), TableBatches(table), ""), vocabulary, "this test")
    known = vocabulary.label_by_tag
    assert list(zip(ids.tolist(), labels.tolist(), strict=True)) == [
        (number, label)
        for number, field in enumerate(fields)
        for label in sorted({known[tag] for tag in split_tags(field) if tag in known})
    ]


def test_a_name_need_not_give_all_its_tags(write_csv: Callable[..., Path]):
    file = write_csv("s.csv", ["class", "tag"], [["catching fish", "#fishing"], ["catching fish", "!#catchafish"]])
    (label,) = build_vocabulary(["catching fish"], read_synonyms(file, ["catching fish"])).labels
    assert "fishing" in label.variants
    assert "catchafish" not in label.variants
    file = write_csv("s.csv", ["class", "tag"], [["catching fish", "!fishing"]])
    with pytest.raises(UserError, match=r"line 2: .*#fishing.*catching fish") as error:
        read_synonyms(file, ["catching fish"])
    assert error.value.code == "synonyms.not_a_variant"


def test_class_names_in_a_file_match_whatever_their_white_space(tmp_path: Path):
    names = ["a; b", "foo  bar", "=x", " y"]
    write_vocabulary(tmp_path / "v.csv", build_vocabulary(names, {}))
    back = read_vocabulary(tmp_path / "v.csv").for_classes(names, "v.csv")
    assert [label.classes for label in back.labels] == [(name,) for name in names]


def test_classes_that_share_a_tag_are_one_label_by_way_of_others_too():
    vocabulary = build_vocabulary(["a", "b", "c", "d"], {"a": ["x"], "b": ["y"], "d": ["#X", "y"]})
    assert [(label.tag, label.classes) for label in vocabulary.labels] == [("a", ("a", "b", "d")), ("c", ("c",))]
    assert vocabulary.labels[0].variants == ("a", "x", "b", "y", "d")


def test_a_vocabulary_is_read_as_it_was_written(tmp_path: Path):
    vocabulary = build_vocabulary(["yoga", "=cmd()", "योग"], {"yoga": ["asana"]})
    write_vocabulary(tmp_path / "v.csv", vocabulary, [3, 2, 1])
    assert read_vocabulary(tmp_path / "v.csv") == vocabulary
    assert "\n#cmd,'=cmd()," in (tmp_path / "v.csv").read_text()  # no formula to a spreadsheet
    (tmp_path / "v.csv").write_text("tag,classes,examples,variants\n#a,,,#b\n#b,,,\n")
    with pytest.raises(UserError, match=r"line 3: #b .*#a") as error:
        read_vocabulary(tmp_path / "v.csv")
    assert error.value.code == "vocabulary.duplicate_tag"
    (tmp_path / "v.csv").write_text("tag,classes,examples,spellings\n#a,a,1,#b\n")  # the tags would be lost
    with pytest.raises(UserError, match=r"line 2.*variants") as error:
        read_vocabulary(tmp_path / "v.csv")
    assert error.value.code == "vocabulary.bad_line"


def test_labels_of_too_few_examples_go_and_their_tags_with_them(write_csv: Callable[..., Path]):
    rows = [[str(number), tags] for number, tags in enumerate(["#a #b", "#b", "#c #b #B", "#x", ""])]
    manifest = load_manifest(write_csv("m.csv", ["path", "hashtags"], rows))
    vocabulary = build_vocabulary(["a", "b", "c", "d"], {})
    everything = match_frequent(manifest, vocabulary, 0, "this test")
    assert everything.counts == [1, 3, 1, 0] and everything.matched == 3 and not everything.dropped
    matches = match_frequent(manifest, vocabulary, 1, "this test")
    assert matches.vocabulary.names == ["#a", "#b", "#c"]
    assert [(label.tag, count) for label, count in matches.dropped] == [("d", 0)]
    matches = match_frequent(manifest, vocabulary, 3, "this test")
    assert matches.vocabulary.label_by_tag == {"b": 0} and [count for _, count in matches.dropped] == [1, 1, 0]
    assert matches.example_ids.tolist() == match_examples(manifest, matches.vocabulary, "this test")[0].tolist()
    assert (matches.example_ids.tolist(), matches.labels.tolist(), matches.counts) == ([0, 1, 2], [0, 0, 0], [3])
