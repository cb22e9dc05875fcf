"""`browse`: the examples of a selection on a page of its own."""

from collections.abc import Sequence
from os import PathLike

from vidsemi.api.arguments import PathArgument, check_count, manifest_of, place_of
from vidsemi.data.joined import join
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.io.store import Place
from vidsemi.reporting.browse import browse_selection
from vidsemi.reporting.previews import DEFAULT_COUNT, MAX_COUNT, PreviewMaker
from vidsemi.runtime.process import usable_cores


def browse(
    selection: PathArgument,
    output: PathArgument | None = None,
    *,
    manifest: Manifest | PathArgument | Sequence[PathArgument] | None = None,
    root: PathArgument | None = None,
    scores: PathArgument | Sequence[PathArgument] | None = None,
    previews: int = DEFAULT_COUNT,
    workers: int | None = None,
    progress: ShowProgress = None,
) -> Place:
    """Write an HTML page with examples of each class of a selection, as short looping previews.

    Args:
        selection: file of `vidsemi.select` or of a run, or its address (s3://bucket/selection.parquet).
        output: page to write, or its address; by default the selection's name with the suffix .html.
        manifest: the examples that were scored, or several files in the order of their scores; not needed for a
            selection in the directory of a run, unless that is in a bucket.
        root: folder that relative paths of the manifest start from, by default its own.
        scores: directory of scores that the selection was made from, or several, to show examples that were just not
            selected; not needed in the directory of a run.
        previews: examples of each class to show.
        workers: processes that decode; by default one per core, with 0 this one.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the page. Files of a large one are in a folder beside it. Previews are kept in a folder beside the selection,
        unless that is in a bucket.

    Raises:
        UserError: the selection or the manifest cannot be read, or they do not belong together.
    """
    file = place_of("selection", selection)
    check_count("previews", previews, MAX_COUNT)
    count = usable_cores() if workers is None else check_count("workers", workers, 1024, least=0)
    if manifest is None and root is not None:
        raise UserError("options.invalid", "root is the folder that relative paths of a manifest start from; give both")
    with show_progress(progress):
        return browse_selection(
            file,
            file.with_suffix(".html") if output is None else place_of("output", output),
            manifest=None if manifest is None else _manifest(manifest, root),
            scores=None if scores is None else [place_of("scores", one) for one in _listed(scores)],
            maker=PreviewMaker(previews, workers=count, seconds=None),
        )


def _manifest(manifest: Manifest | PathArgument | Sequence[PathArgument], root: PathArgument | None) -> Manifest:
    if isinstance(manifest, Manifest):
        return manifest_of(manifest, root)
    return join([manifest_of(one, root) for one in _listed(manifest)])


def _listed(values: PathArgument | Sequence[PathArgument]) -> list[PathArgument]:
    return [values] if isinstance(values, str | PathLike) else [*values]
