"""Labels are counted and matched in batches as all examples at once, one by one, would be."""

from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.helpers.errors import refused
from vidsemi.data.hashtags import match
from vidsemi.data.hashtags.match import count_frequent, match_frequent, match_hashtags, read_matches
from vidsemi.data.hashtags.vocabulary import Label, Vocabulary
from vidsemi.data.manifest import load_manifest

VOCABULARY = Vocabulary(tuple(Label(tag, (tag,), (tag, f"{tag}s")) for tag in "abcd"))
tag_lists = st.lists(st.sampled_from(["a", "as", "b", "c", "cs", "d", "x"]), max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(tag_lists, min_size=1, max_size=30), st.integers(0, 6), st.integers(1, 4))
@example([["a", "b"], ["b"], ["b"], ["a", "c"], ["a"]], 3, 2)
def test_counts_in_batches(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], least: int, size: int):
    folder = tmp_path_factory.mktemp("m")
    file = folder / "m.parquet"
    fields = [" ".join(f"#{tag}" for tag in tags) or None for tags in rows]
    pq.write_table(pa.table({"path": ["v.mp4"] * len(rows), "hashtags": pa.array(fields, pa.string())}), file)
    labels = [sorted({"abcd".find(tag[0]) for tag in tags} - {-1}) for tags in rows]
    counts = Counter(label for own in labels for label in own)
    kept = [label for label in range(4) if counts[label] >= least]
    pairs = [(row, kept.index(label)) for row, own in enumerate(labels) for label in own if label in kept]
    with patch.object(match, "ROWS", size), patch.object(match, "MOST_RARE", 3):
        found, examples = count_frequent(file, VOCABULARY, least, "this test")
        together = match_frequent(load_manifest(file), VOCABULARY, least, "this test")
        options = {"weak": load_manifest(file), "vocabulary": VOCABULARY, "min_examples": least, "title": "t"}
        if len(kept) < 2:
            with refused("hashtags.too_few_labels"):
                match_hashtags(folder, **options)
        else:
            document = match_hashtags(folder, **options)
            names, ids, own = read_matches(folder)
            assert names == [f"#{'abcd'[label]}" for label in kept]
            assert list(zip(ids.tolist(), own.tolist(), strict=True)) == pairs
            assert document["examples"] == len({row for row, _ in pairs})
    assert examples == len(rows)
    for one in (found, together):
        assert [label.tag for label in one.vocabulary.labels] == ["abcd"[label] for label in kept]
        assert one.counts == [counts[label] for label in kept]
        assert one.matched == len({row for row, _ in pairs})
        assert one.dropped == [(VOCABULARY.labels[n], counts[n]) for n in range(4) if n not in kept]
    assert list(zip(together.example_ids.tolist(), together.labels.tolist(), strict=True)) == pairs


def test_counts_of_duckdb(tmp_path: Path):
    duckdb = pytest.importorskip("duckdb")
    file = tmp_path / "m.parquet"
    fields = [" ".join(f"#t{row * place % 40}" for place in range(1, row % 7)) for row in range(3000)]
    pq.write_table(pa.table({"path": ["v.mp4"] * len(fields), "hashtags": fields}), file)
    vocabulary = Vocabulary(tuple(Label(f"t{n}", ("c",), (f"t{n}",)) for n in range(40)))
    found, _ = count_frequent(file, vocabulary, 1, "this test")
    counts = duckdb.sql(
        "SELECT tag, count(DISTINCT row) FROM "
        "(SELECT file_row_number AS row, unnest(string_split(hashtags, ' ')) AS tag "
        f"FROM read_parquet('{file}', file_row_number = true)) WHERE tag != '' GROUP BY tag"
    ).fetchall()
    assert {f"#{label.tag}": count for label, count in zip(found.vocabulary.labels, found.counts, strict=True)} == dict(
        counts
    )
