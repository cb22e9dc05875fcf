"""What the tests assert of a `UserError`: its code, and what the message must mention. The wording may change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vidsemi.io.errors import UserError


@contextmanager
def refused(code: str, *mentioned: object) -> Iterator[None]:
    """Expect a `UserError` with this code, on one line, that mentions all of these."""
    with pytest.raises(UserError) as caught:
        yield
    message = str(caught.value)
    assert caught.value.code == code, message
    assert "\n" not in message
    for one in mentioned:
        assert str(one) in message


def assert_refused(stderr: str, code: str, *mentioned: object) -> None:
    """Standard error is one line, an error with this code that mentions all of these."""
    assert stderr.startswith("vidsemi: error: ") and stderr.endswith(f" [{code}]\n"), stderr
    assert stderr.count("\n") == 1
    for one in mentioned:
        assert str(one) in stderr
