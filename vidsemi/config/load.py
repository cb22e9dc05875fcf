"""Load a YAML config and validate it.

`_BASE_: other.yaml` inherits from another file, relative to the file with this key (read by fvcore).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vidsemi.config import Config, TransferConfig
from vidsemi.config.model import LIST, ONE
from vidsemi.config.synonyms import hint_for
from vidsemi.config.yaml_check import check_file, check_text
from vidsemi.io.errors import UserError

C = TypeVar("C", Config, TransferConfig)
Source = str | Mapping[str, Any]
Overrides = Sequence[str] | Mapping[str, Any]


def find_config(name: str) -> Path:
    """Find a config file: as given, in configs/ of the working directory, or among the recipes of vidsemi."""
    package = Path(__file__).parent.parent
    candidates = [Path(name), Path("configs") / name, package / "configs" / name, package.parent / "configs" / name]
    for file in candidates:
        if file.is_file():
            return file
    raise UserError("config.not_found", f"config {name} not found; looked in {', '.join(map(str, candidates))}")


def load_config(source: Source, overrides: Overrides = ()) -> Config:
    """Read and validate the config of a run.

    Args:
        source: file name, see `find_config`; or the content of such a file.
        overrides: `key.path=value` with a YAML value, or values by key path; list items by number
            (`students.0.frames=4`).

    Raises:
        UserError: the file is missing, not valid YAML, or has an unknown key or invalid value.
    """
    file, values = _read(source, overrides)
    config = _checked(Config, values, file)
    expand_variants(config, file)
    return config


def expand_variants(config: Config, file: Path | str = "the config") -> dict[str, Config]:
    """The config of each variant by its name; the config itself under an empty name if there are none.

    Raises:
        UserError: the config of a variant has an unknown key or an invalid value.
    """
    if config.variants is None:
        return {"": config}
    configs = {}
    for number, name in enumerate(config.variants.variant_names):
        values = config.model_dump(mode="json", exclude_unset=True, exclude={"variants"})
        for key, own in config.variants.values.items():
            _set(values, key, own[number])
        configs[name] = _checked(Config, values, f"{file}, variant {name}")
    return configs


def load_transfer_config(source: Source, overrides: Overrides = ()) -> TransferConfig:
    """Read and validate the config of a transfer. Arguments and errors as in `load_config`.

    A run's config works too: its targets, training augmentation, `runtime`, `log` and first seed are used, and the
    output is the folder `transfer` in the output of the run.
    """
    file, values = _read(source, overrides)
    if "students" not in values:
        return _checked(TransferConfig, values, file)
    own: dict[str, Any] = {key: values.pop(key) for key in ("student", "approach", "seed") if key in values}
    run = _checked(Config, values, file)
    taken: dict[str, Any] = {"transfer": run.transfer, "runtime": run.runtime, "log": run.log}
    taken |= {"hflip_prob": run.input.hflip_prob, "random_resized_crop_scale": run.input.random_resized_crop_scale}
    values = {"output": str(Path(run.output) / "transfer"), "seed": run.seeds[0], **taken, **own}
    return _checked(TransferConfig, values, file)


def _read(source: Source, overrides: Overrides) -> tuple[Path, dict[str, Any]]:
    if isinstance(source, Mapping):
        file, values = Path("the config"), _unshared(dict(source))
    else:
        file, values = _read_file(source)
    given = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    for key, value in given.items():
        _set(values, key, _unshared(value))
    return file, values


def _read_file(name: str) -> tuple[Path, dict[str, Any]]:
    from fvcore.common.config import CfgNode

    file = find_config(name)
    check_file(file)
    try:
        values = CfgNode.load_yaml_with_base(str(file))
    except (yaml.YAMLError, OSError, ValueError, AssertionError, RecursionError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError("config.unreadable", f"{file} cannot be read as a config: {reason}") from None
    if not isinstance(values, dict):
        raise UserError("config.unreadable", f"{file} is not a config: it contains no keys")
    return file, _unshared(values)


def _unshared(value: Any) -> Any:
    """A copy without shared parts: an override of a section must not change another one that is an alias of it."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _checked(kind: type[C], values: dict[str, Any], file: Path | str) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _explain(error, file, kind) from None


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Read overrides `key.path=value`: values as in YAML by key path.

    Raises:
        UserError: one of them is not an override.
    """
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError("config.invalid_override", f"'{override}' is not an override; expected key.path=value")
        try:
            check_text(text, f"'{override}'")
            values[key] = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise UserError("config.invalid_override", f"'{override}': the value is not valid YAML") from None
    return values


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a value by its key path."""
    *path, last = key.split(".")
    try:
        target: Any = values
        for part in path:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        target[int(last) if isinstance(target, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise UserError("config.invalid_override", f"{key} does not exist in the config, so it cannot be set") from None


def _explain(error: ValidationError, file: Path | str, kind: type[BaseModel]) -> UserError:
    """Turn the first problem into one line: file, key and what was expected."""
    first, *rest = error.errors(include_url=False)
    place = tuple(part for part in first["loc"] if part not in (ONE, LIST))
    key = ".".join(map(str, place)) or "config"
    more = f" (and {len(rest)} more)" if rest else ""
    if first["type"] == "extra_forbidden":
        return UserError("config.unknown_key", f"{file}: {key}: unknown key{hint_for(place, kind)}{more}")
    if first["type"] == "missing":
        return UserError("config.missing_key", f"{file}: {key}: this key is missing{more}")
    message, value = first["msg"].removeprefix("Value error, "), first["input"]
    shown = "" if isinstance(value, dict | BaseModel) or f"'{value}'" in message else f" (it is {value!r})"
    return UserError("config.invalid_value", f"{file}: {key}: {message}{shown}{more}")
