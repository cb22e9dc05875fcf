"""`Model`: a network with what it takes and what its outputs mean; made from a weights file or from a name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.api.arguments import PathArgument, path_of
from vidsemi.api.specs import Classes, OwnSpec, spec_of
from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.predict import Prediction
from vidsemi.io.download import is_address
from vidsemi.io.errors import UserError
from vidsemi.io.files import prepare_target
from vidsemi.io.progress import ShowProgress
from vidsemi.models import registry, weights_file
from vidsemi.models.build import initialize_all, initialize_from, named_as
from vidsemi.models.hf_folder import folder_of, is_hf_folder, named_classes
from vidsemi.models.trained import Trained, fingerprint_tensors
from vidsemi.models.weights import fingerprint_weights, local_copy, read_weights
from vidsemi.models.weights_file import NetworkSpec


class Model(nn.Module):
    """A network with its classes and the input that it was made for. `load_model` and `create_model` make them.

    As a module it takes normalized clips, (N, 3, T, H, W) of a floating-point type, and returns logits, (N, classes).
    Its only child is `network`, to train or change as any other module.

    Args:
        network: the network itself.
        spec: how it was built, and what it takes.
        provenance: where its weights come from, as JSON values; `save` writes it.
        file: the weights file that it was loaded from.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec,
        provenance: Mapping[str, Any] | None = None,
        file: Path | None = None,
    ):
        super().__init__()
        self.network, self.spec = network, spec
        self.training = network.training
        self.provenance, self._file = dict(provenance or {}), file

    @property
    def name(self) -> str:
        """Name of the network, such as "r2plus1d_18"."""
        return self.spec.model

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the outputs."""
        return [*self.spec.classes]

    @property
    def input(self) -> InputSpec:
        """Clip length, frame size and normalization."""
        return self.spec.input

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the logits of clips.

        Args:
            clips: (N, 3, T, H, W), normalized by `input.mean` and `input.std`, of a floating-point type.

        Returns:
            (N, classes).

        Raises:
            UserError: the clips have another shape or type.
        """
        if not isinstance(clips, torch.Tensor) or clips.ndim != 5 or clips.shape[1] != 3:
            shape = tuple(getattr(clips, "shape", ())) or type(clips).__name__
            raise UserError("clips.wrong_shape", f"the clips are {shape}; give a tensor (N, 3, T, H, W)")
        if not clips.is_floating_point():
            raise UserError(
                "clips.wrong_type", f"the clips are {clips.dtype}; normalize them first, or use predict() for frames"
            )
        logits: torch.Tensor = self.network(clips)
        return logits

    def predict(
        self,
        examples: Any,
        *,
        top: int | None = 5,
        views: int = 10,
        crops: int = 1,
        device: str = "auto",
        workers: int | None = None,
        progress: ShowProgress = None,
    ) -> "Prediction | list[Prediction]":
        """Predict the classes of videos and images, as `vidsemi.predict` does.

        Args:
            examples: a file, or the frames of a video, (n, height, width, 3) uint8; or several of them.
            top: classes of each prediction; None for all.
            views: clips per video, whose softmax scores are averaged.
            crops: per clip: 1 (the center), or 10.
            device: "cpu", "cuda", …; "auto" is the one where the model is, or a GPU if that is the CPU.
            workers: processes that decode files; by default one per core.
            progress: True for a bar, or a function that takes a `Progress`.

        Returns:
            a prediction, or a list of them for a list or a folder.

        Raises:
            UserError: as `vidsemi.predict`.
        """
        from vidsemi.api.predict import predict

        return predict(
            self, examples, top=top, views=views, crops=crops, device=device, workers=workers, progress=progress
        )

    def save(self, file: PathArgument) -> None:
        """Write a weights file, which holds all that `load_model` needs.

        Args:
            file: to write, such as weights.pt; folders are made, and an existing file is replaced once all is written.

        Raises:
            UserError: the file cannot be written.
        """
        target = path_of("file", file)
        prepare_target(target)
        weights_file.save_weights(target, self.network, self.spec, self.provenance)
        self._file = target

    def extra_repr(self) -> str:
        """Return what `print(model)` shows besides the layers."""
        return f"{self.spec}, {len(self.spec.classes)} classes, clips of {self.input.frames} frames"

    def _trained(self) -> Trained:
        """The same network for the functions of inference."""
        return Trained(self.network, self.spec, str(self._file or self.name), self._fingerprint)

    def _own_file(self) -> Path:
        """The weights file that has these very weights.

        Raises:
            UserError: the model was never saved, or has changed since.
        """
        if self._file is None or not self._is_stored(self._file):
            raise UserError("model.not_saved", f"the weights of {self.name} are in no file; call save() first")
        return self._file

    def _fingerprint(self) -> str:
        """That of the file that has these very weights, or else of the weights themselves."""
        if self._file is not None and self._is_stored(self._file):
            return weights_file.fingerprint(self._file)
        return fingerprint_tensors(self.network, self.spec)

    def _is_stored(self, file: Path) -> bool:
        try:
            content = weights_file.load(file)
            same = weights_file.spec_of(content, str(file)) == self.spec
        except (UserError, OSError):  # another file has taken its place, or none
            return False
        return same and _equal(content.get("state_dict"), self.network.state_dict())


def _equal(stored: Any, tensors: Mapping[str, torch.Tensor]) -> bool:
    return (
        isinstance(stored, Mapping)
        and stored.keys() == tensors.keys()
        and all(
            isinstance(stored[name], torch.Tensor) and torch.equal(stored[name], tensor.detach().cpu())
            for name, tensor in tensors.items()
        )
    )


def load_model(
    weights: PathArgument,
    *,
    name: str | None = None,
    classes: Classes | None = None,
    frames: int | None = None,
    size: int | None = None,
    stride: int | None = None,
    resize: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    args: Mapping[str, Any] | None = None,
) -> Model:
    """Load a trained network to the CPU. Nothing in a file is executed.

    A weights file of vidsemi knows all else, and so does a folder that `publish` wrote. Weights that other programs
    published need the name of their network and their classes, as `vidsemi convert` does; `Model.save` then writes them
    as a file of vidsemi.

    Args:
        weights: a file, a folder of `publish`, an https:// address, the name of a network in a model library, whose
            default weights are downloaded, or `hf:DIR` for a folder in Hugging Face's layout, with the `stride`.
        name: of the network, if the weights are not in a file of vidsemi; `list_models` lists the names.
        classes: names of the classes in the order of the outputs, or their number; needed with `name`. `hf:DIR` has
            its own.
        frames: clip length T. This and what follows replaces the input that a model library gives for the network.
        size: side of the square crop.
        stride: step between the frames of a clip.
        resize: (height, width) of the resized frames, or their shorter side.
        mean: of red, green and blue, for values in [0, 1].
        std: standard deviation of red, green and blue.
        args: the network's own arguments, such as {"width": 0.25}.

    Returns:
        the network in evaluation mode.

    Raises:
        UserError: the file does not exist, it is damaged, or it holds other weights than those of the network.
    """
    source = weights if isinstance(weights, str) and is_address(weights) else str(path_of("weights", weights))
    own = OwnSpec(frames, size, stride, resize, mean, std, args)
    folder, rename = folder_of(str(weights)), classes is not None
    if name is None and folder is not None:
        name, source, classes = str(weights), str(folder), named_classes(folder) if classes is None else classes
    elif name is None and not is_address(source) and not Path(source).exists() and _in_library(source):
        name, source = source, _published(source)
    if name is None:
        if classes is not None or own != OwnSpec():
            raise UserError(
                "weights.unused_argument",
                "a weights file of vidsemi knows its classes and input; give the name of the network too if the "
                "weights are from another program",
            )
        file = local_copy(source)
        network, spec, provenance = weights_file.load_with_provenance(file)
        return Model(
            network.eval(), spec, _started_from(weights_file.fingerprint(file), provenance.get("hashtags")), file
        )
    if classes is None:
        raise UserError("weights.missing_classes", f"give the classes of {source}, in the order of its outputs")
    spec = spec_of(name, classes, own, init_from=source)
    network, given = spec.build(), read_weights(source)
    if rename and is_hf_folder(Path(source)):
        given = named_as(given, spec.classes)
    initialize_all(network, spec, given)
    return Model(network.eval(), spec, _started_from(fingerprint_weights(source), given.trained_on_hashtags))


def create_model(
    name: str,
    classes: Classes,
    *,
    init_from: PathArgument | None = None,
    frames: int | None = None,
    size: int | None = None,
    stride: int | None = None,
    resize: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    args: Mapping[str, Any] | None = None,
) -> Model:
    """Create a network to train, with random weights or from a file.

    Args:
        name: of the network; `list_models` lists the names.
        classes: names of the classes in the order of the outputs, or their number.
        init_from: file or https:// address of initial weights. The head is kept if it has these classes.
        frames: clip length T; needed for the paper's video networks, which have names without a slash.
        size: side of the square crop. This and what follows replaces the input that a model library gives for the
            network.
        stride: step between the frames of a clip.
        resize: (height, width) of the resized frames, or their shorter side.
        mean: of red, green and blue, for values in [0, 1].
        std: standard deviation of red, green and blue.
        args: the network's own arguments, such as {"width": 0.25}.

    Returns:
        the network in training mode.

    Raises:
        UserError: the network's name is unknown, or it does not take these arguments, clips or weights.
    """
    spec = spec_of(name, classes, OwnSpec(frames, size, stride, resize, mean, std, args))
    network = spec.build()
    if init_from is None:
        return Model(network.train(), spec)
    source = str(init_from)
    weights = read_weights(source)
    initialize_from(network, spec, weights)
    return Model(network.train(), spec, _started_from(fingerprint_weights(source), weights.trained_on_hashtags))


def _started_from(fingerprint: str, hashtags: Any) -> dict[str, Any]:
    return {"init_from": fingerprint, **({"hashtags": True} if hashtags is True else {})}


def _in_library(name: str) -> bool:
    if not any(name.startswith(f"{library}/") for library in registry.LIBRARIES):
        return False
    registry.check_name(name)
    return True


def _published(name: str) -> str:
    addresses: list[str] = registry.list_models(name)[0]["weights"]
    if not addresses:
        raise UserError("weights.none_published", f"the library of {name} names no weights; give a file or an address")
    return addresses[0]
