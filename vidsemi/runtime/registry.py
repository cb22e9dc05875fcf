"""Registries of networks, dataset formats and selection policies, to which other packages add their own.

A package does so in a module that its entry points name:

    [project.entry-points."vidsemi.plugins"]
    acme = "acme_video.plugin"

The plug-ins of all installed packages are imported once, when a name that is not built in or a list of all names is
first asked for: not by `import vidsemi`.
"""

import difflib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Generic, TypeVar

from vidsemi.io.errors import UserError
from vidsemi.runtime.library_errors import first_line, raised_at

GROUP = "vidsemi.plugins"  # of entry points
OURS = "vidsemi."
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_.+-]+)*")
MAX_NAME = 100

logger = logging.getLogger("vidsemi")

T = TypeVar("T")
Source = TypeVar("Source", bound=Callable[..., Any])


class Registry(Generic[T]):
    """Values by name: the built-in ones first, then others in the order of their registration.

    Args:
        kind: what the values are, for messages.
        built_in: modules that register the built-in ones, if the module of the registry does not.
    """

    def __init__(self, kind: str, built_in: Sequence[str] = ()):
        self.kind, self._built_in = kind, built_in
        self._values: dict[str, T] = {}
        self._owners: dict[str, str] = {}  # module and name of the function or class
        self._plugins: dict[str, str] = {}  # package or module, of the names that are not built in

    def decorator(self, name: str, value_of: Callable[[Any], T]) -> Callable[[Source], Source]:
        """Return a decorator that registers the value of a function or class, and leaves that as it is.

        A function or class at the top of a module may be registered again: a cell of a notebook was run twice, or a
        module reloaded.

        Raises:
            UserError: the name is not one that a config and a command line take, or it is taken.
        """
        if not (isinstance(name, str) and NAME.fullmatch(name) and len(name) <= MAX_NAME):
            raise UserError(
                "registry.invalid_name",
                f"{name!r} cannot be the name of a {self.kind}: use up to {MAX_NAME} letters, digits and _ - + . /, "
                f'as in @register_{self.kind}("my_{self.kind}")',
            )

        def register(source: Source) -> Source:
            module = str(getattr(source, "__module__", None))
            if not module.startswith(OURS):
                self._import_built_in()
            if module == "__main__":
                _of_script.append(name)
            owner = f"{module}.{getattr(source, '__qualname__', f'<{type(source).__qualname__}>')}"
            taken = self._owners.get(name)
            if taken is not None and (taken != owner or "<" in owner):  # <locals>, <lambda> and <partial> are many
                raise UserError("registry.name_taken", f"the {self.kind} '{name}' is registered already, by {taken}")
            self._values[name] = value_of(source)
            self._owners[name] = owner
            if not module.startswith(OURS):
                self._plugins[name] = _package.get() or module
            return source

        return register

    def all(self, *, plugins: bool = True) -> dict[str, T]:
        """All values by name; without `plugins`, plug-ins that are not loaded yet are left out."""
        self._import_built_in()
        if plugins:
            load_plugins()
        return dict(self._values)

    def get(self, name: str) -> T | None:
        """The value of a name, or None."""
        self._import_built_in()
        if name not in self._values:
            load_plugins()
        return self._values.get(name)

    def plugin(self, name: str) -> str | None:
        """The package with its version, or else the module, that a name comes from; None if it is built in."""
        return self._plugins.get(name)

    def _import_built_in(self) -> None:
        for module in self._built_in:
            import_module(module)


def nearest(name: str, names: Iterable[str], n: int = 1) -> list[str]:
    """The names closest to one that does not exist, whatever its case; a dash counts as an underscore.

    >>> nearest("Balanced-Rankd", ["balanced_ranked", "random"])
    ['balanced_ranked']
    """
    plain = {own.lower().replace("-", "_"): own for own in names}
    return [plain[close] for close in difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=n)]


_package: ContextVar[str | None] = ContextVar("package", default=None)  # whose plug-in is being imported
_lock = threading.RLock()
_loaded = False
_failed: list[str] = []
_of_script: list[str] = []  # names that the script or notebook registered that runs here


def registered_by_script() -> bool:
    """Whether other processes need the script that runs here to know all names."""
    return bool(_of_script)


def load_plugins() -> None:
    """Import the plug-ins of all installed packages, once in a process.

    One that fails is named in a warning; the others are imported all the same.
    """
    global _loaded
    with _lock:
        if _loaded:
            return
        _loaded = True  # first: a plug-in may look names up while it is imported
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else point.module
            token = _package.set(package)
            try:
                with redirect_stdout(sys.stderr):  # standard output is for results
                    point.load()
            except (Exception, SystemExit) as error:
                _warn(f"{point.name} = {point.value} of {package}", error)
            finally:
                _package.reset(token)


def _warn(plugin: str, error: BaseException) -> None:
    problem = f"the plug-in {plugin} cannot be loaded: {type(error).__name__}: {first_line(error)}{raised_at(error)}"
    _failed.append(problem)
    if os.environ.get("RANK", "0") == "0":  # the first of the processes that torchrun started, or the only one
        logger.warning("%s", problem)


def failed_plugins() -> str:
    """What to add to a message about a name that is missing: the plug-ins that could not be loaded, or nothing."""
    return "".join(f"; {problem}" for problem in _failed)
