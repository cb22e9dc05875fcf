"""Every message of a UserError in the code, by its code. `python -m tests.helpers.messages` rewrites the snapshot."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SNAPSHOT = REPOSITORY / "tests" / "messages.txt"
FOLDERS = ("vidsemi", "datasets", "tools")


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call of UserError, and of a ValueError in the config, with its file."""
    for folder in FOLDERS:
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            name = "ValueError" if file.parent.name == "config" else "UserError"
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in (name, "UserError")
                ):
                    yield file, node


def code_of(call: ast.Call) -> str:
    """The code of an error; that of another error whose message it extends reads `error.code`."""
    return _text(call.args[0]).strip("{}") if len(call.args) == 2 else "config.invalid_value"


def snapshot() -> str:
    """A line a message: its code, then the wording, with the expressions in braces."""
    lines = set()
    for _, call in calls():
        lines.add(f"{code_of(call)}: {_text(call.args[-1])}")
    return "\n".join(sorted(lines)) + "\n"


def _text(node: ast.expr) -> str:
    """The wording of a literal, an f-string, or an expression."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{" + ast.unparse(value.value) + "}" if isinstance(value, ast.FormattedValue) else _text(value)
            for value in node.values
        )
    return "{" + ast.unparse(node) + "}"


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")
