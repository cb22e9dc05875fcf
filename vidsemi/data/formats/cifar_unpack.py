"""CIFAR's own files become tars of PNGs, which lose nothing, and all else reads as it reads any image."""

import io
import tarfile
from pathlib import Path

from vidsemi.data.formats.cifar import Images, Layout, find_cifar, read_cifar
from vidsemi.data.formats.readers import Found, read_folder
from vidsemi.data.formats.tar import index_tar
from vidsemi.data.manifest import Row
from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar

IMAGES_A_TAR = 1000  # tars are never cut between the workers that score


def cifar_splits(source: Path, layout: Layout, output: Path) -> dict[str, Found]:
    """The labelled examples of the train and test splits.

    Args:
        source: the dataset's own files, or folders train/<class>/ and test/<class>/ of images.
        layout: of its own files.
        output: folder that gets tars of PNGs, in images/, if these are its own files.

    Raises:
        UserError: it is neither.
    """
    folder = find_cifar(source, layout)
    if folder is not None:
        splits = read_cifar(folder, layout)
        return {split: _pack(images, output / "images", split) for split, images in splits.items()}
    if (source / "train").is_dir() and (source / "test").is_dir():
        return {split: read_folder(source / split) for split in ("train", "test")}
    raise UserError(
        f"{source} has neither files of CIFAR, such as {layout.files['train'][0]}, nor folders train and test; "
        "an archive has to be unpacked first"
    )


def _pack(images: Images, folder: Path, split: str) -> Found:
    """Write tars of PNGs whose names tell nothing of their classes."""
    from PIL import Image

    found = Found()
    with progress_bar(len(images.labels), "image", split) as bar:
        for first in range(0, len(images.labels), IMAGES_A_TAR):
            file = folder / f"{split}-{first // IMAGES_A_TAR:06d}.tar"
            labels = images.labels[first : first + IMAGES_A_TAR]
            with atomic_path(file) as temporary, tarfile.open(temporary, "w") as tar:
                for number in range(first, first + len(labels)):
                    content = io.BytesIO()
                    Image.fromarray(images.planes[number].transpose(1, 2, 0)).save(content, "PNG")
                    member = tarfile.TarInfo(f"{split}-{number:06d}.png")
                    member.size = content.tell()
                    content.seek(0)
                    tar.addfile(member, content)
                    bar.update()
            index = index_tar(Row(0, str(file)))
            for place, label in enumerate(labels):
                values = {name: column[place] for name, column in index.columns.items()}
                found.add(**{**values, "label": label})
    return found
