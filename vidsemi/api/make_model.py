"""`load_model` and `create_model`: a `Model` from a weights file, or from the name of a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidsemi.api.arguments import PathArgument, path_of
from vidsemi.api.model import Model
from vidsemi.api.specs import Classes, OwnSpec, spec_of
from vidsemi.io.download import is_address
from vidsemi.io.errors import UserError
from vidsemi.models import registry, weights_file
from vidsemi.models.build import initialize_all, initialize_from, named_as
from vidsemi.models.hf_folder import folder_of, is_hf_folder, named_classes
from vidsemi.models.weights import fingerprint_weights, local_copy, read_weights


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
