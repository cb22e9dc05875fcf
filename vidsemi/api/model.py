"""`Model`: a network with what it takes and what its outputs mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidsemi.api.arguments import PathArgument, path_of
from vidsemi.data.input_spec import InputSpec
from vidsemi.inference.predict import Prediction
from vidsemi.io.errors import UserError
from vidsemi.io.files import prepare_target
from vidsemi.io.progress import ShowProgress
from vidsemi.models import weights_file
from vidsemi.models.trained import Trained, fingerprint_tensors
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
