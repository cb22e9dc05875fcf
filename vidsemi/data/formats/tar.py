"""WebDataset tars, as video2dataset and img2dataset write them: an index of their members, built once.

Members whose paths are equal up to the first dot of the file name form one sample: `000000017.mp4`, `000000017.json`,
`000000017.cls`. Names with other dots, such as `v1.0_a.mp4` and `v1.0_b.mp4`, can thus make one sample of two,
and give one the label of the other. So a sample with a label must have each suffix once; any other is refused.

Only headers and the small `.cls` members are read, and no video is opened.
"""

import io
import logging
import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.data.class_names import class_name, first_names, near_equal_warnings
from vidsemi.data.formats.media_files import MEDIA_SUFFIXES, VIDEO_SUFFIXES
from vidsemi.data.formats.portable_paths import portable_paths
from vidsemi.data.formats.registry import register_format
from vidsemi.data.formats.scan import ScanResult, write_missing
from vidsemi.io.errors import DecodeError, UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    import pyarrow as pa

    from vidsemi.data.formats.tar_journal import TarJournal
    from vidsemi.data.manifest import Row

logger = logging.getLogger("vidsemi")

LABEL = ".cls"
HEADER_BYTES = 1 << 20  # of a member's long name or attributes; more is not believed
LABEL_BYTES = 1000  # a longer one is not a class
COLUMN_NAMES = ("path", "label", "member", "offset", "size")


@dataclass
class TarScan(ScanResult):
    """Tars whose headers are read while the manifest is written, so that the index need not fit in memory."""

    tars: list[Path] = field(default_factory=list)
    workers: int = 0
    seconds: float = 600

    def require_examples(self, source: object, root: Path | None) -> None:
        """Nothing is known yet; `write` refuses tars without videos or images."""

    def write(self, manifest: Path, vocabulary: object = "") -> tuple[dict[str, Any], str]:
        """Write the manifest; list the tars that cannot be read completely in MANIFEST.missing.txt."""
        import pyarrow as pa

        from vidsemi.data.formats.tar_journal import TarJournal
        from vidsemi.data.manifest_file import COLUMNS, write_tables

        journal = TarJournal(manifest.with_suffix(".index"), self.tars)
        schema = pa.schema([(name, COLUMNS[name]) for name in COLUMN_NAMES])
        document = {"manifest": str(manifest), "examples": 0, "tars": len(self.tars)}
        labels: set[str] = set()
        write_tables(manifest, schema, self._tables(manifest, schema, document, labels, journal))
        journal.remove()
        text = f"{manifest}: {document['examples']} examples in {len(self.tars)} tars"
        if self.left_out:
            text += f"; {self.left_out} members were left out (images beside a video, links, sparse files)"
        text += write_missing(manifest, self.missing, self.missing_what)
        if labels:
            text += f"; {len(labels)} classes: {first_names(sorted(labels))}"
        warnings = near_equal_warnings(sorted(labels))
        for warning in warnings:
            logger.warning("%s: %s", manifest, warning)
        counts = {"left_out": self.left_out, "damaged": len(self.missing), "classes": len(labels)}
        return {**document, **counts, "warnings": warnings}, text

    def _tables(
        self,
        manifest: Path,
        schema: "pa.Schema",
        document: dict[str, Any],
        labels: set[str],
        journal: "TarJournal",
    ) -> "Iterator[pa.Table]":
        import pyarrow as pa

        from vidsemi.data.manifest import Row
        from vidsemi.data.reachable import Rows, read_reachable
        from vidsemi.io.progress import progress_bar

        rows = [Row(number, str(tar)) for number, tar in enumerate(self.tars)]
        todo = [row for row, tar in zip(rows, self.tars, strict=True) if tar not in journal]
        workers = min(self.workers, len(todo))
        with (
            closing(read_reachable(index_tar, todo, Rows(rows), workers=workers, seconds=self.seconds)) as indexes,
            progress_bar(len(rows), "tar", "index") as bar,
        ):
            try:
                for tar in self.tars:
                    index = journal[tar] if tar in journal else next(indexes)
                    bar.update()
                    error = index.reason if isinstance(index, DecodeError) else index.error
                    if error is not None:
                        self.missing.append(f"{tar}: {' '.join(error.split())}")
                    if isinstance(index, DecodeError):
                        continue
                    if tar not in journal:
                        journal.add(tar, index)
                    if index.ambiguous is not None:
                        first, second = map(printable, index.ambiguous)
                        raise UserError(
                            "tar.ambiguous_names",
                            f"{tar}: {first} and {second} have the same name up to the first dot, so WebDataset takes "
                            "them for one sample with one label; rename them without dots before the suffix",
                        )
                    document["examples"] += len(index.columns["member"])
                    self.left_out += index.left_out
                    labels.update(label for label in index.columns["label"] if label)
                    yield pa.table({**index.columns, "path": portable_paths(index.columns["path"], manifest)}, schema)
            except (UserError, GeneratorExit):
                raise
            except BaseException:  # interrupted
                journal.write()
                raise
        if not document["examples"]:
            why = f": {self.missing[0]}" if self.missing else ""
            raise UserError("tar.no_media", f"{len(rows)} tars do not contain any videos or images{why}")


@register_format(
    "tar",
    summary="WebDataset tars with videos or images",
    file="tars or folders of tars; patterns such as shards/{000000..000099}.tar or * are expanded",
    many_files=True,
    in_parallel=True,
)
def read_tars(patterns: Iterable[str], *, workers: int, seconds: float) -> TarScan:
    """Find the tars and folders of tars that patterns name, in this order.

    `{000000..000099}`, `{a,b}`, `*`, `?` and `[…]` are expanded; commands and addresses are refused.
    """
    from braceexpand import braceexpand

    tars: list[Path] = []
    for pattern in patterns:
        if "://" in pattern or pattern.startswith("pipe:"):
            raise UserError("tar.not_local", f"{pattern}: only local tars can be indexed; give the path of a copy")
        try:
            names = iter([pattern]) if os.path.exists(pattern) else braceexpand(pattern)
        except ValueError:
            raise UserError("tar.bad_pattern", f"{pattern}: a brace is not closed") from None
        for name in names:
            files = [name] if os.path.exists(name) else sorted(glob(name, recursive=True))
            if not files:
                origin = f" (from {pattern})" if name != pattern else ""
                raise UserError("tar.missing", f"tar {name} does not exist{origin}")
            for file in files:
                tars += sorted(Path(file).glob("*.tar")) if os.path.isdir(file) else [Path(file)]
    if not tars:
        raise UserError("tar.missing", f"{' '.join(patterns)} does not contain a .tar")
    tars = list(dict.fromkeys(tars))
    return TarScan(missing_what="tars are damaged", tars=tars, workers=workers, seconds=seconds)


class _Bounded(io.BufferedReader):
    """A file of which no header can make `tarfile` read gigabytes into memory, as long names are read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= HEADER_BYTES:
            raise tarfile.ReadError(f"has a header that claims {size} bytes")
        return super().read(size)


@dataclass
class TarIndex:
    """The members of a tar, in its order.

    Images beside a video of the same sample, members that are not plain files, and repeated names are left out.
    """

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMN_NAMES})
    left_out: int = 0
    error: str | None = None  # why the tar could not be read, or not to its end
    ambiguous: tuple[str, str] | None = None  # two members that may be of one sample or of two


def index_tar(tar: "Row") -> TarIndex:
    """Index the videos and images of the tar at a row's path."""
    index = TarIndex()
    samples: dict[str, Sample] = {}
    try:
        with _Bounded(io.FileIO(tar.path)) as file, tarfile.open(fileobj=file, mode="r:") as opened:
            for member in opened:
                _add_member(opened, member, samples, index)
            index.error = _error_at_end(tar.path, opened.offset)
    except tarfile.ReadError as error:
        index.error = str(error) if samples else f"is not an uncompressed tar ({error})"
    except (OSError, ValueError) as error:
        index.error = str(error)
    for sample in samples.values():
        _add_sample(tar.path, sample, index)
    return index


def _add_sample(path: str, sample: "Sample", index: TarIndex) -> None:
    """Add the examples of a sample: its videos, or its images if it has no video."""
    videos = [name for name in sample.media if _last_suffix(name) in VIDEO_SUFFIXES]
    chosen = videos or list(sample.media)
    index.left_out += len(sample.media) - len(chosen)
    index.ambiguous = index.ambiguous or _ambiguous(sample, chosen)
    for name in chosen:
        member = sample.media[name]
        shown = member.name.encode("utf-8", "replace").decode()  # only shown, never opened
        values = (path, next(iter(sample.labels.values()), None), shown, member.offset_data, member.size)
        for column, value in zip(COLUMN_NAMES, values, strict=True):
            index.columns[column].append(value)


def _ambiguous(sample: "Sample", chosen: list[str]) -> tuple[str, str] | None:
    """Two members that may be of different samples though WebDataset takes them for one; None if there are none."""
    first_of: dict[str, str] = {}
    for name in [*sample.labels, *chosen] if sample.labels else []:
        if (first := first_of.setdefault(_last_suffix(name), name)) != name:
            return first, name
    for label in sample.labels:  # a video that comes again has the label that came with it
        for name in chosen:
            if sample.times[name] != sample.times[label]:
                return name, label
    images = [name for name in sample.media if name not in chosen]
    if len(images) > len(set(map(_last_suffix, images))):
        strangers = [name for name in images if not _beside(name, chosen)]
        return (chosen[0], strangers[0]) if strangers else None
    return None


def _beside(image: str, videos: list[str]) -> bool:
    """Whether an image is named after one of the videos: `a.mp4`, `a.thumb.jpg`."""
    stem = os.path.splitext(image)[0]
    return any(f"{stem}.".startswith(f"{os.path.splitext(video)[0]}.") for video in videos)


def _error_at_end(path: str, end: int) -> str | None:
    """What is wrong with the end of a tar. `tarfile` takes anything that is not a header for the end.

    Two blocks of zeros end a tar, and nothing but zeros follows.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(end)
        if not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(1 << 20), b"")):
            return None if size - end >= 2 * tarfile.BLOCKSIZE else f"is truncated at byte {size}, without an end mark"
    return f"has no header at byte {end} of {size}; members after it cannot be found"


def _last_suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


@dataclass
class Sample:
    """The members of one sample, by name."""

    media: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)  # how often each name occurs


def _add_member(tar: tarfile.TarFile, member: tarfile.TarInfo, samples: dict[str, Sample], index: TarIndex) -> None:
    """Add a member to its sample, if it is a video, an image or a label."""
    folder, name = os.path.split(member.name)
    key = name.partition(".")[0]
    kind = _last_suffix(name)
    if not key or kind not in MEDIA_SUFFIXES | {LABEL}:
        return
    if not member.isreg() or member.issparse():
        index.left_out += 1
        return
    sample = samples.setdefault(os.path.join(folder, key), Sample())
    sample.times[member.name] += 1
    if kind != LABEL:
        index.left_out += member.name in sample.media  # the last of a name counts, as when a tar is unpacked
        sample.media[member.name] = member
    elif member.size <= LABEL_BYTES and (content := tar.extractfile(member)) is not None:
        sample.labels[member.name] = class_name(content.read().decode("utf-8-sig", "replace")) or None
