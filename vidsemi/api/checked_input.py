"""What callers say about the input of a network, checked as a config is."""

from dataclasses import asdict, replace
from typing import Any

from pydantic import ValidationError

from vidsemi.data.input_spec import InputSpec
from vidsemi.io.errors import UserError
from vidsemi.models.stored_spec import StoredInput


def checked_input(input: InputSpec | None, **changes: Any) -> tuple[InputSpec, StoredInput]:
    """Return an input, by default `InputSpec()`, with the changes that are not None, checked.

    Changes may also set the keys of the config's section Input that are not in an `InputSpec`.

    Returns:
        The input; and all values.

    Raises:
        UserError: a value is not valid.
    """
    if not isinstance(input, InputSpec | None):
        raise UserError(
            "input.not_an_input_spec", f"input must be a vidsemi.InputSpec or None, not {type(input).__name__}"
        )
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        values = StoredInput.model_validate({**asdict(input or InputSpec()), **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"])) or "the values together"
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError("input.invalid", f"the input of the network: {key}: {reason}") from None
    return replace(values.spec(), decoder=values.decoder), values
