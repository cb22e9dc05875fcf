"""The sections of the GPU check by name, and those that ask what machine this is and whether vidsemi is right on it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from tools.gpu.convolutions import convolutions
from tools.gpu.measure import Options, moving_shapes, row, seconds_of
from tools.gpu.profiling import profile_steps
from tools.gpu.speed import accuracy, decode, files, forward, score, train

NVIDIA_SMI = "name,driver_version,pcie.link.gen.current,pcie.link.width.current,clocks.sm,power.limit"
MEMORY_SHARE = 0.1  # of the GPU's memory, so that filling it takes seconds


def run_section(name: str, options: Options) -> dict[str, Any]:
    """Run one section in this process."""
    return SECTIONS[name](options)


def machine(options: Options) -> dict[str, Any]:
    """Versions, and the limits of the device: matrix products and copies."""
    device = torch.device(options.device)
    cudnn = torch.backends.cudnn
    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),
        "tf32 in convolutions": cudnn.allow_tf32,
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        words = ["nvidia-smi", f"--query-gpu={NVIDIA_SMI}", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(words, capture_output=True, text=True).stdout.strip()
        found["kernels for"] = " ".join(torch.cuda.get_arch_list())
    side, mib = (512, 8) if options.small else (8192, 512)
    for name, dtype, tf32 in (
        ("bfloat16", torch.bfloat16, True),
        ("tf32", torch.float32, True),
        ("float32", torch.float32, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = torch.randn(2, side, side, device=device, dtype=dtype)
        found[f"matrix product, {name}, TFLOP/s"] = 2 * side**3 / seconds_of(lambda a=a, b=b: a @ b, device) / 1e12
    block = torch.empty(mib << 20, dtype=torch.uint8, device=device)
    found["copy on the device, GB/s"] = 2 * block.numel() / seconds_of(block.clone, device) / 1e9
    host = torch.empty((1 if options.small else 64) << 20, dtype=torch.uint8)
    for name, memory in (("pageable", host), ("pinned", host.pin_memory() if device.type == "cuda" else host)):
        seconds = seconds_of(lambda memory=memory: memory.to(device, non_blocking=True), device)
        found[f"copy to the device, {name}, GB/s"] = host.numel() / seconds / 1e9
    return found


def tests(options: Options) -> dict[str, Any]:
    """The tests that need a GPU."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(words, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    nothing = done.returncode == 5  # no test was selected
    return {"exit status": done.returncode, "lines": lines[-25:]} | (
        {} if done.returncode == 0 or nothing else {"failed": lines[-1] if lines else done.stderr[-200:]}
    )


def memory(options: Options) -> dict[str, Any]:
    """Too little memory is one line, in training and scoring, and what fits works afterwards."""
    from tools.bench.train_contenders import MemoryClips, Setting, learn
    from vidsemi.inference.model import Inference
    from vidsemi.io.errors import UserError

    device = torch.device(options.device)
    if device.type != "cuda":
        return {"skipped": "needs a GPU"}
    torch.cuda.set_per_process_memory_fraction(MEMORY_SHARE)

    def outcome(work: Callable[[], Any]) -> str:
        try:
            work()
            return "done"
        except UserError as error:
            return f"[{error.code}]"
        except Exception as error:  # whatever it is
            return f"NOT ONE LINE: {error!r}"[:300]

    found: dict[str, Any] = {}
    for clips in (512, 8):
        setting = Setting("r2plus1d_18", {}, 8, 112, clips, options.device)
        same, recipe = MemoryClips(setting.spec((112, 112)), clips), setting.recipe("bfloat16", clips=2 * clips)
        learned = outcome(lambda s=setting, c=same, r=recipe: learn(s.network(), c, r, options.device, workers=0))
        found[f"training with {clips} clips"] = learned
        torch.cuda.empty_cache()
    infer = Inference(setting.network(), setting.spec((112, 112)), device, "bfloat16")
    for clips in (4096, 8):
        batch = np.zeros((clips, 8, 3, 112, 112), np.uint8)
        found[f"scoring {clips} clips"] = outcome(lambda batch=batch: infer([batch]).cpu())
    return found


def resume(options: Options) -> dict[str, Any]:
    """A training run that is interrupted and resumed, beside one that is not: equal to the bit if deterministic."""
    from vidsemi.config import Recipe, Runtime
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.targets import Targets
    from vidsemi.data.train_clips import TrainClips
    from vidsemi.models.registry import create_model
    from vidsemi.training.train_step import TrainStep
    from vidsemi.training.trainer import Trainer

    steps, step = 3 if options.small else 24, TrainStep.run
    spec = InputSpec(8, 1, (40, 40), 32, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    with tempfile.TemporaryDirectory() as shapes:
        manifest = load_manifest(moving_shapes(Path(shapes)) / "labeled.csv")
        targets = Targets.single(manifest.label_indices(manifest.class_names(), "the manifest"), 8)
        clips = TrainClips(manifest, np.arange(len(manifest)), targets, spec, hflip_prob=0.5, seed=3)

        def weights(precision: str, deterministic: bool, interrupt_at: int | None) -> dict[str, torch.Tensor]:
            begun: list[int] = []

            def interrupted(self: TrainStep, *given: Any) -> torch.Tensor:
                begun.append(1)
                if len(begun) == interrupt_at:
                    raise KeyboardInterrupt
                return step(self, *given)

            settings = {"examples": 8 * steps, "batch_size": 8, "learning_rate": 0.02, "ema": 0.9, "mixup": 0.2}
            recipe = Recipe(**settings, precision=precision)  # type: ignore[arg-type]
            runtime = Runtime(device=options.device, workers=2, checkpoint_steps=5, deterministic=deterministic)
            with tempfile.TemporaryDirectory() as folder, patch.object(TrainStep, "run", interrupted):
                for _ in range(2):
                    torch.manual_seed(0)
                    network = create_model("r2plus1d_10", num_classes=8, frames=8, args={"width": 0.25})
                    try:
                        Trainer(network, clips, recipe, folder=Path(folder), runtime=runtime, title="resume").run()
                        break
                    except KeyboardInterrupt:
                        continue
            return {name: value.float().cpu() for name, value in network.state_dict().items()}

        rows = []
        for precision in ("float32",) if options.small else ("float32", "bfloat16"):
            for deterministic in (False, True):
                first, second, resumed = (weights(precision, deterministic, at) for at in (None, None, steps // 2 + 1))
                own = {"precision": precision, "deterministic": deterministic}
                rows.append(row({**own, "repeated": _distance(first, second), "resumed": _distance(first, resumed)}))
    return {"rows": rows}


def _distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


SECTIONS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "machine": machine,
    "tests": tests,
    "convolutions": convolutions,
    "train": train,
    "forward": forward,
    "score": score,
    "profile": profile_steps,
    "resume": resume,
    "memory": memory,
    "decode": decode,
    "accuracy": accuracy,
    "files": files,
}
