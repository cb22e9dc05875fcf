"""The wording of every error message, in one place: tests/messages.txt."""

import re

from tests.helpers.messages import SNAPSHOT, calls, code_of, snapshot


def test_messages_are_those_of_the_snapshot():
    """After changing a message: `python -m tests.helpers.messages`, and read the difference."""
    assert snapshot() == SNAPSHOT.read_text(encoding="utf-8")


def test_every_message_has_a_code():
    for file, call in calls():
        assert re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z0-9_]+", code_of(call)), f"{file}:{call.lineno}"


def test_messages_are_plain_english():
    for line in snapshot().splitlines():
        assert not re.search(r"(?<!there )\b(is|are) no [a-z]|\bgo(es)? on\b|\bcorpus\b|\bcorpora\b", line), line
