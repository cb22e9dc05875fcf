"""Selections in a bucket: the bytes of those on disk, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vidsemi
from tests.helpers.errors import assert_refused, refused
from tests.helpers.s3_server import S3Server
from tests.selection.test_result import SCORES, selection_of
from vidsemi.cli import main as cli
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io import object_store
from vidsemi.selection.result import Selection, read_selection_info
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_writer import top_classes, write_shard

pytestmark = pytest.mark.cluster
CLASSES = ["eating", "fishing", "zumba"]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Of 40 examples in four shards."""
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 40).astype(np.float32)
    info = ScoresInfo("m", "w", CLASSES, per_example=3, views=1, examples=40, shards=4)
    for shard, own in enumerate(np.split(np.arange(40), 4)):
        write_shard(tmp_path / "scores", shard, own, *top_classes(shares[own], 3), info)
    return tmp_path / "scores"


@pytest.mark.parametrize("targets", ["one_hot", "soft"])
def test_select_writes_and_merges_as_on_disk(server: S3Server, scores: Path, tmp_path: Path, targets: str):
    rule = ["--per-class", "5", "--per-example", "2", "--targets", targets]
    for place in (str(tmp_path), "s3://bucket/selections"):
        for shards in ("0-1", "2-3", "0-3"):
            output = ["--output", f"{place}/{shards}.parquet"]
            assert cli.main(["select", "--scores", str(scores), *rule, "--shards", shards, *output]) == 0
        parts = [f"{place}/{shards}.parquet" for shards in ("0-1", "2-3")]
        assert cli.main(["select", "--merge", *parts, "--output", f"{place}/merged.parquet"]) == 0
    assert server.content("bucket", "selections") == {
        file.name: file.read_bytes() for file in tmp_path.glob("*.parquet")
    }
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "0-3.parquet").read_bytes()


def test_readers_take_addresses(server: S3Server, tmp_path: Path):
    write_manifest(tmp_path / "m.parquet", {"path": ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]})
    manifest = vidsemi.Manifest.read(tmp_path / "m.parquet")
    made = selection_of(SCORES, manifest.fingerprint)
    made.write(address := "s3://bucket/readers/s.parquet")
    again = Selection.read(address)
    assert again.to_arrow().equals(made.to_arrow()) and again.info == made.info == read_selection_info(place(address))
    own = vidsemi.TrainDataset.from_selection(manifest, address)
    assert (len(own), own.classes) == (4, CLASSES)


def place(address: str) -> object_store.RemotePath:
    return object_store.RemotePath.parse(address)


def test_what_cannot_be_read_is_said_in_one_line(server: S3Server):
    with refused("selection.not_found", "s3://bucket/none.parquet"):
        Selection.read("s3://bucket/none.parquet")
    with refused("store.missing", "s3://nowhere"):
        Selection.read("s3://nowhere/s.parquet")
    selection_of(SCORES).write(address := "s3://bucket/damaged/s.parquet")
    content = bytearray(place(address).read_bytes())
    content[len(content) // 2] ^= 1
    place(address).write_bytes(bytes(content))
    with refused("selection.invalid_file", address):
        Selection.read(address)


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("s3://nowhere/s.parquet", "store.missing"),  # which is told by the name of the bucket
        ("s3://bucket/scores/part-000009.parquet", "output.is_a_shard"),
        ("s3://bucket/m.parquet", "output.is_input"),
        ("https://host/s.parquet", "options.invalid"),
    ],
)
def test_outputs_are_checked_before_the_work(
    server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    code: str,
):
    monkeypatch.setattr("vidsemi.api.select.select_from_scores", None)
    place("s3://bucket/m.parquet").write_bytes(b"")
    words = ["--scores", "s3://bucket/scores", "--manifest", "s3://bucket/m.parquet"]
    assert cli.main(["select", *words, "--per-class", "5", "--per-example", "2", "--output", output]) == 2
    assert_refused(capsys.readouterr().err, code, "s3://nowhere" if code == "store.missing" else output)


@pytest.mark.parametrize(("kind", "code", "status"), [("denied", "store.refused", 2), ("cut", "store.unreachable", 75)])
def test_an_outage_leaves_what_was_there(
    server: S3Server,
    scores: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    code: str,
    status: int,
):
    monkeypatch.setattr(object_store.tolerant, "__defaults__", (0.0,))
    server.fault = lambda method, path: kind if method == "PUT" else None
    words = ["--per-class", "5", "--per-example", "2", "--output", f"s3://bucket/{kind}/s.parquet"]
    assert cli.main(["select", "--scores", str(scores), *words]) == status
    assert_refused(capsys.readouterr().err, code, words[-1])
    assert server.content("bucket", kind) == {}


def test_large_files_arrive_whole_though_requests_fail(server: S3Server, monkeypatch: pytest.MonkeyPatch):
    """In pieces, so that none takes longer than a request may; and of one version."""
    monkeypatch.setattr(object_store, "LARGE", 1 << 20)
    contents = [np.random.default_rng(seed).bytes(20 << 20) for seed in range(2)]
    asked: list[tuple[str, str]] = []

    def every_third(method: str, path: str) -> str | None:
        asked.append((method, path))
        return "failed" if len(asked) % 3 == 0 else None

    file = place("s3://bucket/large/file")
    server.fault = every_third
    file.write_bytes(contents[0])
    assert file.read_bytes() == contents[0]
    assert len(asked) >= 10  # pieces of 8 MiB
    server.fault = once(
        lambda: server.client().put_object(Bucket="bucket", Key="large/file", Body=contents[1]), after=3
    )
    assert file.read_bytes() == contents[1]
    assert server.client().list_multipart_uploads(Bucket="bucket").get("Uploads", []) == []


def once(act: Callable[[], object], after: int) -> Callable[[str, str], None]:
    """A fault that does something else, with that request."""
    left = [after]

    def fault(method: str, path: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            act()

    return fault
