"""The names of `import vidsemi`: complete, documented, typed, and imported late."""

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import vidsemi
from tests.conftest import REPOSITORY

FUNCTIONS = [name for name in vidsemi.__all__ if inspect.isfunction(getattr(vidsemi, name))]


def test_importing_loads_no_library():
    code = "import vidsemi, sys; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    heavy = {"torch", "numpy", "pyarrow", "av", "pydantic", "tqdm", "PIL"}
    assert not heavy & set(ast.literal_eval(loaded.stdout))


def test_every_name_resolves_and_is_listed():
    tree = ast.parse(Path(vidsemi.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(typed | {"__version__"}) == sorted(vidsemi.__all__)
    for name in vidsemi.__all__:
        assert getattr(vidsemi, name) is not None
        assert name in dir(vidsemi)
    with pytest.raises(AttributeError, match="no_such_name"):
        vidsemi.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", [name for name in vidsemi.__all__ if name != "__version__"])
def test_every_name_is_documented(name: str):
    value = getattr(vidsemi, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    members = [value] if inspect.isfunction(value) else methods(value)
    for function in members:
        doc = inspect.getdoc(function) or ""
        assert doc, function
        signature = inspect.signature(function)
        hints = inspect.get_annotations(function)
        own = [parameter for parameter in signature.parameters if parameter not in ("self", "cls")]
        for parameter in own:
            assert parameter in hints, (function, parameter)
            assert f"{parameter}:" in doc, (function, parameter)
        assert "return" in hints
        if hints["return"] not in (None, "None") and own:
            assert "Returns:" in doc or "Yields:" in doc, function


def methods(value: object) -> list[typing.Callable]:
    """Public methods that a class of the API defines."""
    if not inspect.isclass(value):
        return []
    own = [
        attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute
        for name, attribute in vars(value).items()
        if not name.startswith("_")
    ]
    return [attribute for attribute in own if inspect.isfunction(attribute)]
