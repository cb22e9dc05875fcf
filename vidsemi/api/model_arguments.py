"""What functions that use a network take: the network or its file, and views."""

from os import PathLike
from typing import Any, get_args

from vidsemi.api.arguments import PathArgument, check_count, path_of
from vidsemi.api.model import Model
from vidsemi.config import Runtime
from vidsemi.data.input_spec import Decoder
from vidsemi.io.download import is_address
from vidsemi.io.errors import UserError
from vidsemi.models.trained import Trained, open_trained
from vidsemi.models.weights import local_copy


def trained_of(model: Model | PathArgument, decoder: Decoder, runtime: Runtime) -> tuple[Trained, Runtime]:
    """The network, and where it runs: where it is, if that is not the CPU and the device is "auto".

    Raises:
        UserError: it is not a network of vidsemi, or its file cannot be loaded.
    """
    if decoder not in get_args(Decoder):
        known = ", ".join(get_args(Decoder))
        raise UserError("options.invalid", f"decoder is {decoder!r}; choose one of {known}")
    if not isinstance(model, Model):
        if not isinstance(model, str | PathLike):
            kind = type(model).__name__
            raise UserError(
                "model.wrong_type", f"the model is a {kind}; give one of load_model or create_model, or a weights file"
            )
        file = local_copy(model) if isinstance(model, str) and is_address(model) else path_of("model", model)
        return open_trained(file, decoder), runtime
    here = next((str(tensor.device) for tensor in model.parameters() if tensor.device.type != "cpu"), None)
    if runtime.device == "auto" and here is not None:
        runtime = runtime.model_copy(update={"device": here})
    return model._trained().with_decoder(decoder), runtime


def check_views(views: Any, crops: Any) -> None:
    """Raise a `UserError` unless the views are from 1 to 10,000, and the crops 1 or 10."""
    check_count("views", views, 10_000)
    if crops not in (1, 10) or isinstance(crops, bool):
        raise UserError("options.invalid", f"crops is {crops!r}; choose 1 (the center) or 10")
