"""Write the manifests of Kinetics-400, and of your own videos, with or without hashtags, as the unlabeled set.

    python datasets/kinetics/prepare.py --root /videos/k400 --output data/kinetics
    python datasets/kinetics/prepare.py --videos /videos/mine --hashtags mine.jsonl --output data/kinetics

The README beside this file says which files are looked for, and where. No video is opened.
"""

import argparse
import re
from collections.abc import Iterable
from itertools import compress
from pathlib import Path

from vidsemi.cli.options import run_script
from vidsemi.data.class_names import read_class_names
from vidsemi.data.formats.folder import read_folder, read_videos
from vidsemi.data.formats.kinetics import match_classes, read_kinetics, youtube_id
from vidsemi.data.formats.media_files import FilesByStem
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.formats.table import read_table_format
from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_synonyms
from vidsemi.data.manifest import load_manifest
from vidsemi.io.errors import UserError

HERE = Path(__file__).parent
DATASET = "Kinetics-400"
OTHERS = " (600 and 700 are not supported here)"
SPLITS = {"train": {"train"}, "val": {"val", "valid", "validate", "validation"}}  # as copies name them
FILLERS = {"kinetics", "k", "videos"}  # words beside the split: kinetics-400_train.csv, k400_val.csv, videos_train/
MANIFESTS = {"train": "labeled.parquet", "val": "test.parquet"}
REPLACEMENTS = ("replacement", "replacement_for_corrupted_k400")  # readable copies of clips that CVDF found corrupted


def main() -> None:
    """Read everything, then write: bad input leaves the manifests of an earlier run untouched."""
    options = parse()
    classes = read_class_names(HERE / "classes.txt")
    scans: dict[str, ScanResult] = {}
    lines = []
    if options.root:
        for split, name in MANIFESTS.items():
            scans[name], line = read_split(options, split, classes)
            lines.append(line)
    if options.videos:
        scans["unlabeled.parquet"] = read_own(options, classes)
    lines += exclude_test_videos(scans, options.output)
    for name, scan in scans.items():
        lines.append(scan.write(options.output / name, vocabulary=DATASET)[1])
    print("\n".join(lines))
    if options.hashtags:
        print(f"labels: vidsemi hashtags --classes kinetics --manifest {options.output / 'unlabeled.parquet'}")
    elif options.videos:
        print("no hashtags: run with approaches=[supervised,semi_supervised]")


def parse() -> argparse.Namespace:
    """Parse the options and refuse contradictory ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--root", type=Path, help="folder of a copy of Kinetics-400")
    for split in SPLITS:
        parser.add_argument(f"--{split}-csv", type=Path, help=f"annotations of the {split} split, if not found")
        parser.add_argument(f"--{split}-videos", type=Path, help=f"videos of the {split} split, if not found")
    parser.add_argument("--videos", type=Path, help="folder of your own videos, at any depth")
    parser.add_argument("--hashtags", type=Path, help="table of your videos: path or id, and hashtags")
    parser.add_argument("--keep-all", action="store_true", help="also keep videos without a hashtag of a class")
    parser.add_argument("--output", type=Path, default=Path("data/kinetics"))
    options = parser.parse_args()
    if not options.root and not options.videos:
        raise UserError("options.invalid", "give --root (a copy of Kinetics-400) or --videos (your own videos)")
    for split in SPLITS:
        for what in ("csv", "videos"):
            if getattr(options, f"{split}_{what}") and not options.root:
                raise UserError("options.invalid", f"--{split}-{what} needs --root, the copy of Kinetics-400")
    if options.hashtags and not options.videos:
        raise UserError("options.invalid", "--hashtags needs --videos, the folder of the videos")
    if options.keep_all and not options.hashtags:
        raise UserError("options.invalid", "--keep-all needs --hashtags; without hashtags all videos are kept anyway")
    return options


def read_split(options: argparse.Namespace, split: str, classes: list[str]) -> tuple[ScanResult, str]:
    """Read a split; return its examples and a line that names the sources."""
    root = options.root
    if not root.is_dir():
        raise UserError("folder.missing", f"folder {root} does not exist")
    csv = getattr(options, f"{split}_csv") or find(root, split, "csv")
    videos = getattr(options, f"{split}_videos") or find(root, split, "videos")
    if csv is None and videos is None:
        raise UserError(
            "kinetics.split_missing",
            f"neither a {split}.csv nor a folder {split} was found in {root} or the folders in it; "
            f"give them with --{split}-csv and --{split}-videos",
        )
    videos = videos or root
    places = dict.fromkeys(above / name for above in (root, videos) for name in REPLACEMENTS)
    replacements = [folder for folder in places if folder.is_dir()]
    if csv:
        scan = read_kinetics(csv, *replacements, videos)
        scan.require_examples(csv, videos)
        scan.columns["label"] = match_classes(scan.columns["label"], classes, csv, f"{DATASET}{OTHERS}")
    else:
        scan = read_class_folders(videos, split, classes)
        better = FilesByStem(*replacements)
        scan.columns["path"] = [better.get(Path(path).stem, path) for path in scan.columns["path"]]
    return scan, f"{split} split: " + ", ".join(map(str, [csv or "no CSV", *replacements, videos]))


def find(root: Path, split: str, what: str) -> Path | None:
    """Find the CSV of a split or the folder of its videos, in `root` or in the folders directly in it.

    Names are compared without numbers, punctuation and the words in `FILLERS`: kinetics-400_val.csv, train_256.

    Raises:
        UserError: several match, so the user must choose.
    """

    def in_folder(folder: Path) -> list[Path]:
        named = [path for path in folder.iterdir() if path.name[0] != "." and is_called(path.name, split)]
        return sorted(p for p in named if (p.suffix.lower() == ".csv" and p.is_file() if what == "csv" else p.is_dir()))

    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    matches = in_folder(root) or [path for folder in folders for path in in_folder(folder)]
    if len(matches) > 1:
        raise UserError(
            "kinetics.ambiguous_split",
            f"both {matches[0]} and {matches[1]} could be the {split} split; choose one with --{split}-{what}",
        )
    return matches[0] if matches else None


def is_called(name: str, split: str) -> bool:
    """Whether a file or folder name denotes a split: train_256, kinetics-400_train, videos_train."""
    words = set(re.findall("[a-z]+", name.lower().removesuffix(".csv"))) - FILLERS
    return len(words) == 1 and words <= SPLITS[split]


def read_class_folders(videos: Path, split: str, classes: list[str]) -> ScanResult:
    """Read a split without annotations, whose labels are the names of its class folders."""
    try:
        scan = read_folder(videos)
    except UserError as error:
        raise UserError(error.code, f"{error}; or give the annotations with --{split}-csv") from None
    scan.columns["label"] = match_classes(scan.columns["label"], classes, videos, f"{DATASET}{OTHERS}")
    return scan


def read_own(options: argparse.Namespace, classes: list[str]) -> ScanResult:
    """Read your own videos: those with a hashtag of a class, or all with --keep-all or without hashtags."""
    if options.hashtags is None:
        return read_videos(options.videos)
    if not options.videos.is_dir():
        raise UserError("folder.missing", f"folder {options.videos} does not exist")
    vocabulary = build_vocabulary(classes, read_synonyms(HERE / "synonyms.csv", classes))
    tags = None if options.keep_all else vocabulary.label_by_tag.keys()
    scan = read_table_format(options.hashtags, options.videos, vocabulary=tags)
    if "hashtags" not in scan.columns:
        raise UserError(
            "table.missing_hashtags",
            f"{options.hashtags} has no column 'hashtags'; leave out --hashtags to use all videos",
        )
    scan.require_examples(options.hashtags, options.videos)
    return scan


def exclude_test_videos(scans: dict[str, ScanResult], output: Path) -> list[str]:
    """Remove videos of the test split from the unlabeled set, since they would invalidate results; report it."""
    test, own = scans.get("test.parquet"), scans.get("unlabeled.parquet")
    tested = set(map(youtube_id, test.columns["path"] if test else paths_of(output / "test.parquet")))
    if own is None:
        seen = sum(youtube_id(path) in tested for path in paths_of(output / "unlabeled.parquet"))
        more = f"{output / 'unlabeled.parquet'} has {seen} videos of this test split; write it again, with --videos"
        return [more] if seen else []
    if not tested:
        return [f"{output / 'test.parquet'} does not exist, so videos of the test split were not removed"]
    kept = [youtube_id(path) not in tested for path in own.columns["path"]]
    if not any(kept):
        raise UserError(
            "kinetics.only_test_videos", f"all unlabeled videos are in the test split, such as {own.columns['path'][0]}"
        )
    for name, values in own.columns.items():
        own.columns[name] = list(compress(values, kept))
    return [f"{kept.count(False)} unlabeled videos are in the test split and were left out"] if not all(kept) else []


def paths_of(manifest: Path) -> Iterable[str]:
    """The paths of a manifest from an earlier run, if there is one."""
    return load_manifest(manifest).table.column("path").to_pylist() if manifest.exists() else []


if __name__ == "__main__":
    run_script(main)
