"""Texts of strangers in CSV files: spreadsheets must not execute them, and they must come back as they were."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

# What a spreadsheet takes for a formula, perhaps after apostrophes, as in `vidsemi.io.tables`.
FORMULA = r"^'*(\s*[=+\-@]|[\t\r])"
MARKED = FORMULA.replace("*", "+", 1)


class CsvWriter:
    """Writes tables to a CSV file, with an apostrophe before each text that looks like a formula."""

    def __init__(self, file: Path, schema: pa.Schema):
        self._writer = pyarrow.csv.CSVWriter(file, schema)

    def __enter__(self) -> "CsvWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write_table(self, table: pa.Table) -> None:
        """Write the rows of a table."""
        for place, name in enumerate(table.column_names):
            if pa.types.is_string(table.schema.field(name).type):
                table = table.set_column(place, table.schema.field(name), _marked(table.column(name)))
        self._writer.write_table(table)


def unmarked(table: pa.Table) -> pa.Table:
    """Undo what `CsvWriter` does to texts."""
    for place, name in enumerate(table.column_names):
        column = table.column(name)
        if pa.types.is_string(column.type) and pc.any(is_marked := pc.match_substring_regex(column, MARKED)).as_py():
            original = pc.if_else(is_marked, pc.utf8_slice_codeunits(column, 1), column)
            table = table.set_column(place, table.schema.field(name), original)
    return table


def _marked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    formula = pc.match_substring_regex(column, FORMULA)
    if not pc.any(formula).as_py():
        return column
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)
