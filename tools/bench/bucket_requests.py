"""`tools/bench.py requests`: what commands ask of a bucket, counted by an S3 server (moto) on this machine."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.measure import versions
from tools.bench.score_data import ScoreData
from vidsemi.io.files import atomic_path
from vidsemi.io.store_connection import connect

BUCKET = "bucket"
KINDS = ("GET", "LIST", "HEAD", "PUT", "DELETE")
FIGURES = (*KINDS, "read", "written")
HEADER = ("what", "of", *KINDS, "MB read", "MB written", "share of the file")
FRAMES_PER_SECOND, WIDTH, HEIGHT, BIT_RATE = 25, 640, 360, 2_500_000
CONTAINERS: dict[str, tuple[str, dict[str, str]]] = {
    "video.mp4": ("mp4", {"movflags": "faststart"}),
    "video.mkv": ("matroska", {}),
    "fragments.mp4": ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
}
TRIM = 10  # seconds
SCORES = ScoreData(at_least=400_000, classes=400, stored=4, examples_per_shard=1000)


class CountingServer:
    """An S3 server in a thread of this process, and what it was asked since `clear`."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *words: object) -> None:
                pass

        self.counts: Counter[str] = Counter()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        answer = b"".join(self._app(environ, start))
        kind = environ["REQUEST_METHOD"]
        if kind == "GET" and "list-type" in environ["QUERY_STRING"]:
            kind = "LIST"
        with self._lock:
            self.counts[kind] += 1
            self.counts["read"] += len(answer) if kind == "GET" else 0
            self.counts["written"] += int(environ.get("CONTENT_LENGTH") or 0)
        return [answer]


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    """Run a server with an empty bucket; the environment tells where it is."""
    import boto3

    server = CountingServer()
    own = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in (*own, "AWS_ENDPOINT_URL")}
    os.environ.update(own, AWS_ENDPOINT_URL=server.url)
    connect.cache_clear()
    try:
        client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        server.stop()
        connect.cache_clear()


def upload(folder: Path, key: str) -> None:
    """Copy a folder to the bucket."""
    from vidsemi.io.store import parse_place

    for file in sorted(folder.rglob("*")):
        if file.is_file():
            (parse_place(f"s3://{BUCKET}/{key}") / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())


def bench_requests(folder: Path, *, files: list[Path], seconds: int) -> dict[str, Any]:
    """Count the requests of reading videos, and of selecting from scores to a selection, all in a bucket.

    Args:
        folder: for what is made, videos once.
        files: videos to read; without any, one of noise that is made, as MP4, Matroska and fragmented MP4.
        seconds: length of that video.
    """
    from vidsemi.io.store import parse_place

    rows = []
    SCORES.write(folder / "scores")
    with counting_server() as server:

        def count(what: str, of: str, act: Callable[[], object], size: int | None = None) -> None:
            server.counts.clear()
            act()
            rows.append({"what": what, "of": of, "size": size, **{key: server.counts[key] for key in FIGURES}})

        for file in files or _made(folder / "videos", seconds):
            address = f"s3://{BUCKET}/videos/{file.name}"
            parse_place(address).write_bytes(file.read_bytes())
            for what, act in _reads(address, folder, None if files else seconds / 2).items():
                count(what, file.name, act, file.stat().st_size)
        upload(folder / "scores", "scores")
        for targets in ("one_hot", "soft"):
            count(f"select, targets: {targets}", f"{SCORES.shards} shards of scores", partial(_select, targets))
    return {"seconds": seconds, "versions": versions("obstore", "moto", "av"), "rows": rows}


def _select(targets: Any) -> None:
    import vidsemi

    selection = vidsemi.select(f"s3://{BUCKET}/scores", per_class=100, per_example=4, targets=targets)
    selection.write(f"s3://{BUCKET}/selection.parquet")


def _made(folder: Path, seconds: int) -> list[Path]:
    """A video of noise in H.264, in each of the containers."""
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = (folder / name for name in CONTAINERS)
    if not first.exists():
        _encode(first, seconds)
    for file in others:
        if not file.exists():
            _remux(first, file)
    return [first, *others]


def _encode(file: Path, seconds: int) -> None:
    import av

    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8 * 2, WIDTH // 8 * 2, 3), np.uint8)
    noise = noise.repeat(8, axis=0).repeat(8, axis=1)
    kind, options = CONTAINERS[file.name]
    with atomic_path(file) as temporary, av.open(str(temporary), "w", format=kind, options=options) as target:
        stream = target.add_stream("libx264", FRAMES_PER_SECOND, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", BIT_RATE
        for number in range(seconds * FRAMES_PER_SECOND):
            row, column = number % HEIGHT, 3 * number % WIDTH
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[row:, column:][:HEIGHT, :WIDTH]))
            target.mux(stream.encode(frame))
        target.mux(stream.encode())


def _remux(source: Path, file: Path) -> None:
    import av

    kind, options = CONTAINERS[file.name]
    with (
        av.open(str(source)) as read,
        atomic_path(file) as temporary,
        av.open(str(temporary), "w", format=kind, options=options) as target,
    ):
        stream = target.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def _reads(address: str, folder: Path, middle: float | None) -> dict[str, Callable[[], object]]:
    """Ways to read a video, and a trim from its middle if that is known."""
    import vidsemi

    def train() -> object:
        (folder / "one.csv").write_text(f"path,label\n{address},x\n", encoding="utf-8")
        return vidsemi.TrainDataset.from_labels(folder / "one.csv")[0]

    ways = {"scoring, 10 clips": lambda: vidsemi.read_clips(address), "training, one random clip": train}
    if middle is not None:
        trim = {"start": middle, "end": middle + TRIM}
        ways[f"scoring a trim of {TRIM} s"] = lambda: vidsemi.read_clips(address, **trim)
    return ways


def text(document: dict[str, Any]) -> str:
    """The document as a Markdown table."""
    from vidsemi.io.tables import markdown_table

    rows = []
    for row in document["rows"]:
        share = f"{row['read'] / row['size']:.2f}" if row["size"] else ""
        megabytes = (f"{row[key] / 1e6:.1f}" for key in ("read", "written"))
        rows.append((row["what"], row["of"], *(str(row[kind]) for kind in KINDS), *megabytes, share))
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    return "\n".join([f"requests that an S3 server on this machine received; {used}\n", *markdown_table(HEADER, rows)])
