"""The documents: commands parse, links resolve, YAML examples are valid, and keys and numbers match the code."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import REPOSITORY
from tools.bench import command as bench
from tools.gpu import check as gpu_check
from vidsemi.cli import main as cli
from vidsemi.data.manifest_file import write_manifest
from vidsemi.models.weights_file import load_spec

PAGES = sorted(
    page for pattern in ("*.md", "docs/**/*.md", "datasets/*/README.md") for page in REPOSITORY.glob(pattern)
)


NOT_CODES_IN_THE_FAQ = {
    "hashtags.min_examples",
    "runtime.deterministic",
    "runtime.workers",
    "select.per_class",
    "select.per_example",
    "torch.save",
}


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def commands(page: Path) -> list[list[str]]:
    """The command lines in a page's code: fenced as sh, or indented."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).splitlines()
    lines += re.findall(r"^ {4,}.*$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return [shlex.split(line.strip()) for line in lines if re.match(r"\s*(vidsemi|python tools/\w+\.py|make) ", line)]


def test_documents_have_commands():
    assert sum(len(commands(page)) for page in PAGES) > 80


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_documents_are_commands(page: Path):
    for words in commands(page):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE), words
            continue
        if words[0] == "python":
            script = REPOSITORY / words[1]
            assert script.is_file(), words
            if parser := {"bench": bench.build_parser, "gpu_check": gpu_check.build_parser}.get(script.stem):
                parser().parse_args(words[2:])
                continue
            words = [words[0], script.stem, *words[2:]]
        cli.parse(cli.build_parser(), words[1:])  # raises if it is not a command


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_have_headers(page: Path):
    for header in re.findall(r"^(\|.*)\n\|[-:| ]+\|$", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert all(cell.strip() for cell in header.strip("|").split("|")), header


def test_modules_named_in_the_architecture_exist():
    page = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    assert page.count("\n") <= 60
    packages = {path.name for path in (REPOSITORY / "vidsemi").iterdir() if path.is_dir()}
    named = {name for name in re.findall(r"[a-z]+(?:/[a-z0-9_]+)+", page) if name.split("/")[0] in packages}
    assert len(named) > 40
    for name in named:
        module = REPOSITORY / "vidsemi" / name
        assert module.with_suffix(".py").exists() or module.is_dir(), name


def test_error_codes_in_the_faq_exist():
    code = "".join(file.read_text(encoding="utf-8") for file in REPOSITORY.glob("vidsemi/**/*.py"))
    page = (REPOSITORY / "docs/faq.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", page)) - NOT_CODES_IN_THE_FAQ
    assert len(named) > 80
    for name in named:
        assert f'"{name}"' in code, name
    rows = re.findall(r"^\| (`[a-z_]+\.[a-z_]+`.*) \|$", page, re.MULTILINE)
    assert len(rows) > 50
    for row in rows:  # the codes, what they mean, what to do
        assert len(row.split(" | ")) == 3 and all(row.split(" | ")), row


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_and_scripts_named_in_documents_exist(page: Path):
    for name in re.findall(
        r"`((?:docs|datasets|configs|tests|tools|vidsemi)/[\w/.]+\.\w+)`", page.read_text(encoding="utf-8")
    ):
        if not (page.name == "architecture.md" and "NNN" in name):
            assert (REPOSITORY / name).exists(), name


def test_yaml_examples_are_configs():
    from vidsemi.config import Config, Data

    (block,) = re.findall(
        r"```yaml\n(.*?)```", (REPOSITORY / "docs/guides/manifests.md").read_text(encoding="utf-8"), re.DOTALL
    )
    data = Data.model_validate(yaml.safe_load(block)["data"])
    assert data.test.root == "/videos/val"
    whole = [
        text
        for page in PAGES
        for text in re.findall(r"^```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if text.startswith("output:")
    ]
    assert whole
    for text in whole:
        Config.model_validate(yaml.safe_load(text))


def test_the_config_reference_is_that_of_the_code():
    script = REPOSITORY / "docs" / "make_config_reference.py"
    made = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert made.stdout == (REPOSITORY / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert "| |\n" not in made.stdout  # every key says what it means


def test_the_table_of_the_readme_is_that_of_the_results_page():
    """Row by row, in the columns that both have."""

    def rows(page: str) -> list[dict[str, str]]:
        table = re.search(
            r"^\| student .*\n\|-.*\n(\|.*\n)+", (REPOSITORY / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert table
        header, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines())
        return [dict(zip(header, line, strict=True)) for line in lines]

    measured = rows("docs/results.md")
    for row in rows("README.md"):
        own = {name: value for name, value in row.items() if name in measured[0]}
        assert {"student", "approach", "top-1 %", "GMAC / view"} <= own.keys()
        assert any(own.items() <= other.items() for other in measured), row


@pytest.mark.slow
def test_the_questions_to_scores_have_answers(
    tmp_path: Path, shapes: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every SQL block of docs/guides/scoring.md runs on a scored dataset as it stands, and says something true."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [
        str(tmp_path / "gone.mp4"),
        *map(str, sorted((shapes / "test").glob("*.mp4"))),
        str(tmp_path / "broken.mp4"),
    ]
    write_manifest(Path("data/unlabeled.parquet"), {"path": paths})
    words = ["--weights", str(weights), "--manifest", "data/unlabeled.parquet", "--output", "scores", "--views", "2"]
    assert cli.main(["score", *words, "--shard-size", "7", "--workers", "0", "--device", "cpu"]) == 0
    page = (REPOSITORY / "docs/guides/scoring.md").read_text(encoding="utf-8")
    highest, names, lost, between, whole, sure = (
        duckdb.sql(block) for block in re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    )
    assert highest.columns == ["path", "score"] and 0 < len(highest) <= 16
    assert {path for path, _ in highest.fetchall()} <= set(paths[1:-1])
    counts = names.fetchall()
    assert len(counts) == 8 and sum(videos for _, videos in counts) == 16
    assert {example for _, _, example in lost.fetchall()} == {paths[0], paths[-1]}
    assert between.columns == ["example_id", "best", "second"]
    assert whole.fetchall() == [(16, 2, 18)]
    assert all(best >= median >= least > 0 for _, (best, median, least) in sure.fetchall())


@pytest.mark.slow
def test_the_submissions_work(
    tmp_path: Path,
    shapes: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Every SQL and Python block of docs/guides/predictions.md, on a labeled manifest with an unreadable file."""
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    names = load_spec(weights).classes
    Path("classes.txt").write_text("\n".join([*reversed(names), 'a "quoted", unseen class']))
    videos = sorted((shapes / "test").glob("*.mp4"))
    labels = [names[place % 8] for place in range(len(videos))]
    Path("broken.mp4").write_bytes(b"no video")
    write_manifest(Path("test.csv"), {"path": [*map(str, videos), "broken.mp4"], "label": [*labels, names[0]]})
    words = ["--weights", str(weights), "--manifest", "test.csv", "--output", "predictions.parquet", "--views", "2"]
    assert cli.main(["predict", *words, "--workers", "0", "--device", "cpu"]) == 0
    table = pq.read_table("predictions.parquet").to_pylist()
    best = [row["class_1"] for row in table]
    page = (REPOSITORY / "docs/guides/predictions.md").read_text(encoding="utf-8")
    first, five, mistakes, confused = (duckdb.sql(block) for block in re.findall(r"```sql\n(.*?)```", page, re.DOTALL))
    assert first.fetchall() == five.fetchall() == [(17,)]

    with open("submission.csv", newline="") as file:
        rows = list(csv.reader(file))
    stems = [file.stem for file in videos]
    assert rows[0] == ["id", "label"] and [row[0] for row in rows[1:]] == [*stems, "broken"]
    assert [row[1] for row in rows[1:-1]] == best[:-1]
    assert best.count(rows[-1][1]) == max(map(best.count, best[:-1]))

    with open("submission_top5.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [*stems, "broken"]
    for place, row in enumerate(rows[1:-1]):
        guesses = [names.index(table[place][f"class_{rank}"]) for rank in range(1, 6)]
        assert row[1] == " ".join(str(7 - guess) for guess in guesses)

    wrong = [place for place, label in enumerate(labels) if best[place] != label]
    assert {path for path, *_ in mistakes.fetchall()} == {str(videos[place]) for place in wrong}
    assert sum(count for *_, count in confused.fetchall()) == len(wrong)

    for name in ("video.mp4", "other.mp4"):
        shutil.copy(videos[0], name)
    predict, script = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(predict, {})
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split(" ")[0] for line in lines[1:]] == ["video.mp4", "other.mp4"]
    assert lines[0].rsplit(" ", 1)[0] in names and repr(lines[0].rsplit(" ", 1)[0]) in lines[1]
    exec(script, {})
    results = json.loads(Path("submission.json").read_text())["results"]
    assert list(results) == [*stems, "broken"] and results["broken"] == []
    assert results[stems[0]][4] == {"label": table[0]["class_5"], "score": table[0]["score_5"]}


def test_no_package_hides_in_datasets():
    assert not (REPOSITORY / "datasets" / "__init__.py").exists()
