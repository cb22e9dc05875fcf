"""Validation of the network spec in a weights file, by the models of the config: strangers write such files too."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from vidsemi.config.base import STORED, Section
from vidsemi.config.model import Args, Deviations, Frames, Input, Triple
from vidsemi.data.input_spec import MAX_CLIP_PIXELS, InputSpec
from vidsemi.io.errors import UserError

MAX_CLASSES = 1_000_000
MAX_NAME = 1000  # characters of a class name or of a network's


def _check_classes(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("two classes have the same name")
    "".join(names).encode()  # a lone surrogate, which no file or terminal takes, is a ValueError
    return names


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class StoredInput(Input):
    """The input of a network. The decoder is left to whoever reads with the weights."""

    frames: Frames
    mean: Triple
    std: Deviations

    @model_validator(mode="after")
    def _fits_memory(self) -> "StoredInput":
        if self.spec().clip_pixels > MAX_CLIP_PIXELS:
            raise ValueError(f"a clip has more than {MAX_CLIP_PIXELS:,} pixels")
        return self

    def spec(self) -> InputSpec:
        """The same with the default decoder."""
        return InputSpec(self.frames, self.stride, self.resize, self.crop, self.mean, self.std)


class StoredSpec(Section):
    """How to build a network and what to feed it."""

    model: Name
    args: Args
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_CLASSES), AfterValidator(_check_classes)]
    input: StoredInput


def parse_spec(values: Any, name: str) -> StoredSpec:
    """Validate a spec strictly: a number in quotes is not a number. `name` is the file's, for the error.

    Raises:
        UserError: a key is missing, unknown or has an invalid value.
    """
    try:
        return StoredSpec.model_validate(_normalized(values), strict=True, context=STORED)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "spec"
        message = first["msg"].removeprefix("Value error, ")
    except ValueError as error:
        key, message = "spec", str(error)
    raise UserError("weights.invalid_spec", f"{name} has no valid network spec: {key}: {message}")


def _normalized(values: Any) -> Any:
    """Values as the config's models take them: tuples for lists, and only the keys of an `InputSpec`."""
    if not (isinstance(values, Mapping) and isinstance(values.get("input"), Mapping)):
        return values
    given = values["input"]
    if missing := InputSpec.__dataclass_fields__.keys() - {"decoder"} - given.keys():
        raise ValueError(f"its input lacks {sorted(missing)[0]}")
    if unknown := given.keys() - InputSpec.__dataclass_fields__.keys():
        raise ValueError(f"its input has an unknown key {sorted(map(str, unknown))[0]}")
    used = {key: tuple(own) if isinstance(own, list) else own for key, own in given.items() if key != "decoder"}
    return {**values, "input": used}
