"""A page of a selection alone, without a run."""

from collections.abc import Sequence
from pathlib import Path

from vidsemi.data.joined import parts_of
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import keep_inputs, prepare_target
from vidsemi.io.store import Place
from vidsemi.pipeline.manifests import score_folders
from vidsemi.reporting.page_files import write_page
from vidsemi.reporting.previews import PreviewMaker
from vidsemi.reporting.selected_examples import data_of, selected_section, true_labels_of
from vidsemi.reporting.selections import selection_section
from vidsemi.selection.result import read_selection_info

NOT_OF_A_RUN = ("stage.no_record", "stage.no_scores", "stage.no_manifest")


def browse_selection(
    file: Path, output: Path, *, manifest: Manifest | None, scores: Sequence[Place] | None, maker: PreviewMaker
) -> Path:
    """Write the page of a selection.

    Args:
        file: the selection.
        output: the page.
        manifest: the examples that were scored; None looks for the one of the run that the selection is in.
        scores: directories of scores that it was made from; None looks for those of the run.
        maker: of previews.

    Returns:
        the page.

    Raises:
        UserError: the selection cannot be read, or its manifest is not known, cannot be read or is another one.
    """
    info = read_selection_info(file)
    keep_inputs(output, file, *(part.file for part in parts_of(manifest)) if manifest else ())
    prepare_target(output)
    if manifest is None:
        try:
            manifest, known = data_of(file)
        except UserError as error:
            if error.code not in NOT_OF_A_RUN:
                raise
            raise UserError(
                "browse.missing_manifest", f"{file} does not say where its examples are: give their --manifest"
            ) from None
        scores = known if scores is None else scores
    if scores is None:
        try:
            scores = score_folders(file.parent)
        except UserError:
            scores = []
    truth = true_labels_of(file)
    sections = [selected_section("What was selected", file, manifest, scores, maker, true_labels=truth)]
    write_page(output, f"Examples of {file.name}", [*sections, selection_section("Candidates of each class", info)])
    return output
