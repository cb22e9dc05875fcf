"""The notebooks run from the first cell to the last, on a few tiny clips, and are stored without outputs."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY
from tests.docs.test_docs import anchors

NOTEBOOKS = sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb"))
TINY = {  # parameters that the tests change
    "LABELED, UNLABELED, TEST = 14, 120, 20": "LABELED, UNLABELED, TEST = 2, 6, 2",
    "LABELED, UNLABELED = 14, 120": "LABELED, UNLABELED = 2, 6",
    "EXAMPLES = 4000": "EXAMPLES = 64",
    "PER_CLASS, PER_EXAMPLE = 60, 2": "PER_CLASS, PER_EXAMPLE = 4, 2",
}


def read(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_stored_as_they_are_written(notebook: Path):
    """Without outputs, and with links that lead somewhere."""
    content = read(notebook)
    nbformat.validate(content)
    assert notebook.stat().st_size < 20_000
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in content.cells)
    text = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        assert (notebook.parent / target).exists(), target
        assert not anchor or anchor in anchors(notebook.parent / target)
    for cell in content.cells:
        assert all(len(line) <= 132 for line in cell.source.splitlines()), cell.source
        assert cell.cell_type == "markdown" or cell.source.count("\n") <= 25


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart", "selection"])
def test_a_notebook_runs(name: str, tmp_path: Path):
    content = read(REPOSITORY / "docs" / "notebooks" / f"{name}.ipynb")
    (parameters,) = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", [])]
    before = parameters.source
    for text, replacement in TINY.items():
        parameters.source = parameters.source.replace(text, replacement)
    assert before.count(" = ") == parameters.source.count(" = ") and "4000" not in parameters.source
    client = NotebookClient(
        content, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in content.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    tables = sum("text/html" in output.get("data", {}) for output in outputs)
    if name == "quickstart":
        assert "16 labeled, 54 unlabeled, 16 test clips" in printed
        assert re.search(r"labels only: [\d.]+%   with unlabeled clips: [\d.]+%", printed)
        assert (pictures, tables) == (2, 1)
    else:
        assert re.search(r"precision [\d.]+% of \d+ selected rows", printed)
        assert (pictures, tables) == (3, 4)
