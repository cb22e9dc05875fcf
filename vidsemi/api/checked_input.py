"""The input of a network from arguments, checked as the config's is."""

from dataclasses import asdict, replace
from typing import Any

from vidsemi.api.arguments import checked
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
        raise UserError("input.wrong_type", f"the input is a {type(input).__name__}; give an InputSpec or None")
    given = {name: value for name, value in changes.items() if value is not None}
    values = checked(StoredInput, {**asdict(input or InputSpec()), **given})
    return replace(values.spec(), decoder=values.decoder), values
