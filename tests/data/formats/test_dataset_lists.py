"""The lists of single datasets, in the layouts of their authors."""

import bz2
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.formats.test_table import yfcc100m_line
from tests.data.test_manifest import touch
from tests.helpers.errors import refused
from vidsemi.data.formats import formats
from vidsemi.data.formats.scan import StreamedScan
from vidsemi.data.formats.yfcc100m import hash_of, read_yfcc100m

Read = Callable[..., dict[str, list]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a list and read it by a format; the columns, with paths relative to the root `v`, and what is missing."""

    def read(format: str, name: str, content: Any, **options: Any) -> dict[str, list]:
        if name:
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding="utf-8")
        files = [str(tmp_path / name)] if name else []
        found = formats()[format].scan(files, tmp_path / "v", **options)
        found = found.collect() if isinstance(found, StreamedScan) else found
        paths = [str(Path(path).relative_to(tmp_path / "v")) for path in found.columns["path"]]
        return {**found.columns, "path": paths, "missing": found.missing}

    return read


def test_something_something(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "1.webm", "20.mp4")
    entries = [
        {"id": "1", "label": "holding potato", "template": "Holding [something]", "placeholders": ["potato"]},
        {"id": "20", "label": "moving a and b", "template": "Moving [something] and [something]"},
        {"id": "3", "label": "x", "template": "Holding [something]"},
    ]
    found = read("something_something", "t.json", entries)
    assert found == {
        "path": ["1.webm", "20.mp4"],
        "label": ["Holding something", "Moving something and something"],
        "missing": ["3"],
    }
    assert read("something_something", "test.json", [{"id": "1"}])["label"] == [None]
    with refused("json.missing_key", "entry 2", "'id'"):
        read("something_something", "t.json", [{"id": "1"}, {"label": "x"}])
    with refused("json.not_a_list", "t.json"):
        read("something_something", "t.json", {"id": "1"})


def test_jester_has_frames_or_videos(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "34870/00001.jpg", "34870/00002.jpg", "56557.webm")
    found = read(
        "jester",
        "jester-v1-train.csv",
        "34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n7;No gesture\n",
        rate=12.0,
    )
    assert found["path"] == ["34870", "56557.webm"]
    assert found["label"] == ["Drumming Fingers", "Sliding Two Fingers Right"]
    assert (found["frames_per_second"], found["missing"]) == ([12.0, None], ["7"])
    assert read("jester", "test.csv", "34870\n", rate=12.0)["label"] == [None]


def test_diving48(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "-mmq0PT-u8k_00155.mp4")
    (tmp_path / "vocab.json").write_text(json.dumps([["Back", "15som"], ["Forward", "Dive"]]))
    entries = [{"vid_name": "-mmq0PT-u8k_00155", "label": 1, "start_frame": 0, "end_frame": 48}]
    found = read("diving48", "t.json", entries, classes=tmp_path / "vocab.json")
    assert (found["path"], found["label"]) == (["-mmq0PT-u8k_00155.mp4"], ["Forward Dive"])
    assert read("diving48", "t.json", entries, classes=None)["label"] == ["1"]


def test_moments_in_time(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "clapping/a, b_1.mp4", "adult+female+singing/0-0.mp4")
    lines = ['"clapping/a, b_1.mp4",clapping,3,1', "adult+female+singing/0-0.mp4,adult+female+singing"]
    found = read("moments", "trainingSet.csv", "\n".join([*lines, "clapping/c.mp4,clapping,3,0"]))
    assert found["path"] == ["clapping/a, b_1.mp4", "adult+female+singing/0-0.mp4"]
    assert (found["label"], found["missing"]) == (["clapping", "adult+female+singing"], ["clapping/c.mp4"])
    with refused("moments.bad_line", "line 1"):
        read("moments", "trainingSet.csv", "clapping/0.mp4,3,17\n")
    with refused("moments.bad_line", "line 1"):
        read("moments", "trainingSet.csv", "clapping/0.mp4,clapping,cheering\n")


def test_haa500(read: Read, tmp_path: Path):
    touch(
        tmp_path / "v",
        *(f"video/{name}/{name}_{n:03d}.mp4" for name in ("abseil", "ALS_ice") for n in range(20)),
        "x.mp4",
    )
    counts = {subset: read("haa500", "", None, subset=subset)["label"] for subset in ("train", "val", "test")}
    assert {subset: labels.count("ALS_ice") for subset, labels in counts.items()} == {"train": 16, "val": 1, "test": 3}
    assert sum(map(len, counts.values())) == 40
    assert read("haa500", "", None, subset="val")["path"] == [f"video/{n}/{n}_016.mp4" for n in ("ALS_ice", "abseil")]


ACTIONS = ["A0xAXXysHUo_E_002184_002237_A_0035_0036", "0LtLS9wR_k_E_000147_000152_A_0000_0002"]


def test_finegym(read: Read, tmp_path: Path):
    root = touch(tmp_path / "v", f"{ACTIONS[0]}.mp4", "0LtLS9wR_k_E_000147_000152.mp4")
    (tmp_path / "c.txt").write_text(
        "Clabel: 0; set: 1; Glabel: 1; (VT) round-off\nClabel: 1; set: 2; Glabel: 9; (FX) a; b\n"
    )
    text = f"{ACTIONS[0]} 0\n{ACTIONS[1]} 1\n"
    found = read("finegym", "gym99.txt", text, categories=tmp_path / "c.txt", annotations=None)
    assert (found["path"], found["label"], found["missing"]) == (
        [f"{ACTIONS[0]}.mp4"],
        ["(VT) round-off"],
        [ACTIONS[1]],
    )
    event = {"timestamps": [[147.25, 152.5]], "segments": {"A_0000_0002": {"timestamps": [[0.5, 1.0], [1.0, 2.25]]}}}
    (tmp_path / "a.json").write_text(json.dumps({"0LtLS9wR_k": {"E_000147_000152": event}}))
    options = {"categories": tmp_path / "c.txt", "annotations": tmp_path / "a.json"}
    found = read("finegym", "gym99.txt", text, **options)
    assert found["label"] == ["(VT) round-off", "(FX) a; b"]
    assert (found["start"], found["end"]) == ([None, 0.5], [None, 2.25])
    (root / "0LtLS9wR_k_E_000147_000152.mp4").rename(root / "v_0LtLS9wR_k.mp4")
    found = read("finegym", "gym99.txt", text, **options)
    assert (found["start"][1], found["end"][1]) == (147.75, 149.5)
    with refused("finegym.no_time", "0LtLS9wR_k_E_000147_000152_A_0000_0003"):
        read("finegym", "gym99.txt", text.replace("A_0000_0002", "A_0000_0003"), **options)
    with refused("finegym.bad_line", "line 1"):
        read("finegym", "gym99.txt", f"{ACTIONS[0]} 7\n", **options)


def test_activitynet(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "v_--0edUL8zmA.mp4", "abc.mkv")
    videos = {
        "--0edUL8zmA": {
            "subset": "training",
            "duration": 92.18,
            "annotations": [{"segment": [5.5, 85.25], "label": "Dodgeball"}, {"segment": [90, 92], "label": "Skiing"}],
        },
        "gone": {"subset": "training", "annotations": [{"segment": [0, 1], "label": "Skiing"}] * 2},
        "abc": {"subset": "testing", "annotations": []},
    }
    found = read("activitynet", "a.json", {"version": "VERSION 1.3", "database": videos}, subset="training")
    assert found["path"] == ["v_--0edUL8zmA.mp4"] * 2
    assert found["label"] == ["Dodgeball", "Skiing"]
    assert (found["start"], found["end"], found["missing"]) == ([5.5, 90.0], [85.25, 92.0], ["gone"])
    found = read("activitynet", "a.json", videos, subset="testing")
    assert (found["path"], found["label"], found["start"]) == (["abc.mkv"], [None], [None])
    kinetics = {"abc": {"annotations": {"label": "juggling", "segment": [9.0, 19.0]}, "subset": "train"}}
    found = read("activitynet", "k.json", kinetics, subset=None)
    assert (found["label"], found["start"], found["end"]) == (["juggling"], [9.0], [19.0])
    with refused("activitynet.unknown_subset", "train", "testing, training"):
        read("activitynet", "a.json", videos, subset="train")
    with refused("activitynet.bad_segment", "abc"):
        read("activitynet", "a.json", {"abc": {"annotations": [{"segment": "soon", "label": "x"}]}}, subset=None)
    with refused("activitynet.no_videos", "a.json"):
        read("activitynet", "a.json", [1], subset=None)
    touch(tmp_path / "v", "v_abc.mp4")
    with refused("scan.ambiguous_name", "abc.mkv", "v_abc.mp4"):
        read("activitynet", "k.json", kinetics, subset=None)


def test_metadata_of_hugging_face(read: Read, tmp_path: Path):
    root = touch(tmp_path / "v", "train/a.mp4", "train/deep/b.mp4", "test/c.mp4")
    (root / "train" / "metadata.jsonl").write_text(
        '{"file_name": "a.mp4", "label": "run"}\n{"file_name": "deep/b.mp4", "label": 3}\n{"file_name": "no.mp4"}\n'
    )
    (root / "test" / "metadata.csv").write_text("file_name,text\nc.mp4,a caption\n")
    names = {"label_column": "label", "path_column": "file_name"}
    found = read("huggingface", "", None, **names)
    assert found["path"] == ["test/c.mp4", "train/a.mp4", "train/deep/b.mp4"]
    assert found["label"] == [None, "run", "3"]
    assert [Path(path).name for path in found["missing"]] == ["no.mp4"]
    (root / "train" / "metadata.jsonl").unlink()
    (root / "test" / "metadata.csv").unlink()
    with refused("huggingface.no_metadata", root):
        read("huggingface", "", None, **names)


CHARADES = """id,subject,actions,length
46GP8,HR43,c092 11.90 21.20;c147 0.00 12.60;c092 22 23,30.8
N11GT,0KZ7,c001 1 2;c001 3 4,18
NONE1,0KZ7,,18
GONE1,0KZ7,c001 1 2,18
"""


def test_charades_has_several_labels(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "46GP8.mp4", "N11GT.mp4", "NONE1.mp4")
    (tmp_path / "c.txt").write_text("c001 Putting clothes somewhere\nc092 Watching\nc147 Sitting\n")
    names = {"classes": tmp_path / "c.txt"}
    with refused("charades.several_labels", "line 2", "46GP8", "Sitting and Watching", "--multi-label"):
        read("charades", "t.csv", CHARADES, multi_label="refuse", **names)
    found = read("charades", "t.csv", CHARADES.replace(";c147 0.00 12.60", ""), multi_label="refuse", **names)
    assert found["label"] == ["Watching", "Putting clothes somewhere", None]
    assert found["missing"] == ["GONE1"]
    found = read("charades", "t.csv", CHARADES, multi_label="segments", **names)
    assert found["path"] == ["46GP8.mp4"] * 3 + ["N11GT.mp4"] * 2
    assert found["start"] == [11.9, 0.0, 22.0, 1.0, 3.0] and found["end"] == [21.2, 12.6, 23.0, 2.0, 4.0]
    assert found["label"] == ["Watching", "Sitting", "Watching", *["Putting clothes somewhere"] * 2]
    found = read("charades", "t.csv", CHARADES, multi_label="split", **names)
    assert found["hashtags"] == ["#sitting #watching", "#puttingclothessomewhere", None] and "label" not in found
    with refused("charades.bad_action", "line 2", "c999"):
        read("charades", "t.csv", CHARADES.replace("c147", "c999"), multi_label="segments", **names)
    with refused("charades.missing_column", "actions"):
        read("charades", "t.csv", "id,x\n", multi_label="refuse", **names)


ADDRESS = "http://d"  # of `yfcc100m_line`


def test_yfcc100m_by_hash(read: Read, tmp_path: Path):
    hashed = "4e2f7a26a1dfbf165a7e30bdabf7e72a"
    touch(tmp_path / "v", f"data/4e2/f7a/{hashed}.mp4", f"x/{hash_of(ADDRESS)}.jpg", "listed.mp4", "100.mp4")
    lines = [yfcc100m_line(100, ["id"], 25), yfcc100m_line(7, ["hash"], 24)]
    assert read("yfcc100m", "y", "\n".join(lines), hashes=None, vocabulary=None)["hashtags"] == ["#id", "#hash"]
    assert read("yfcc100m", "y", yfcc100m_line(7, ["a"], 23), hashes=None, vocabulary=None)["path"] == [
        f"x/{hash_of(ADDRESS)}.jpg"
    ]
    (tmp_path / "h.bz2").write_bytes(bz2.compress(b"8\tlisted\n9\tnot here\n"))
    found = read("yfcc100m", "y", yfcc100m_line(8, ["a"], -24), hashes=tmp_path / "h.bz2", vocabulary=None)
    assert found["path"] == ["listed.mp4"]
    assert hash_of("a") == "cc175b9c0f1b6a831c399e269772661"  # of 0cc175b9c0f1b6a831c399e269772661


def test_yfcc100m_from_sqlite(read: Read, tmp_path: Path):
    touch(tmp_path / "v", "100.mp4", f"{hash_of('http://x')}.jpg")
    with sqlite3.connect(tmp_path / "yfcc100m_dataset.sql") as database:
        names = "photoid,uid,usertags,machinetags,pageurl,downloadurl,ext,marker"
        database.execute(f"CREATE TABLE yfcc100m_dataset ({names})")
        rows = [
            (100, "u", "canon+powershot,caf%C3%A9", "", "", "http://v", "mp4", 1),
            ("200", "u", "dog", "", "", "http://x", "jpg", "0"),
            (300, "u", None, None, None, "http://y", "jpg", 0),
            ("x", "u", "a", "", "", "http://z", "jpg", 0),
        ]
        database.executemany("INSERT INTO yfcc100m_dataset VALUES (?,?,?,?,?,?,?,?)", rows)
    database.close()
    found = (
        formats()["yfcc100m"]
        .scan([str(tmp_path / "yfcc100m_dataset.sql")], tmp_path / "v", hashes=None, vocabulary=None)
        .collect()
    )
    assert [Path(path).suffix for path in found.columns["path"]] == [".mp4", ".jpg"]
    assert found.columns["hashtags"] == ["#canonpowershot #café", "#dog"]
    assert (found.elsewhere, [number for number, _ in found.broken]) == (1, [4])
    with sqlite3.connect(tmp_path / "other.sql") as database:
        database.execute("CREATE TABLE photos (id)")
    database.close()
    with refused("yfcc100m.unreadable_database", "other.sql"):
        read_yfcc100m(tmp_path / "other.sql", tmp_path / "v")
