"""A page of a selection alone, without a run."""

from collections.abc import Sequence
from pathlib import Path

from vidsemi.data.joined import parts_of
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import keep_inputs, prepare_target
from vidsemi.io.store import Place
from vidsemi.pipeline.manifests import score_folders
from vidsemi.reporting.buckets import local_file, page_folder
from vidsemi.reporting.page_files import write_page
from vidsemi.reporting.previews import PreviewMaker
from vidsemi.reporting.selected_examples import data_of, selected_section, true_labels_of
from vidsemi.reporting.selections import selection_section
from vidsemi.selection.result import read_selection_info

NOT_OF_A_RUN = ("stage.no_record", "stage.no_scores", "stage.no_manifest")


def browse_selection(
    file: Place, output: Place, *, manifest: Manifest | None, scores: Sequence[Place] | None, maker: PreviewMaker
) -> Place:
    """Write the page of a selection.

    Args:
        file: the selection; previews are kept beside it, unless it is in a bucket.
        output: the page, or its address.
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
        manifest, known = _data_of(file)
        scores = known if scores is None else scores
    if scores is None:
        try:
            scores = score_folders(file.parent) if isinstance(file, Path) else []
        except UserError:
            scores = []
    with local_file(file) as copy, page_folder(output.parent, f"{output.stem}_files") as folder:
        truth = true_labels_of(copy)
        sections = [selected_section("What was selected", copy, manifest, scores, maker, true_labels=truth)]
        sections.append(selection_section("Candidates of each class", info))
        write_page(folder / output.name, f"Examples of {file.name}", sections)
    return output


def _data_of(file: Place) -> tuple[Manifest, list[Place]]:
    """What the directory of a run says of a selection in it."""
    try:
        if isinstance(file, Path):
            return data_of(file)
    except UserError as error:
        if error.code not in NOT_OF_A_RUN:
            raise
    raise UserError("browse.missing_manifest", f"{file} does not say where its examples are: give their --manifest")
