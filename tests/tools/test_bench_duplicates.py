"""The benchmark of duplicates: its contenders find all that was planted, and the same besides."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools.bench import within_contenders
from tools.bench.command import main as bench
from tools.bench.duplicate_data import MAX_FLIPS, DuplicateData
from tools.bench.duplicates_contenders import CONTENDERS
from tools.bench.within_data import WithinData

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("videos", [False, True])
def test_all_contenders_find_what_was_planted(tmp_path: Path, videos: bool):
    pytest.importorskip("duckdb")
    data = DuplicateData(5000, 60, videos)
    data.write(tmp_path / "hashes")
    dataset, tests = data.stored(tmp_path / "hashes"), data.test_set()
    planted = [column.tolist() for column in data.planted()]
    assert max(planted[2]) <= MAX_FLIPS and len(planted[0]) == 5
    found = {name: make(dataset, tests)() for name, make in CONTENDERS.items()}
    assert found.pop("bare read") is None
    for name, columns in found.items():
        assert columns is not None
        assert [np.asarray(column).tolist() for column in columns] == planted, name


@pytest.mark.parametrize("videos", [False, True])
def test_all_contenders_find_what_was_planted_within(tmp_path: Path, videos: bool):
    data = WithinData(3000, videos)
    store = data.store(tmp_path)
    found = [make(data, store, 1 << 30, tmp_path) for make in within_contenders.CONTENDERS.values()]
    ours, none, other = ([np.asarray(column).tolist() for column in one or ()] for one in found)
    assert ours == other and not none
    assert len(ours[0]) == data.removed()
    planted = data.planted()
    assert [[column[ours[0].index(row)] for column in ours] for row in planted[0]] == np.transpose(planted).tolist()


def test_the_table_has_recall_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--rows", "3000", "--tests", "50", "--rounds", "1", "--data", str(tmp_path)]
    assert bench(["duplicates", *options, "--only", "vidsemi", "bare read", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ours, limit = document["contenders"]
    assert (ours["recall"], ours["found"], limit["recall"]) == (1.0, 3, None)
    assert ours["peak_mib"] > 0
    assert bench(["duplicates", "--within", *options[:2], *options[4:], "--only", "vidsemi", "--json"]) == 0
    within = json.loads(capsys.readouterr().out)["contenders"][0]
    assert (within["recall"], within["found"]) == (1.0, WithinData(3000, False).removed())
