"""Writes the manifests of Kinetics-400, and of one's own videos with hashtags as U.

    python datasets/kinetics/prepare.py --root /videos/k400 --output data/kinetics
    python datasets/kinetics/prepare.py --videos /videos/mine --hashtags mine.jsonl --output data/kinetics

What is looked for, and where, is said in the README beside this file. No video is opened.
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from vidsemi.cli.options import read_class_names, run_script
from vidsemi.data.class_names import match_classes
from vidsemi.data.formats.readers import Found, files_by_stem, read_folder, read_kinetics, read_videos, youtube_id
from vidsemi.data.formats.writer import need_examples, write_found
from vidsemi.data.hashtags.tag_files import read_table_format
from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_synonyms
from vidsemi.data.manifest import load_manifest
from vidsemi.io.errors import UserError

HERE = Path(__file__).parent
DATASET = "Kinetics-400"
OTHERS = " (600 and 700 are not read here)"
SPLITS = {"train": {"train"}, "val": {"val", "valid", "validate", "validation"}}  # what copies call them
FILLERS = {"kinetics", "k", "videos"}  # words beside it: kinetics-400_train.csv, k400_val.csv, videos_train/
MANIFESTS = {"train": "labeled.parquet", "val": "test.parquet"}
REPLACEMENTS = ("replacement", "replacement_for_corrupted_k400")  # clips that CVDF found corrupted, readable


def main() -> None:
    """Read everything, then write the manifests: bad input leaves those of an earlier run as they are."""
    options = parse()
    classes = read_class_names(HERE / "classes.txt")
    found, lines = {}, []
    if options.root:
        for split, name in MANIFESTS.items():
            found[name], line = read_split(options, split, classes)
            lines.append(line)
    if options.videos:
        found["unlabeled.parquet"] = read_own(options, classes)
    lines += keep_test_apart(found, options.output)
    for name, examples in found.items():
        text = write_found(options.output / name, examples, vocabulary=DATASET)
        labels = set(examples.columns["label"]) if name in MANIFESTS.values() else ()
        lines.append(text + (f"; {len(labels)} classes" if labels else ""))
    print("\n".join(lines))
    if options.hashtags:
        print(f"labels: vidsemi hashtags --classes kinetics --manifest {options.output / 'unlabeled.parquet'}")
    elif options.videos:
        print("no hashtags: run with approaches=[supervised,semi_supervised]")


def parse() -> argparse.Namespace:
    """The options, as far as they go together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--root", type=Path, help="folder of a copy of Kinetics-400")
    for split in SPLITS:
        parser.add_argument(f"--{split}-csv", type=Path, help=f"its annotations of the {split} split, where not found")
        parser.add_argument(f"--{split}-videos", type=Path, help=f"its videos of the {split} split, where not found")
    parser.add_argument("--videos", type=Path, help="folder of your own videos, any depth")
    parser.add_argument("--hashtags", type=Path, help="their table: path or id, and hashtags")
    parser.add_argument("--keep-all", action="store_true", help="keep videos without a hashtag of a class, too")
    parser.add_argument("--output", type=Path, default=Path("data/kinetics"))
    options = parser.parse_args()
    if not options.root and not options.videos:
        raise UserError("nothing to do: --root is a copy of Kinetics-400, --videos a folder of your own videos")
    for split in SPLITS:
        for what in ("csv", "videos"):
            if getattr(options, f"{split}_{what}") and not options.root:
                raise UserError(f"--{split}-{what} needs --root, the folder of the copy of Kinetics-400")
    if options.hashtags and not options.videos:
        raise UserError("--hashtags needs --videos, the folder of the videos")
    if options.keep_all and not options.hashtags:
        raise UserError("--keep-all needs --hashtags; without them all videos are kept")
    return options


def read_split(options: argparse.Namespace, split: str, classes: list[str]) -> tuple[Found, str]:
    """The examples of a split, and a line that says from where."""
    root = options.root
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    csv = getattr(options, f"{split}_csv") or find(root, split, "csv")
    videos = getattr(options, f"{split}_videos") or find(root, split, "videos")
    if csv is None and videos is None:
        raise UserError(
            f"{root} has neither a {split}.csv nor a folder {split}, nor has a folder in it; "
            f"name them with --{split}-csv and --{split}-videos"
        )
    videos = videos or root
    places = dict.fromkeys(above / name for above in (root, videos) for name in REPLACEMENTS)
    replacements = [folder for folder in places if folder.is_dir()]
    if csv:
        found = read_kinetics(csv, *replacements, videos)
        need_examples(found, csv, videos)
        found.columns["label"] = match_classes(found.columns["label"], classes, csv, f"{DATASET}{OTHERS}")
    else:
        found = read_class_folders(videos, split, classes)
        better = files_by_stem(*replacements)
        found.columns["path"] = [better.get(Path(path).stem, path) for path in found.columns["path"]]
    return found, f"{split} split: " + ", ".join(map(str, [csv or "no CSV", *replacements, videos]))


def find(root: Path, split: str, what: str) -> Path | None:
    """The CSV of a split or the folder of its videos, in `root` or else in a folder directly in it.

    What counts is the name without numbers, punctuation and the words of `FILLERS`: kinetics-400_val.csv, train_256.

    Raises:
        UserError: there are several, so that only the user can say which.
    """

    def in_folder(folder: Path) -> list[Path]:
        named = [path for path in folder.iterdir() if path.name[0] != "." and is_called(path.name, split)]
        return sorted(p for p in named if (p.suffix.lower() == ".csv" and p.is_file() if what == "csv" else p.is_dir()))

    found = in_folder(root) or [
        path for folder in sorted(root.iterdir()) if folder.is_dir() for path in in_folder(folder)
    ]
    if len(found) > 1:
        raise UserError(f"{found[0]} or {found[1]}? Say which with --{split}-{what}")
    return found[0] if found else None


def is_called(name: str, split: str) -> bool:
    """Whether a name is one of a split: train_256, kinetics-400_train, videos_train."""
    words = set(re.findall("[a-z]+", name.lower().removesuffix(".csv"))) - FILLERS
    return len(words) == 1 and words <= SPLITS[split]


def read_class_folders(videos: Path, split: str, classes: list[str]) -> Found:
    """The examples of a split whose labels only the names of folders tell."""
    try:
        found = read_folder(videos)
    except UserError as error:
        raise UserError(f"{error}; or name the annotations with --{split}-csv") from None
    found.columns["label"] = match_classes(found.columns["label"], classes, videos, f"{DATASET}{OTHERS}")
    return found


def read_own(options: argparse.Namespace, classes: list[str]) -> Found:
    """One's own videos: those with a hashtag of a class or, if so asked or without hashtags, all."""
    if options.hashtags is None:
        return read_videos(options.videos)
    if not options.videos.is_dir():
        raise UserError(f"there is no folder {options.videos}")
    space = build_vocabulary(classes, read_synonyms(HERE / "synonyms.csv", classes))
    vocabulary = None if options.keep_all else space.label_by_tag.keys()
    found = read_table_format(options.hashtags, options.videos, vocabulary=vocabulary)
    if "hashtags" not in found.columns:
        raise UserError(f"{options.hashtags} has no column 'hashtags'; without --hashtags all videos are taken")
    need_examples(found, options.hashtags, options.videos)
    return found


def keep_test_apart(found: dict[str, Found], output: Path) -> list[str]:
    """Leave out of U what is in the test split: a student that has seen it ruins a result. Says what was done."""
    test, own = found.get("test.parquet"), found.get("unlabeled.parquet")
    tested = set(map(youtube_id, test.columns["path"] if test else paths_of(output / "test.parquet")))
    if own is None:
        seen = sum(youtube_id(path) in tested for path in paths_of(output / "unlabeled.parquet"))
        more = f"{output / 'unlabeled.parquet'} has {seen} videos of this test split: make it again, with --videos"
        return [more] if seen else []
    if not tested:
        return [f"there is no {output / 'test.parquet'}: videos of the test split, if any, are not left out"]
    kept = [youtube_id(path) not in tested for path in own.columns["path"]]
    if not any(kept):
        raise UserError(f"all videos of U are videos of the test split, such as {own.columns['path'][0]}")
    for name, values in own.columns.items():
        own.columns[name] = [value for value, stays in zip(values, kept, strict=True) if stays]
    return [f"{kept.count(False)} videos of U are in the test split and left out"] if not all(kept) else []


def paths_of(manifest: Path) -> Iterable[str]:
    """The paths of a manifest that an earlier run may have written."""
    return load_manifest(manifest).table.column("path").to_pylist() if manifest.exists() else []


if __name__ == "__main__":
    run_script(main)
