"""How fast vidsemi trains, scores and reads beside a GPU, and whether its scores and the demo are those of a CPU."""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.gpu.measure import CLASSES, Options, a_clip, row, untrained_weights
from tools.gpu.padding import PaddedSetting, pad_middle_planes

SMALL: tuple[str, dict[str, Any], int] = ("r2plus1d_10", {"width": 0.0625}, 2)  # network, its arguments, frames
LARGE: tuple[str, dict[str, Any], int] = ("r2plus1d_18", {}, 8)
GFLOPS = {"r2plus1d_18": 2 * 20.75, "r2plus1d_34": 2 * 152.36}  # a clip of 8 and 32 frames; `vidsemi flops`
TRAIN = (  # name, its settings of `runtime`, precision
    ("plain loop", None, "bfloat16"),
    ("default", {}, "bfloat16"),
    ("contiguous", {"channels_last": False}, "bfloat16"),
    ("compiled", {"compile": True}, "bfloat16"),
    ("planes padded", {}, "bfloat16"),
    ("plain loop", None, "float32"),
    ("default", {}, "float32"),
    ("channels last", {"channels_last": True}, "float32"),
)


def train(options: Options) -> dict[str, Any]:
    """Steps on clips in memory, by vidsemi's loop and a plain autocast loop."""
    from tools.bench import train_contenders as bench

    batch, model = (2, SMALL) if options.small else (64, LARGE)
    setting = bench.Setting(*model, 112, batch, options.device)
    rows = []
    for variant, runtime, precision in TRAIN[1:3] if options.small else TRAIN:
        own: dict[str, Any] = {"loop": "plain" if runtime is None else "vidsemi", "variant": variant}
        own["precision"] = precision
        _forget_peak()
        try:
            contender = bench.plain if runtime is None else _with_runtime(bench.vidsemi, runtime)
            clock = bench.Clock(torch.device(options.device), 0.1 if options.small else 3.0)
            padded = PaddedSetting(*vars(setting).values()) if variant == "planes padded" else setting
            contender(padded, precision, clock)
            own["clips_per_second"] = clock.steps * batch / clock.seconds
            own["TFLOP/s"] = 3e-3 * GFLOPS["r2plus1d_18"] * own["clips_per_second"]
            own["peak MiB"], own["first step, s"] = _peak(options), clock.first
        except Exception as error:  # one variant must not cost the others
            own["failed"] = repr(error)[:200]
        rows.append(row(own))
    return {"clips a step": batch, "rows": rows}


def forward(options: Options) -> dict[str, Any]:
    """Forward passes as scoring makes them, with each memory format, compiled or not."""
    from tools.bench import forward_contenders as bench
    from vidsemi.config import Input
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.inference.model import Inference
    from vidsemi.models.registry import create_model

    device, default, clips = torch.device(options.device), Input(), 2 if options.small else 64
    variants: dict[str, dict[str, bool]] = {
        "default": {},
        "contiguous": {"channels_last": False},
        "channels last": {"channels_last": True},
        "compiled": {"compile": True},
    }
    plan = [
        (*LARGE, precision, name)
        for precision in ("bfloat16", "float32", "float16")
        for name in ("default", "contiguous", "channels last")
    ]
    plan += [(*LARGE, "bfloat16", "planes padded")]
    plan += [(*LARGE, precision, "batch norm not folded") for precision in ("bfloat16", "float32")]
    plan += [(*LARGE, "bfloat16", "compiled"), (*LARGE, "bfloat16", "torchvision"), (*LARGE, "float32", "torchvision")]
    plan += [("r2plus1d_34", {}, 32, "bfloat16", name) for name in ("default", "contiguous")]
    rows = []
    for model, args, frames, precision, variant in [(*SMALL, "float32", "default")] if options.small else plan:
        spec = InputSpec(frames, 1, (112, 112), 112, default.mean, default.std)
        own: dict[str, Any] = {"network": f"{model}, {frames} frames", "variant": variant, "precision": precision}
        _forget_peak()
        try:
            torch.manual_seed(0)
            if variant == "batch norm not folded":  # where folding it leaves a bias, which may be a kernel of its own
                pass_ = bench.eager(bench.vidsemi(frames), spec, device, precision)  # type: ignore[arg-type]
            elif variant == "torchvision":
                pass_ = bench.eager(bench.torchvision(frames), spec, device, precision)  # type: ignore[arg-type]
            else:
                network = create_model(model, num_classes=CLASSES, frames=frames, args=args)
                if variant == "planes padded":
                    pad_middle_planes(network)
                infer = Inference(network, spec, device, precision, **variants.get(variant, {}))  # type: ignore[arg-type]
                pass_ = lambda clips, infer=infer: infer([clips])  # noqa: E731
            batch = np.random.default_rng(0).integers(0, 256, (clips, frames, 3, 112, 112), dtype=np.uint8)
            found = bench.measure(pass_, batch, device, 0.2 if options.small else 2.0)
            own["clips_per_second"] = found["clips_per_second"]
            own["TFLOP/s"] = 1e-3 * GFLOPS.get(model, 0) * found["clips_per_second"]
            own["peak MiB"], own["first pass, s"] = found["peak_mib"], found["first_seconds"]
        except Exception as error:  # one variant must not cost the others
            own["failed"] = repr(error)[:200]
        rows.append(row(own))
    return {"clips a pass": clips, "rows": rows}


def score(options: Options) -> dict[str, Any]:
    """`vidsemi score` from files to parts, with the share of the time in which the GPU was busy."""
    clip, rows = a_clip(options.clip), []
    plan = [(*LARGE, "bfloat16", 2400), ("r2plus1d_34", {}, 32, "bfloat16", 900), (*LARGE, "float32", 1600)]
    for model, args, frames, precision, videos in [(*SMALL, "float32", 2)] if options.small else plan:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            manifest = folder / "m.csv"
            manifest.write_text("path\n" + f"{clip}\n" * videos, encoding="utf-8")
            weights = untrained_weights(model, args, frames, folder)
            words = ["tools/score.py", "--weights", weights, "--manifest", manifest, "--output", folder / "scores"]
            begin = time.perf_counter()
            with GpuBusy() as busy:
                _python(*words, "--precision", precision, "--device", options.device)
            seconds = time.perf_counter() - begin
        own = {"network": f"{model}, {frames} frames", "precision": precision, "videos": videos}
        own |= {"seconds, with the start": seconds, "videos/s, with the start": videos / seconds}
        rows.append(row({**own, "GPU busy, %": busy.mean}))
    return {"rows": rows}


def decode(options: Options) -> dict[str, Any]:
    """Reading alone, by 1 to 16 processes, and what a video costs the main process."""
    from vidsemi.config import Input
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.data.manifest import Row
    from vidsemi.data.views import ViewReader
    from vidsemi.data.worker_pool import read_all

    clip, default, rows = a_clip(options.clip), Input(), []
    plan = [(1, 8)] if options.small else [(16, 8), (1, 8), (2, 8), (4, 8), (8, 8), (16, 32), (1, 32)]
    for workers, frames in plan:
        reader = ViewReader(InputSpec(frames, 1, default.resize, default.crop, default.mean, default.std), 10)
        videos = workers * (4 if options.small else 36)
        requests = (request for n in range(videos + workers) for request in reader.requests(Row(n, clip)))
        results = read_all(reader, requests, workers=workers, seconds=60)
        for _ in range(workers):
            next(results)  # the processes have started
        begin, used = time.perf_counter(), time.process_time()
        done = sum(isinstance(views, np.ndarray) for views in results)
        seconds, own = time.perf_counter() - begin, time.process_time() - used
        found = {"processes": workers, "frames": frames, "videos/s": done / seconds}
        rows.append(row({**found, "main process, ms a video": 1e3 * own / max(done, 1)}))
    return {"rows": rows}


def files(options: Options) -> dict[str, Any]:
    """Training from files beside reading alone."""
    from tools.bench.train_contenders import Setting

    clip, rows = a_clip(options.clip), []
    batch, model = (2, SMALL) if options.small else (64, LARGE)
    setting = Setting(*model, 112, batch, options.device).to_json()
    plan = [("reading alone", 1, 2048), ("vidsemi", 1, 2048), ("reading alone", 8, 4096), ("vidsemi", 8, 4096)]
    for reader, each, clips in plan[1:2] if options.small else plan:
        module = ("-m", "tools.bench.train_readers", reader, each, setting, 2 * batch if options.small else clips)
        found = json.loads(_python(*module, *[clip] * 64).splitlines()[-1])
        rows.append(row({"reader": reader, "clips a file": each, **found}))
    return {"rows": rows}


def accuracy(options: Options) -> dict[str, Any]:
    """The demo with one seed on the device; then scores in bfloat16, in float32, and in float32 on the CPU."""
    if options.small:
        return {"skipped": "small"}
    with tempfile.TemporaryDirectory() as name:
        folder, begin = Path(name), time.perf_counter()
        settings = ("seeds=[0]", f"output={folder / 'demo'}", f"runtime.device={options.device}")
        _python("tools/run.py", "--cfg", "demo.yaml", *settings)
        found: dict[str, Any] = {"demo, s": time.perf_counter() - begin}
        results = json.loads((folder / "demo" / "results.json").read_text(encoding="utf-8"))
        found["demo, top-1"] = {f"{one['student']} {one['approach']}": one["top1"] for one in results}
        weights = folder / "demo" / "seed0/teacher/train/weights.pt"
        scores = {}
        for device, precision in ((options.device, "bfloat16"), (options.device, "float32"), ("cpu", "float32")):
            own = folder / f"{device}-{precision}".replace(":", "")
            words = ["tools/score.py", "--weights", weights, "--manifest", "data/moving_shapes/test.csv"]
            words += ["--output", own, "--precision", precision, "--device", device, "--per-example", 8]
            _python(*words)
            scores[f"{precision} on {device}"] = _read_scores(own)
        reference = scores.pop("float32 on cpu")
        for name, own_scores in scores.items():
            found[f"{name}, largest difference"] = float(np.abs(own_scores - reference).max())
            same = own_scores.argmax(1) == reference.argmax(1)
            found[f"{name}, same top-1 class, %"] = 100 * float(same.mean())
    return found


class GpuBusy:
    """Share of the time in which the GPU ran a kernel, sampled from nvidia-smi while the block runs."""

    def __init__(self) -> None:
        self._samples: list[int] = []
        self._end = threading.Event()

    @property
    def mean(self) -> float | None:
        """In percent, without the first third, in which processes start; None without samples."""
        kept = self._samples[len(self._samples) // 3 :]
        return statistics.mean(kept) if kept else None

    def __enter__(self) -> "GpuBusy":
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._end.wait(0.5):
            try:
                self._samples.append(int(subprocess.run(words, capture_output=True, text=True).stdout.split()[0]))
            except (OSError, ValueError, IndexError):
                return


def _with_runtime(contender: Any, runtime: dict[str, Any]) -> Any:
    return lambda setting, precision, clock: contender(setting, precision, clock, **runtime)


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(options: Options) -> float | None:
    on_gpu = torch.device(options.device).type == "cuda"
    return torch.cuda.max_memory_allocated(options.device) / 2**20 if on_gpu else None


def _python(*words: Any) -> str:
    """Run Python with these arguments; returns its output, or raises its last line."""
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stderr.splitlines() or ['nothing said'])[-1]}")
    return done.stdout


def _read_scores(folder: Path) -> np.ndarray:
    """(N, classes), of a directory that holds all classes of each example."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: Sequence[str] = ("example_id", "label", "score")
    table = pa.concat_tables(
        pq.read_table(file, columns=list(columns)) for file in sorted(folder.glob("part-*.parquet"))
    )
    ids, labels, values = (table.column(name).to_numpy() for name in columns)
    scores = np.zeros((ids.max() + 1, labels.max() + 1), np.float32)
    scores[ids, labels] = values
    return scores
