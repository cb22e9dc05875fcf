"""`publish`: a network as a folder in the form of the Hugging Face Hub, with a model card."""

import copy
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidsemi.api.arguments import PathArgument, manifest_of, path_of, runtime_of
from vidsemi.api.model import Model
from vidsemi.api.model_arguments import trained_of
from vidsemi.config import Runtime
from vidsemi.data.manifest import Manifest
from vidsemi.inference.evaluate import evaluate_weights
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_text
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.io.tables import printable
from vidsemi.models import weights_file
from vidsemi.models.flops import measure_cost
from vidsemi.models.modes import evaluating
from vidsemi.models.published import CARD, CONFIG, TENSORS
from vidsemi.models.trained import Trained
from vidsemi.pipeline.lineage import Lineage, lineage_of
from vidsemi.reporting.model_card import Card, card_text

VIEWS = (10, 1)  # clips per video of the tests in a model card
MAX_TEXT = 200  # characters of a license or a name


@dataclass(frozen=True)
class Published:
    """A published network.

    Args:
        folder: with model.safetensors, config.json and README.md.
        bytes: of these files.
        parameters: of the network.
        gmacs_per_view: billions of multiply-adds of one forward pass.
        tests: the metrics in the model card: `top1`, `views`, `test_manifest` and others of results.json.
    """

    folder: Path
    bytes: int
    parameters: int
    gmacs_per_view: float
    tests: list[dict[str, Any]]


def publish(
    model: Model | PathArgument,
    folder: PathArgument,
    *,
    name: str | None = None,
    license: str | None = None,
    teacher_license: str | None = None,
    datasets: Sequence[str] = (),
    test: Manifest | PathArgument | None = None,
    root: PathArgument | None = None,
    overwrite: bool = False,
    device: str = "auto",
    workers: int | None = None,
    progress: ShowProgress = None,
) -> Published:
    """Write a network and its model card in the form of the Hugging Face Hub. Nothing is uploaded.

    `load_model` and all functions and commands that take a weights file take the folder, too; before it is complete, it
    is loaded and compared with the network. The model card says what the records of a run say of its weights; what is
    not known is left out.

    Args:
        model: a network, or its weights file.
        folder: to write; it must be empty or not exist.
        name: of the model in its card, by default the folder's.
        license: of the weights, such as "apache-2.0"; without it the card has none.
        teacher_license: of the teacher's weights.
        datasets: names on the Hub of the datasets that it was trained on.
        test: labeled examples, tested with 10 clips and with 1 clip per video, unless the run has tested that.
        root: folder that the paths in the file `test` are relative to, by default its own.
        overwrite: replace the files in a folder that is not empty; other files stay.
        device: of the test; "auto" is a GPU if there is one.
        workers: processes that decode files; by default one per core.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the folder, and what the card says of accuracy and cost.

    Raises:
        UserError: the folder has files, the weights cannot be loaded, or a label of the test is not a class.
    """
    target = path_of("folder", folder)
    _check_folder(target, overwrite)
    _check_texts(name, license, teacher_license, datasets)
    runtime = runtime_of(device, workers)
    if test is None and root is not None:
        raise UserError("options.invalid", "root is the folder of the examples in `test`; give both, or none")
    examples = None if test is None else manifest_of(test, root)
    if isinstance(model, Model) and any(tensor.device.type != "cpu" for tensor in model.parameters()):
        model = copy.deepcopy(model).cpu()
    with show_progress(progress):
        trained, runtime = trained_of(model, "pyav", runtime)
        content, lineage = _origin(model, trained)
        tests = _tests(trained, examples, lineage, runtime)
    spec, network = trained.spec, trained.network
    cost = measure_cost(network, frames=spec.input.frames, size=spec.input.crop)
    shown = name or printable(target.resolve().name)
    card = Card(shown, spec, cost, license, teacher_license, datasets, tests, lineage)
    _write(target, trained, content, card_text(card))
    size = sum((target / file).stat().st_size for file in (TENSORS, CONFIG, CARD))
    return Published(target, size, cost.parameters, cost.gmacs_per_view, tests)


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError("publish.not_a_folder", f"{folder} exists and is not a folder; name another one")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError("publish.exists", f"{folder} is not empty; name another folder, or give --overwrite")


def _check_texts(name: str | None, license: str | None, teacher_license: str | None, datasets: Sequence[str]) -> None:
    if isinstance(datasets, str):
        raise UserError("options.invalid", f"datasets is {datasets!r}; give a list of names")
    given = [("name", name), ("license", license), ("teacher_license", teacher_license)]
    given += [("datasets", own) for own in datasets]
    for key, text in given:
        whole = isinstance(text, str) and text.isprintable() and 0 < len(text.strip()) <= len(text) <= MAX_TEXT
        if text is not None and not whole:
            raise UserError("options.invalid", f"{key} must be a text on one line, of up to {MAX_TEXT} characters")


def _origin(model: Model | PathArgument, trained: Trained) -> tuple[Mapping[str, Any], Lineage | None]:
    """The provenance of a network, and the run that wrote its file."""
    if not isinstance(model, Model):
        file = Path(trained.name)
        provenance = weights_file.load(file).get("provenance")
        known = provenance if isinstance(provenance, dict) else {}
        return known, lineage_of(file, known)
    if model._file is None or not model._is_stored(model._file):
        return model.provenance, None
    stored = weights_file.load(model._file).get("provenance")
    return model.provenance, lineage_of(model._file, stored if isinstance(stored, dict) else {})


def _tests(
    trained: Trained, examples: Manifest | None, lineage: Lineage | None, runtime: Runtime
) -> list[dict[str, Any]]:
    """The metrics of the run, and those on the test set with `VIEWS` clips."""
    found = [dict(lineage.row)] if lineage is not None and lineage.row is not None else []
    for views in VIEWS if examples is not None else ():
        assert examples is not None
        known = [own for own in found if own.get("test_set") == examples.fingerprint and own.get("crops", 1) == 1]
        image = trained.spec.input.frames == 1  # of which a view is all there is
        if any(own["views"] == views or (own["views"] == 1 and image) for own in known):
            continue
        title = f"test with {views} clip{'s' * (views > 1)}"
        metrics = evaluate_weights(weights=trained, manifest=examples, views=views, runtime=runtime, title=title)
        found.append({**metrics, "test_set": examples.fingerprint, "test_manifest": str(examples.file)})
    return found


def _write(folder: Path, trained: Trained, provenance: Mapping[str, Any], card: str) -> None:
    """Write the files beside their places, check them, then move them; a folder never mixes two networks."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".publish-", dir=folder))
    try:
        weights_file.publish(temporary, trained.network, trained.spec, provenance)
        write_text(temporary / CARD, card)
        _check_equal(temporary, trained)
        (folder / CONFIG).unlink(missing_ok=True)
        for name in (TENSORS, CARD, CONFIG):
            os.replace(temporary / name, folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # it has the files, or others
            folder.rmdir()


@torch.inference_mode()
def _check_equal(folder: Path, trained: Trained) -> None:
    network, spec = weights_file.load_weights(folder)
    takes, own = spec.input, trained.network
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 3, takes.frames, takes.crop, takes.crop, generator=generator)
    with evaluating(own), evaluating(network):
        same = torch.allclose(network(clip), own(clip))
    state = network.state_dict()
    same &= all(torch.equal(state[key], tensor) for key, tensor in own.state_dict().items())
    if not same:
        raise UserError(
            "publish.differs",
            f"{spec} computes other outputs when it is loaded again: it keeps state outside its state_dict",
        )
