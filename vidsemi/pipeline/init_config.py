"""The config that `vidsemi init` writes: `own_videos.yaml.j2` with the numbers of what it found."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidsemi.config import Config
from vidsemi.data.sample import Sample

CONFIG = "config.yaml"
FRAMES = 8  # of a clip
LONGEST_STRIDE = 4

# Lengths of training for a laptop: minutes. 50 epochs were no better (docs/results.md).
EPOCHS, LEAST, MOST = 25, 2400, 12_000
LEARNING_RATE = 0.02
BATCH = 16


def config_text(folder: Path, counts: Mapping[str, int], unlabeled: int, sample: Sample) -> str:
    """The config's text, which is checked to be one."""
    import yaml

    total = sum(counts.values())
    supervised = _whole_steps(min(max(EPOCHS * total, LEAST), MOST))
    per_class = max(1, round(unlabeled / (2 * len(counts)))) if unlabeled else 20
    stride = LONGEST_STRIDE
    if sample.frames:
        stride = max(1, min(stride, (sample.frames - 1) // (FRAMES - 1)))
    seconds = f", {FRAMES * stride / sample.rate:.1f} s at {sample.rate:.4g} frames/s" if sample.rate else ""
    text = render(
        output=folder / "run",
        labeled=folder / "labeled.csv",
        test=folder / "test.csv",
        unlabeled=folder / "unlabeled.csv",
        about_labeled=f" # {total} videos of {len(counts)} classes",
        about_unlabeled=f" # {unlabeled} videos",
        semi_supervised=unlabeled > 0,
        stride=stride,
        about_stride=seconds,
        supervised=supervised,
        about_supervised=f" # {supervised / total:.3g} epochs of {total} videos",
        pretrain=min(max(_whole_steps(EPOCHS * per_class * len(counts)), supervised), 2 * MOST),
        finetune=_whole_steps(supervised / 4),
        per_class=per_class,
        learning_rate=LEARNING_RATE,
    )
    Config.model_validate(yaml.safe_load(text))
    return f"# Run it: {run_command(folder / CONFIG)}\n{text}"


def _whole_steps(examples: float) -> int:
    return BATCH * max(1, round(examples / BATCH))


def render(**values: Any) -> str:
    """The text of a config from the template; paths are quoted where YAML needs it."""
    import jinja2

    quoted = {name: _scalar(str(value)) if isinstance(value, Path) else value for name, value in values.items()}
    template = Path(__file__).with_name("own_videos.yaml.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(quoted)


def _scalar(text: str) -> str:
    """A text as a YAML scalar on one line."""
    plain = text.isascii() and all(letter.isalnum() or letter in "/._-" for letter in text) and text[0] not in "-."
    return text if plain and not text.replace(".", "").isdigit() else json.dumps(text)


def run_command(config: Path) -> str:
    """The command line that runs a config."""
    name = str(config)
    return f"vidsemi run --cfg {shlex.quote(f'./{name}' if name[0] == '-' else name)}"
