"""Reports on runs in buckets: copies of the small files that a report needs, and pages that are written there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidsemi.data.dedup.checks import FILE as DUPLICATES
from vidsemi.io.download import download
from vidsemi.io.errors import UserError
from vidsemi.io.files import prepare_target
from vidsemi.io.store import Place, read_many
from vidsemi.pipeline.cost.plan import PLAN
from vidsemi.pipeline.precision import PRECISION
from vidsemi.pipeline.record import RECORD
from vidsemi.pipeline.results import RESULTS
from vidsemi.pipeline.stages import CLASSES, PREDICTIONS, SELECTION
from vidsemi.reporting.previews import FOLDER
from vidsemi.training.log import LOG

if TYPE_CHECKING:
    from vidsemi.io.object_store import RemotePath

# Not weights, checkpoints, scores or features, which are large.
NEEDED = {RESULTS, RECORD, PLAN, DUPLICATES, LOG, CLASSES, PREDICTIONS, SELECTION, PRECISION}
ROOM = 1 << 30  # bytes that stay free on the disk
LONGEST_NAME = 200  # bytes; no file of a page has a longer one, and file systems allow 255


@contextmanager
def local_run(run: Place, *, previews: bool) -> Iterator[Path]:
    """A run's directory, or a copy of what a report reads of one in a bucket, which is removed in the end.

    Args:
        run: the directory or its address; the copy's path ends like it.
        previews: whether the report shows previews, so that those that are kept are needed too.

    Raises:
        UserError: it has no results, the copy has no room, or the bucket cannot be reached or refuses.
    """
    if isinstance(run, Path):
        yield run
        return
    sizes = {name: size for name, size in run.walk().items() if _is_needed(name, previews)}
    if RESULTS not in sizes:
        raise UserError("results.missing", f"{run} has no {RESULTS}: no network has been evaluated yet")
    with tempfile.TemporaryDirectory(prefix="vidsemi-report-") as temporary:
        room = shutil.disk_usage(temporary).free - ROOM
        if (total := sum(sizes.values())) > room:
            raise UserError(
                "report.no_room",
                f"a report needs {total} bytes of {run}, but {tempfile.gettempdir()} has room for {max(room, 0)}; set "
                "TMPDIR to a folder with more",
            )
        folder = Path(temporary, *str(run).replace("://", "/").split("/"))
        for _ in read_many(partial(_copy, run, folder), [*sizes], remote=True):
            pass
        yield folder


def _is_needed(name: str, previews: bool) -> bool:
    """Whether a report reads a file; not if its name would lead out of the folder of copies."""
    path = PurePosixPath(name)
    kept = previews and path.parent.name == FOLDER and path.suffix == ".webp"
    safe = name.isprintable() and name == str(path) and ".." not in path.parts and not path.is_absolute()
    return safe and (path.name in NEEDED or kept)


def _copy(run: "RemotePath", folder: Path, name: str) -> None:
    download(run / name, folder / name)


@contextmanager
def local_file(file: Place) -> Iterator[Path]:
    """A file, or a copy of one in a bucket, which is removed in the end."""
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="vidsemi-page-") as temporary:
        download(file, Path(temporary) / file.name)
        yield Path(temporary) / file.name


@contextmanager
def page_folder(output: Place, media: str) -> Iterator[Path]:
    """A folder of this machine to write a page to, whose files then go to the bucket, if the output is there.

    The pictures of the page go first and the page last; then what was removed from the folder is removed there. If the
    block raises, nothing changes.

    Args:
        output: the folder or address of the page.
        media: name of the page's folder of pictures in it.

    Raises:
        UserError: the bucket cannot be reached or refuses.
    """
    if isinstance(output, Path):
        yield output
        return
    prepare_target(output / "report.html")
    with tempfile.TemporaryDirectory(prefix="vidsemi-page-") as temporary:
        folder = Path(temporary)
        there = [name for name in output.names() if name != media]  # as a marker of a folder is listed
        there += [f"{media}/{name}" for name in (output / media).names()]
        there = [name for name in there if name.isprintable() and len(name.encode()) < LONGEST_NAME]
        for name in there:  # empty files in their place, so that who writes the page finds what is outdated
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        yield folder
        written = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size]
        written.sort(key=lambda file: (file.suffix == ".html", file.parent == folder, file))
        for file in written:
            (output / file.relative_to(folder).as_posix()).write_bytes(file.read_bytes())
        for name in there:
            if not (folder / name).exists():
                (output / name).unlink()
