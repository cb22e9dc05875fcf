"""Columns of tags read at once have the tags that each field read alone has."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidsemi.data.hashtags.normalize import join_tags, raw_tags, read_text, split_tags, unique_tags
from vidsemi.data.hashtags.tag_lists import READINGS, TagReader

# All that a rule of `read_text` or `canonical` looks at, and some white space.
LETTERS = "aBß7é# #, ;|[]%+_-.!/:&@\t\n\r\x1c\x1f\x85\xa0\u2028\u3000＃，、；｜。İ\u0307\u200dＨ釣ि🏄\0"
texts = st.text(st.sampled_from(LETTERS), max_size=12)
tags = st.sampled_from(["a", "A", "b", "C3", "caf%C3%A9", "É", "d+e", "d_e", "", "!", "Ｈ", "😀"])
marked = st.lists(tags, max_size=5).map(lambda parts: " ".join(f"#{part}" for part in parts))
bare = st.builds(lambda parts, by: by.join(parts), st.lists(tags, max_size=5), st.sampled_from([" ", ",", ", ", "|"]))
field = st.none() | marked | bare | texts


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(field, max_size=12), st.booleans())
@example(["#a #a", None, "a, b", "we ate #pizza", "", " ", "[a b]", "#a, b"], True)
def test_texts_have_the_tags_that_each_has_alone(fields: list[str | None], in_captions: bool):
    read = [read_text(field or "", in_captions=in_captions) for field in fields]
    expected = [unique_tags(own) for own, _ in read]
    for column in (pa.array(fields, pa.string()), pa.array(["x y", *fields, "z"], pa.string()).slice(1, len(fields))):
        found = TagReader().read(column, in_captions=in_captions)
        assert found.fields().to_pylist() == [join_tags(own) or None for own in expected]
        assert [READINGS[code] for code in found.readings] == [reading for _, reading in read]
        found.fields().validate(full=True)
        forms = found.forms.texts().to_pylist()
        assert [forms[code] for code in found.codes] == [tag for own in expected for tag in own]
        assert found.rows().tolist() == [row for row, own in enumerate(expected) for _ in own]
        known = TagReader(["a", "é", "c3"]).read(column, in_captions=in_captions)
        assert known.carry_known().tolist() == [not {"a", "é", "c3"}.isdisjoint(own) for own in expected]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.lists(tags | texts, max_size=4), max_size=8))
def test_lists_have_the_tags_that_each_has_alone(fields: list[list[str] | None]):
    column = pa.array([["x"], *fields], pa.list_(pa.string())).slice(1)
    assert TagReader().read(column).fields().to_pylist() == [join_tags(split_tags(field)) or None for field in fields]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(field, max_size=4) | st.lists(st.lists(tags, max_size=3), max_size=4), max_size=4))
def test_a_reader_reads_one_column_after_another(columns: list[list]):
    reader, found = TagReader(), []
    for own in columns:
        is_list = any(isinstance(field, list) for field in own)
        found.append(reader.read(pa.array(own, pa.list_(pa.string()) if is_list else pa.string())))
    expected = [[join_tags(split_tags(field)) or None for field in own] for own in columns]
    assert [tags.fields().to_pylist() for tags in found] == expected


@pytest.mark.parametrize("count", [63, 64, 65, 66, 300])
def test_fields_of_many_tags(count: int):
    fields = [" ".join(f"#t{number % distinct}" for number in range(count)) for distinct in (1, 7, 50, count)]
    expected = [unique_tags(raw_tags(field)) for field in fields]
    assert TagReader().read(pa.array(fields)).fields().to_pylist() == list(map(join_tags, expected))
