"""A frozen teacher from a folder in Hugging Face's layout, whose id2label is in any order and contains rubbish."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.errors import refused
from tests.pipeline.test_teacher_classes import scores_of
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.models.weights_file import load_spec
from vidsemi.pipeline import run as pipeline


def write_folder(folder: Path, order: Sequence[int], names: Sequence[str] | None) -> Path:
    """A tiny VideoMAE: output i is output order[i] of a network that is always the same, and is called names[i]."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"num_labels": len(order)} if names is None else {"id2label": dict(enumerate(names))}
    torch.manual_seed(0)
    network = VideoMAEForVideoClassification(
        VideoMAEConfig(image_size=16, patch_size=8, num_frames=4, tubelet_size=2, **sizes, **labels)
    )
    head = network.classifier
    with torch.no_grad():
        torch.nn.init.normal_(head.weight, std=2.0)
        head.weight.copy_(head.weight[list(order)].clone())
    network.save_pretrained(folder)
    processor = {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}, "do_normalize": True}
    processor |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_resize": True, "do_center_crop": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.mark.slow
def test_the_names_of_a_folder_are_matched_with_the_labels(
    tiny_config: Callable[..., Path], weights: Path, tmp_path: Path
):
    pytest.importorskip("transformers")
    classes = load_spec(weights).classes

    def config(folder: Path, *overrides: str) -> Config:
        teacher = f"teacher={{model: 'hf:{folder}', frozen: true, input: {{stride: 1}}}}"
        settings = ["approaches=[semi_supervised]", teacher, "score.per_example=8", f"output={folder}_run"]
        return load_config(str(tiny_config()), [*settings, *overrides])

    orders = [*range(9)], [8, 3, 5, 0, 7, 1, 2, 4, 6]
    names = [*(name.title().replace(" ", "_") for name in classes), ".DS_Store"]
    scores = []
    for number, order in enumerate(orders):
        one = config(write_folder(tmp_path / f"{number}", order, [names[place] for place in order]))
        pipeline.run(one, until="score")
        scores.append(scores_of(one))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)
    assert scores[0].std() > 0.01 and (scores[0].sum(axis=1) < 1).all()  # a share is that of .DS_Store
    nameless = write_folder(tmp_path / "nameless", range(8), None)
    with refused("teacher.unnamed_classes", nameless, "LABEL_0"):
        pipeline.check(config(nameless))
    (tmp_path / "names.txt").write_text("\n".join(classes))
    pipeline.check(config(nameless, f"teacher.classes={tmp_path}/names.txt"))


@pytest.mark.slow
def test_a_folder_with_one_name_twice(tiny_config: Callable[..., Path], weights: Path, tmp_path: Path):
    pytest.importorskip("transformers")
    classes = load_spec(weights).classes
    folder = write_folder(tmp_path / "twice", range(9), [*classes, classes[2]])
    teacher = f"teacher={{model: 'hf:{folder}', frozen: true, input: {{stride: 1}}}}"
    with refused("teacher.class_twice", folder, classes[2], "teacher.classes"):
        pipeline.check(load_config(str(tiny_config()), ["approaches=[semi_supervised]", teacher]))
    (tmp_path / "names.txt").write_text("\n".join([*classes, "another"]))
    pipeline.check(
        load_config(
            str(tiny_config()), ["approaches=[semi_supervised]", teacher, f"teacher.classes={tmp_path}/names.txt"]
        )
    )
