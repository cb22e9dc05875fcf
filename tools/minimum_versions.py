"""Print the lowest versions that pyproject.toml allows, as constraints for pip; see `make test-minimum`."""

import re
import tomllib
from pathlib import Path


def minimum_versions() -> dict[str, str]:
    """The lowest versions of the dependencies, without those of extras."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.match(r"([\w-]+)>=([\w.]+)", requirement) for requirement in project["dependencies"])
    return {match[1]: match[2] for match in found if match}


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in minimum_versions().items()))
