"""Contenders of benchmarks in processes that have imported everything already; their times mean nothing then."""

import subprocess
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from tests.helpers import warm
from tools.bench import measure


@pytest.fixture
def warm_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], **options: object) -> "subprocess.CompletedProcess[str]":
        return warm.run(*command[1:])

    monkeypatch.setattr(measure, "subprocess", SimpleNamespace(run=run, Popen=subprocess.Popen))
