"""The worst mistakes on the test set: the examples that the best network is most certain of, and wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.io.errors import UserError
from vidsemi.io.parquet import open_parquet
from vidsemi.pipeline.manifests import read_manifest
from vidsemi.reporting.gallery import Card, Strip, gallery, missing_notes, preview_counts
from vidsemi.reporting.previews import FOLDER, PreviewMaker
from vidsemi.reporting.results import TEACHERS, RunResults, student_of
from vidsemi.reporting.section import Section

ROWS = 1 << 16  # of predictions that are read at once
PER_COUNT = 6  # mistakes for each example of a class that is shown elsewhere
COLUMNS = {"example_id": pa.int64(), "label": pa.string(), "class_1": pa.string(), "score_1": pa.float32()}


def mistake_sections(runs: Sequence[RunResults], maker: PreviewMaker) -> list[Section]:
    """The worst mistakes of the best network of each run, the best student if there is one."""
    sections = []
    for run in runs:
        rows = [row for row in run.rows if isinstance(row.get("predictions"), str)]
        rows = [row for row in rows if row["approach"] not in TEACHERS] or rows
        if rows:
            best = max(rows, key=lambda row: row["top1"])
            where = f"{run.name}, " if len(runs) > 1 else ""
            title = f"Worst mistakes: {where}{student_of(best)} ({best['approach']}, seed {best['seed']})"
            sections.append(_section(title, run.folder / best["predictions"], best, maker))
    return sections


def _section(title: str, file: Path, row: dict[str, Any], maker: PreviewMaker) -> Section:
    try:
        mistakes, wrong, total = worst_mistakes(file, PER_COUNT * maker.count)
        manifest = read_manifest(file.parent, "test")
        examples = [manifest.row(example) for example, *_ in mistakes]
    except (UserError, IndexError) as error:  # the rest of the report is still worth writing
        return Section(title, text=[f"No examples are shown: {error}."])
    if not mistakes:
        return Section(title, text=[f"All {total} test examples that could be read are right."])
    previews = maker.make(examples, file.parent / FOLDER)
    cards = [
        Card(example, preview, f"predicted {predicted}", f"{score:.3f}", [f"is {true}"])
        for example, preview, (_, true, predicted, score) in zip(examples, previews, mistakes, strict=True)
    ]
    notes = [
        f"{wrong} of {total} test examples that could be read are wrong; these are the {len(cards)} with the highest "
        "score of the wrong class.",
        *missing_notes(previews),
    ]
    html, media = gallery([Strip("", cards)], "a class", notes)
    data = {"previews": [{"section": title, **preview_counts(previews)}]}
    return Section(title, html=html, files=media, data=data)


def worst_mistakes(file: Path, most: int) -> tuple[list[tuple[int, str, str, float]], int, int]:
    """The wrong predictions with the highest scores, of those in a file by `write_predictions`.

    Returns:
        (example id, true class, predicted class, score) of each; how many predictions are wrong; how many there are.

    Raises:
        UserError: the file is missing, damaged or has no labels.
    """
    worst, wrong, total = pa.schema([*COLUMNS.items()]).empty_table(), 0, 0
    try:
        with open_parquet(file, in_batches=True) as parquet:
            for name, kind in COLUMNS.items():
                if parquet.schema_arrow.field(name).type != kind:
                    raise TypeError(f"the column '{name}' must be {kind}")
            for batch in parquet.iter_batches(ROWS, columns=[*COLUMNS]):
                read = pa.Table.from_batches([batch]).select([*COLUMNS]).filter(pc.is_valid(batch.column("class_1")))
                same = pc.fill_null(pc.equal(read.column("label"), read.column("class_1")), False)
                mistakes = read.filter(pc.invert(same))
                total, wrong = total + len(read), wrong + len(mistakes)
                worst = _first(pa.concat_tables([worst, mistakes]), most)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError("predictions.unreadable", f"cannot read the predictions {file}: {reason}") from None
    columns = (worst.column(name).to_pylist() for name in COLUMNS)
    return [(one, str(label), str(top), score) for one, label, top, score in zip(*columns, strict=True)], wrong, total


def _first(mistakes: pa.Table, most: int) -> pa.Table:
    """Those with the highest scores."""
    example, score = (mistakes.column(name).to_numpy() for name in ("example_id", "score_1"))
    return mistakes.take(np.lexsort((example, -score))[:most])
