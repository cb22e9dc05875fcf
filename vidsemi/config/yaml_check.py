"""Checks of a YAML file before its values are built: keys given twice, and few bytes that mean billions of values."""

from pathlib import Path

import yaml

from vidsemi.io.errors import UserError

MAX_BYTES = 1 << 20  # of a file; recipes have a few kilobytes
MAX_VALUES = 100_000  # of a file, with each alias counted as what it stands for; recipes have a few hundred
MAX_FILES = 30  # that one config inherits from
BASE = "_BASE_"


def check_file(file: Path) -> None:
    """Check a config and the files that it inherits from.

    Raises:
        UserError: one of them is not a file, too large, not YAML, has a key twice, or they are too many (a circle).
    """
    todo, number = [file], 0
    while todo:
        number += 1
        if number > MAX_FILES:
            raise UserError(
                "config.unreadable",
                f"{file} inherits from more than {MAX_FILES} files, or in a circle; the last is {todo[-1]}",
            )
        todo += _check_one(todo.pop())


def check_text(text: str, where: str) -> yaml.Node | None:
    """Check the text of a file or of an override, which errors call `where`; returns what it consists of.

    Raises:
        UserError: it has a key twice, or too many values.
        yaml.YAMLError: it is not YAML.
        RecursionError: it is nested too deeply.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        _count(root, {}, where)
    return root


def _check_one(file: Path) -> list[Path]:
    """Check one file; returns the files that it inherits from."""
    if not file.is_file():
        raise UserError("config.unreadable", f"{file}, which a config inherits from, is not a file")
    if file.stat().st_size > MAX_BYTES:
        raise UserError("config.too_large", f"{file} has more than {MAX_BYTES:,} bytes, which no config needs")
    try:
        root = check_text(file.read_text(encoding="utf-8-sig"), str(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError("config.unreadable", f"{file} cannot be read as a config: {reason}") from None
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    base = next((value for key, value in pairs if key.value == BASE), None)
    names = base.value if isinstance(base, yaml.SequenceNode) else [base] if base is not None else []
    for name in names:
        if not (isinstance(name, yaml.ScalarNode) and name.value) or "://" in name.value or "\0" in name.value:
            raise UserError("config.unreadable", f"{file}: {BASE} must be the name of a file")
    return [file.parent / Path(name.value).expanduser() for name in names]


def _count(node: yaml.Node, known: dict[int, int], where: str) -> int:
    """Count the values below a node, those of aliases each time; `known` has those of nodes met before."""
    number = known.get(id(node))
    if number is None:
        known[id(node)] = MAX_VALUES + 1  # for an alias of what it is itself a part of
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node, where)
            number = 1 + sum(_count(part, known, where) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            number = 1 + sum(_count(part, known, where) for part in node.value)
        else:
            number = 1
        known[id(node)] = number
    if number > MAX_VALUES:
        raise UserError("config.too_large", f"{where} has more than {MAX_VALUES} values, aliases included")
    return number


def _refuse_repeated_keys(node: yaml.MappingNode, where: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                raise UserError(
                    "config.repeated_key",
                    f"{where}: the key {key.value} is given twice, in lines {lines[name]} and {line}; remove one",
                )
            lines[name] = line
