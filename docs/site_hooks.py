"""Hooks of MkDocs: pages of the repository outside docs/ become pages of the site, and links between them work.

README.md is the front page, CONTRIBUTING.md `contributing.md`, datasets/kinetics/README.md `datasets/kinetics.md`.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[1]


def outside() -> dict[str, str]:
    """Pages outside docs/: path in the repository → path in the site."""
    found = {page.name: page.name.lower() for page in sorted(REPOSITORY.glob("*.md"))}
    found["README.md"] = "index.md"
    for page in sorted(REPOSITORY.glob("datasets/*/README.md")):
        found[page.relative_to(REPOSITORY).as_posix()] = f"datasets/{page.parent.name}.md"
    return found


def on_config(config: Any) -> Any:
    """List the datasets in the navigation."""
    (section,) = [entry for entry in config.nav if "Datasets" in entry]
    section["Datasets"] = [target for target in outside().values() if target.startswith("datasets/")]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/."""
    for source, target in outside().items():
        files.append(File.generated(config, target, content=(REPOSITORY / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the pages of the site; what is not on it (a config, the license) loses its link."""
    sources = {target: source for source, target in outside().items()}
    here = page.file.src_uri
    folder = os.path.dirname(sources.get(here, f"docs/{here}"))

    def link(match: re.Match[str]) -> str:
        label, target, anchor = match.groups(default="")
        path = os.path.normpath(os.path.join(folder, target))
        to = outside().get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        return f"[{label}]({os.path.relpath(to, os.path.dirname(here) or '.')}{anchor})" if to else label

    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)", link, markdown)
