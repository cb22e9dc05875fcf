"""Train a network on a training set: fresh or initial weights in, weights.pt out."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.config import Log, Recipe, Runtime
from vidsemi.data.frame_cache import frame_cache
from vidsemi.data.split import ValidationSet
from vidsemi.data.train_clips import TrainClips
from vidsemi.data.video.backends import check_decoder
from vidsemi.models import weights_file
from vidsemi.models.build import initialize_from
from vidsemi.models.weights import fingerprint_weights, read_weights
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.distributed import processes
from vidsemi.training.trainer import Trainer
from vidsemi.training.training_set import TrainingSet
from vidsemi.training.validation import Validation

logger = logging.getLogger("vidsemi")

WEIGHTS = "weights.pt"


def train_network(
    folder: Path,
    training_set: TrainingSet,
    spec: NetworkSpec,
    *,
    recipe: Recipe,
    hflip_prob: float,
    random_resized_crop_scale: tuple[float, float] | None,
    seed: int,
    runtime: Runtime,
    log: Log,
    title: str,
    network: nn.Module | None = None,
    provenance: dict[str, Any] | None = None,
    init_from: str | None = None,
    weakly_pretrained: bool = False,
    validation_set: ValidationSet | None = None,
    run: str = "",
) -> dict[str, Any]:
    """Train a network and write `folder`/weights.pt; the folder also has the log, and the checkpoints to resume from.

    The seed is that of the fresh weights, the order and the augmentation. A `network` that exists is trained in place,
    with its `provenance` (see `save_weights`); else one is built. `init_from` is a file of initial weights, or
    an address that iopath fetches; `weakly_pretrained` says that another program trained these on hashtags. The network
    is measured on the `validation_set` now and then, and has its best weights in the end if the recipe says so.
    `run` identifies the training run in its checkpoints.

    Returns:
        Metrics of `Trainer.run`, and `init_from`: which tensors were loaded, if any.
    """
    torch.manual_seed(seed)
    network = spec.build() if network is None else network
    provenance = dict(provenance or {})
    loaded, hashtags = None, training_set.hashtags or provenance.get("hashtags") is True
    if init_from is not None:
        provenance["init_from"] = fingerprint_weights(init_from)  # not the path: a run elsewhere gives the same bytes
        weights = read_weights(init_from)
        loaded = initialize_from(network, spec, weights)
        hashtags = hashtags or weights.trained_on_hashtags or weakly_pretrained
        logger.info("%s: initialized from %s: %s", title, init_from, loaded)
    check_decoder(spec.input.decoder)
    dataset = TrainClips(
        training_set.manifest,
        training_set.examples,
        training_set.targets,
        spec.input,
        hflip_prob=hflip_prob,
        random_resized_crop_scale=random_resized_crop_scale,
        seed=seed,
        clips_per_video=recipe.clips_per_video,
        cache=frame_cache(runtime.frame_cache),
    )
    trainer = Trainer(
        network,
        dataset,
        recipe,
        folder=folder,
        runtime=runtime,
        title=title,
        repeats=training_set.repeats,
        log=log,
        validation=None if validation_set is None else Validation(spec, validation_set, recipe, runtime),
        run=run,
    )
    metrics = trainer.run()
    if hashtags:
        provenance["hashtags"] = True
    provenance |= {"manifest": training_set.manifest.fingerprint, "recipe": recipe.model_dump(), "seed": seed}
    if processes().first:
        weights_file.save_weights(folder / WEIGHTS, network, spec, provenance)
    return metrics if loaded is None else {**metrics, "init_from": loaded.document()}
