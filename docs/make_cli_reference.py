"""Generate docs/reference/cli.md from the parser of the command line.

python docs/make_cli_reference.py > docs/reference/cli.md
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from vidsemi.cli.main import build_parser

HEAD = """# Command line reference: every command and option

`vidsemi COMMAND --help` prints the same. From a checkout, `python tools/run.py` is `vidsemi run`; `score.py`,
`select.py`, `transfer.py` and `report.py` stand beside it. With `--json`, every command prints one JSON document on
standard output and nothing else; progress and messages always go to standard error. See also
[exit status](../guides/running.md#exit-status-and-json-output) and [error codes](../faq.md).

This page is generated from the parser by `docs/make_cli_reference.py`.
"""

GUIDES = {
    "browse": "selecting.md#look-at-a-selection",
    "convert": "models.md#convert-published-weights-for-other-commands",
    "evaluate": "running.md#run-each-step-by-hand",
    "export": "exporting.md",
    "flops": "models.md#flops-and-parameters",
    "hashtags": "hashtags.md",
    "init": "own-videos.md",
    "manifest": "manifests.md",
    "models": "models.md",
    "plan": "costs.md",
    "predict": "predictions.md",
    "publish": "publishing.md",
    "report": "reporting.md",
    "run": "running.md",
    "score": "scoring.md",
    "select": "selecting.md",
    "shrink": "gpus.md#decode-less-vidsemi-shrink",
    "transfer": "transfer.md",
}


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def rows(parser: argparse.ArgumentParser) -> list[str]:
    """A table row for each positional argument and option, in the order of --help."""
    hidden = ("help", "json")  # the head of the page has them
    return [row(action) for action in parser._actions if action.help != argparse.SUPPRESS and action.dest not in hidden]


def row(action: argparse.Action) -> str:
    """An argument as a row of a table: how it is written, what it means, and its default."""
    value = ""
    if action.nargs != 0:
        value = action.metavar or (
            "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
        )
        value = {"*": f"[{value} …]", "+": f"{value} …", "?": f"[{value}]"}.get(str(action.nargs), str(value))
    name = " ".join(filter(None, [", ".join(action.option_strings), value]))
    meaning = " ".join((action.help or "").split()) % {**vars(action), "prog": "vidsemi"}
    if action.required and action.option_strings:
        meaning += " (**required**)"
    meaning = re.sub(r"docs/(guides/\w+\.md)", lambda match: f"[guide](../{match[1]})", cell(meaning))
    return f"| `{cell(name)}` | {meaning} |"


def cell(text: str) -> str:
    """A text inside a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(lines: Iterable[str]) -> str:
    """Rows with their header."""
    return "\n".join(["| option | meaning |", "|---|---|", *lines, ""])


def sentence(parser: argparse.ArgumentParser) -> str:
    """What a command does."""
    return cell(parser.description or "")


def guide(name: str) -> str:
    """A link to the guide of a command, by the title of its page."""
    if name not in GUIDES:
        return ""
    page = Path(__file__).parent / "guides" / GUIDES[name].split("#")[0]
    title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"\n\nGuide: [{title}](../guides/{GUIDES[name]})."


def print_group(name: str, parser: argparse.ArgumentParser, inner: dict[str, argparse.ArgumentParser]) -> None:
    """Print a command that has commands of its own; options that all of them share are printed once."""
    shared = [line for line in rows(next(iter(inner.values()))) if all(line in rows(other) for other in inner.values())]
    print(f"These options are shared by all `vidsemi {name}` commands:\n\n{table(shared)}")
    for word, command in inner.items():
        own = [line for line in rows(command) if line not in shared]
        print(f"### vidsemi {name} {word}\n\n{sentence(command)}\n")
        if own:
            print(table(own))


def main() -> None:
    """Print the page."""
    print(HEAD)
    for name, parser in sorted(commands(build_parser()).items()):
        print(f"## vidsemi {name}\n\n{sentence(parser)}{guide(name)}\n")
        inner = commands(parser)
        if inner:
            print_group(name, parser, inner)
        else:
            print(table(rows(parser)))


if __name__ == "__main__":
    main()
