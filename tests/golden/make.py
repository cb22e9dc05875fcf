"""Files as vidsemi 0.2.0 wrote them, which every later version must read: `python -m tests.golden.make` writes them.

Run it once for a release whose formats are new, never again for one that is out. The files are gzip and base64 in JSON,
which is text: no binary goes into the repository. Beside them stands what they hold, as pyarrow and torch read it.
"""

import base64
import gzip
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from PIL import Image

FILE = Path(__file__).with_name("0.2.0.json")
CLASSES = ["catching a fish", "yoga", "Zumba"]
INPUT = {"frames": 2, "stride": 3, "resize": [20, 24], "crop": 16, "mean": [0.5, 0.25, 0.125], "std": [0.25, 0.5, 0.25]}
MANIFEST = {
    "path": ["a/0.png", "a/ü, 1.png", "=2.png", "3.png", "https://host/4.png", "5.png"],
    "label": ["yoga", "Zumba", "yoga", "catching a fish", "yoga", "Zumba"],
    "hashtags": ["#yoga", None, "#a #b", "", "#fish", "#日本"],
    "group": ["x", "x", None, "y", "y", "y"],
    "start": [None, 0.1, 1.0, None, None, None],
    "end": [None, 1.5, None, None, 2.25, None],
}


def values(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor of the golden weights: a formula that float32 holds exactly."""
    if not tensor.is_floating_point():
        return torch.full_like(tensor, 7)
    numbers = (torch.arange(tensor.numel()) * 37 + zlib.crc32(name.encode()) % 255) % 255
    if name.endswith("running_var"):
        exact = (numbers + 1) / 256
    elif tensor.dim() == 1:  # positive, so that few of the few planes are dead
        exact = (numbers + 16) / 256
    else:
        exact = (numbers - 127) / (256 if name == "fc.weight" else 128)
    return exact.reshape(tensor.shape).to(tensor.dtype)


def clips() -> torch.Tensor:
    """Two normalized clips, (2, 3, 2, 16, 16)."""
    return (torch.arange(2 * 3 * 2 * 16 * 16) * 29 % 101 / 50 - 1).reshape(2, 3, 2, 16, 16)


def write(folder: Path) -> dict[str, Any]:
    """Write all files to a folder, by the command line where it has one; returns what they hold."""
    from vidsemi.cli import main as cli
    from vidsemi.data.input_spec import InputSpec
    from vidsemi.data.manifest_file import write_manifest
    from vidsemi.models.weights_file import NetworkSpec, save_weights

    spec = NetworkSpec("r2plus1d_10", {"width": 0.015625}, CLASSES, InputSpec(**{**INPUT, "resize": (20, 24)}))
    network = spec.build().eval()
    network.load_state_dict({name: values(name, tensor) for name, tensor in network.state_dict().items()})
    save_weights(folder / "weights.pt", network, spec, {"hashtags": False, "examples": 123})
    for name in ("manifest.csv", "manifest.parquet"):
        write_manifest(folder / name, MANIFEST)

    rng = np.random.default_rng(0)
    paths = [f"{number}.png" for number in range(7)]
    for path in paths[:-1]:
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8)).save(folder / path)
    (folder / paths[-1]).write_bytes(b"not an image")
    write_manifest(folder / "unlabeled.csv", {"path": paths})
    common = ["--weights", "weights.pt", "--manifest", "unlabeled.csv", "--device", "cpu", "--workers", "0"]
    score = [
        "score",
        *common,
        "--output",
        "scores",
        "--per-example",
        "2",
        "--shard-size",
        "4",
        "--precision",
        "float32",
    ]
    select = ["--scores", "scores", "--per-class", "3", "--per-example", "2", "--output", "selection.parquet"]
    assert cli.main(score) == 0 and cli.main(["select", *select]) == 0
    for path in paths:
        (folder / path).unlink()
    with torch.no_grad():
        logits = network(clips())
    return {
        "logits": logits.tolist(),
        "manifest": pyarrow.csv.read_csv(folder / "manifest.csv").num_rows,
        "scores": [row for file in sorted(folder.glob("scores/part-*")) for row in pq.read_table(file).to_pylist()],
        "failures": [
            row for file in sorted(folder.glob("scores/failures/*")) for row in pq.read_table(file).to_pylist()
        ],
        "selection": rows(folder, "selection.parquet"),
    }


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """The rows of Parquet files, by pyarrow."""
    return [row for file in sorted(folder.glob(pattern)) for row in pq.read_table(file).to_pylist()]


def read(folder: Path) -> dict[str, Any]:
    """Unpack the golden files into a folder; returns what they hold."""
    golden: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    for name, lines in golden["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(gzip.decompress(base64.b64decode("".join(lines))))
    return golden["holds"]


def main() -> None:
    """Write the golden files."""
    with tempfile.TemporaryDirectory() as name:
        folder, here = Path(name), Path.cwd()
        os.chdir(folder)
        try:
            holds = write(folder)
        finally:
            os.chdir(here)
        files = {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            text = base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()
            files[str(file.relative_to(folder))] = [text[start : start + 120] for start in range(0, len(text), 120)]
    FILE.write_text(json.dumps({"files": files, "holds": holds}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
