"""Write manifests of MIRACL-VC1, spoken words and phrases: labeled, unlabeled and test.

    python datasets/miracl_vc1/prepare.py --root MIRACL-VC1 --output data/miracl_vc1
    python datasets/miracl_vc1/prepare.py --clips lips/clips.csv --output data/miracl_vc1

The test set has speakers of its own. Of the other speakers, the first repetitions of each word keep their labels
and the rest is the unlabeled set; its true labels go to unlabeled_labels.csv, for the report alone.
"""

import argparse
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vidsemi.cli.options import run_script
from vidsemi.data.formats.portable_paths import portable_paths
from vidsemi.data.formats.scan import ScanResult
from vidsemi.data.manifest_file import write_manifest
from vidsemi.io.errors import UserError

WORDS = ["begin", "choose", "connection", "navigation", "next", "previous", "start", "stop", "hello", "web"]
PHRASES = [
    *("stop navigation", "excuse me", "I am sorry", "thank you", "good bye"),
    *("I love this game", "nice to meet you", "you are welcome", "how are you", "have a good time"),
]
LABELS = {"words": WORDS, "phrases": PHRASES}  # number 01 is the first
TEST_SPEAKERS = ["F10", "F11", "M07", "M08"]  # the last of either kind by number, set before anything was trained
RATE = 15.0  # frames per second
COLUMNS = ("path", "label", "speaker", "repetition")


@dataclass(frozen=True)
class Clip:
    """One repetition of a word or phrase by a speaker."""

    path: str
    label: str
    speaker: str
    repetition: int
    is_frames: bool  # a folder of frames, not a file


def read_frame_folders(root: Path) -> Iterator[Clip]:
    """The public layout: SPEAKER/words/NUMBER/REPETITION/color_NNN.jpg, and phrases likewise."""
    for kind, labels in LABELS.items():
        for folder in sorted(root.glob(f"*/{kind}/*/*")):
            speaker, _, number, repetition = folder.relative_to(root).parts
            if not (re.fullmatch(r"\d\d?", number) and re.fullmatch(r"\d\d?", repetition)):
                continue
            if not 1 <= int(number) <= len(labels):
                raise UserError("miracl.unknown_number", f"{folder}: {kind} are numbered from 01 to {len(labels)}")
            if any(folder.glob("color_*.*")):
                yield Clip(str(folder), labels[int(number) - 1], speaker, int(repetition), is_frames=True)


def read_clips(file: Path) -> Iterator[Clip]:
    """A CSV with the columns path, label, speaker and repetition; paths start from its folder."""
    with open(file, newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise UserError(
                "miracl.missing_column", f"{file} has no column '{missing[0]}'; it needs {', '.join(COLUMNS)}"
            )
        for row in reader:
            if not re.fullmatch(r"\d{1,4}", row["repetition"]):
                raise UserError(
                    "miracl.bad_repetition",
                    f"{file}, line {reader.line_num}: repetition is '{row['repetition']}'; must be a number",
                )
            path = str(file.parent / row["path"])
            yield Clip(path, row["label"].replace("_", " "), row["speaker"], int(row["repetition"]), is_frames=False)


def main() -> None:
    """Read the clips and write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--root", type=Path, help="the public set: SPEAKER/{words,phrases}/NUMBER/REPETITION/color_NNN.jpg"
    )
    source.add_argument("--clips", type=Path, help="CSV of clips: path, label, speaker, repetition")
    parser.add_argument("--speakers", type=_names, help="speakers to use, F01,F02,… (default: all)")
    parser.add_argument(
        "--test-speakers", type=_names, default=TEST_SPEAKERS, help=f"default: {','.join(TEST_SPEAKERS)}"
    )
    parser.add_argument("--labeled-speakers", type=_names, help="of the others, those with labels (default: all)")
    parser.add_argument("--labeled", type=int, default=1, metavar="N", help="labeled repetitions of each (default: 1)")
    parser.add_argument("--output", type=Path, default=Path("data/miracl_vc1"))
    options = parser.parse_args()
    if options.labeled < 1:
        raise UserError("options.invalid", f"--labeled is {options.labeled}; must be at least 1")
    clips = list(read_frame_folders(options.root) if options.root else read_clips(options.clips))
    if not clips:
        raise UserError(
            "miracl.empty", f"{options.root or options.clips} has no clips; see the README beside this script"
        )
    speakers = sorted({clip.speaker for clip in clips})
    for name in (*(options.speakers or ()), *options.test_speakers, *(options.labeled_speakers or ())):
        if name not in speakers:
            raise UserError(
                "miracl.unknown_speaker", f"speaker {name} does not exist; the speakers are {', '.join(speakers)}"
            )
    used = [clip for clip in clips if clip.speaker in (options.speakers or speakers)]
    test = [clip for clip in used if clip.speaker in options.test_speakers]
    train = [clip for clip in used if clip.speaker not in options.test_speakers]
    labeled = first_repetitions(train, options.labeled, options.labeled_speakers or speakers)
    unlabeled = [clip for clip in train if clip not in labeled]
    for name, own in {"labeled": labeled, "unlabeled": unlabeled, "test": test}.items():
        if not own:
            raise UserError(
                "miracl.empty_split", f"no clip is left for the {name} set; choose other speakers or --labeled"
            )
    _write(options.output / "unlabeled_labels.csv", unlabeled)
    _write(options.output / "unlabeled.csv", unlabeled, labels=False)
    _write(options.output / "test.csv", test)
    _write(options.output / "labeled.csv", list(labeled))
    print(f"{options.output}: {len(labeled)} labeled, {len(unlabeled)} unlabeled, {len(test)} test")


def first_repetitions(clips: list[Clip], count: int, speakers: list[str]) -> dict[Clip, None]:
    """The first repetitions of each label by each of some speakers."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if clip.speaker in speakers:
            groups.setdefault((clip.speaker, clip.label), []).append(clip)
    first = (sorted(own, key=lambda clip: clip.repetition)[:count] for own in groups.values())
    return {clip: None for own in first for clip in own}


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _write(file: Path, clips: list[Clip], *, labels: bool = True) -> None:
    scan = ScanResult()
    for clip in clips:
        frames = {"frames_per_second": RATE} if clip.is_frames else {}
        label = {"label": clip.label, "group": clip.speaker} if labels else {}
        scan.add(path=clip.path, **label, **frames)
    write_manifest(file, {**scan.columns, "path": portable_paths(scan.columns["path"], file)})


if __name__ == "__main__":
    run_script(main)
