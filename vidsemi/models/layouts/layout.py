"""`Layout`: a network as another framework stores it, and how its tensors become those of a network here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable
from vidsemi.models.pretrained_cfg import PretrainedConfig
from vidsemi.runtime.library_errors import first_line

LICENSE = "Apache-2.0"  # of SlowFast's, mmaction2's and pytorchvideo's code; none names another for its weights
Tensors = dict[str, torch.Tensor]

LEAF = r"\.(?P<leaf>weight|bias|running_mean|running_var|num_batches_tracked)"
UNKNOWN_INPUT = PretrainedConfig(frames=None)


@dataclass(frozen=True)
class NameMap:
    """Names of a framework's tensors → those of a network here, as regular expressions that match whole names."""

    layers: Mapping[str, str]  # names without the last part, such as `weight`, which stays
    parameters: Mapping[str, str] = field(default_factory=dict)  # whole names
    finish: Callable[[Tensors], Tensors] = dict  # what else differs than names

    def convert(self, tensors: Mapping[str, torch.Tensor], title: str, file: str) -> Tensors:
        """Rename all tensors; a UserError names one that the framework's network does not have."""
        rules = [(re.compile(theirs + LEAF), rf"{ours}.\g<leaf>") for theirs, ours in self.layers.items()]
        rules += [(re.compile(theirs), ours) for theirs, ours in self.parameters.items()]
        renamed: Tensors = {}
        for name, tensor in tensors.items():
            name = name.removeprefix("module.")
            match, ours = next(((found, own) for rule, own in rules if (found := rule.fullmatch(name))), (None, ""))
            if match is None:
                raise UserError(
                    "weights.extra_tensors",
                    f"{file} holds {title}, but also a tensor that such a network does not have: {printable(name)}",
                )
            renamed[match.expand(ours)] = tensor
        try:
            return self.finish(renamed)
        except KeyError as error:
            raise UserError(
                "weights.network_mismatch", f"{file} does not fit {title}: it has no tensor for {error.args[0]}"
            ) from None
        except (
            RuntimeError,
            TypeError,
            IndexError,
            ValueError,
        ) as error:  # of shapes and types that do not go together
            raise UserError("weights.network_mismatch", f"{file} does not fit {title}: {first_line(error)}") from None


@dataclass(frozen=True)
class Layout:
    """The network of a file, as its framework stores it."""

    framework: str
    family: str  # of the network
    targets: Mapping[str, NameMap]  # by the name of a network here; empty if it cannot be read
    refusal: str = ""  # then: why, and what to do
    trained_on: PretrainedConfig = UNKNOWN_INPUT  # what the file, or else the framework, says
    differences: tuple[str, ...] = ()  # settings in the file of which `targets` have others

    def document(self) -> dict[str, str]:
        """For reports: whose network it is, and its license."""
        return {"layout": self.title, "license": f"{LICENSE} (of the published weights)"}

    @property
    def title(self) -> str:
        """In words, for messages."""
        return f"{self.family} as {self.framework} stores it"

    def tensors_for(self, model: str, frames: int | None, tensors: Mapping[str, torch.Tensor], file: str) -> Tensors:
        """Rename the tensors of a file to those of a network here, which by default takes `frames`.

        Raises:
            UserError: the network is not one that these weights can be read as, the file says that its network differs,
                or it has a tensor that such a network does not have.
        """
        if model not in self.targets:
            raise UserError("weights.unsupported_layout", f"{file} holds {self.title}, which {self._instead(model)}")
        if self.differences:
            raise UserError(
                "weights.unsupported_layout",
                f"{file} holds {self.title}, and its own config says {self.differences[0]}, so {model} would compute "
                f"something else; use {self.framework} for it",
            )
        if frames is not None and self.trained_on.frames not in (None, frames):
            raise UserError(
                "weights.frames_mismatch",
                f"{file} holds {self.title}, trained on {self.trained_on.frames} frames; {model} takes {frames}",
            )
        return self.targets[model].convert(tensors, self.title, file)

    def _instead(self, model: str) -> str:
        if not self.targets:
            return f"is not read: {self.refusal}"
        return f"is read as {' or '.join(self.targets)}, not as {model}; change `model`"


def different(given: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings that a file gives and that are others than a network has, in words."""
    return tuple(
        f"{key} = {printable(str(given[key])[:80])}" if isinstance(given[key], str | int | float) else f"another {key}"
        for key, value in expected.items()
        if key in given and given[key] != value
    )
