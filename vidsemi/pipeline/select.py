"""The selection stage: scores, or selections of parts of them, → D̂."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidsemi.data.hashtags.match import match_examples
from vidsemi.data.hashtags.vocabulary import Vocabulary, build_vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import prepare_target
from vidsemi.io.progress import progress_bar
from vidsemi.selection.describe import format_ranges, metrics
from vidsemi.selection.policies import get_policy
from vidsemi.selection.result import Selection, as_ranges, read_selection, write_selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo, label_type
from vidsemi.selection.score_reader import ScoreShard, open_shards, read_failures, shard_files
from vidsemi.selection.select import select

logger = logging.getLogger("vidsemi")


def select_stage(
    file: Path,
    *,
    scores: Path | None,
    per_class: int | None,
    per_example: int | None,
    policy: str | None = None,
    min_score: float | None = None,
    seed: int | None = None,
    manifest: Manifest | None = None,
    space: Vocabulary | None = None,
    numbers: range | None = None,
    merge: Sequence[Path] = (),
    title: str = "select",
) -> dict[str, Any]:
    """Choose D̂ and write it to `file`.

    Args:
        file: gets the selection.
        scores: directory of scores; None to merge selections only.
        per_class: K; None for that of the selections to merge. So with the next four.
        per_example: P.
        policy: name of the rule; balanced_ranked if there is nothing to merge.
        min_score: lowest score of a candidate; 0 if there is nothing to merge.
        seed: of a policy that chooses at random; 0 if there is nothing to merge.
        manifest: U, whose hashtags `balanced_with_tags` looks at.
        space: which hashtags mean which classes, likewise; made of the names of the classes if None.
        numbers: of the parts to read; all if None.
        merge: selections of other parts, whose rows are candidates too. Parts that they have read are not read again.
        title: for the progress bar.

    Returns:
        The figures of the selection.

    Raises:
        UserError: a file is bad or does not fit the others, or K, P or the policy cannot be had.
    """
    _refuse_to_overwrite(file, scores, manifest)
    earlier = [read_selection(path) for path in merge]
    parts, info = _sources(scores, earlier, merge, numbers)
    first = earlier[0].info if earlier else None
    rule = {
        "policy": _known(policy, first and first.policy, "balanced_ranked"),
        "per_example": _known(per_example, first and first.per_example),
        "min_score": _known(min_score, first and first.min_score, 0.0),
        "seed": _known(seed, first and first.seed, 0),
    }
    chosen_by = get_policy(rule["policy"])
    per_class = _known(per_class, min((one.info.per_class for one in earlier), default=None))
    if per_class is None or rule["per_example"] is None:
        raise UserError("a selection needs --per-class (K) and --per-example (P)")
    for path, one in zip(merge, earlier, strict=True):
        _refuse_unlike(path, one, info, per_class, rule)
    if space is not None and not chosen_by.needs_tags:
        raise UserError(f"hashtags are of no use to {rule['policy']}: a vocabulary goes with balanced_with_tags")
    tags = None
    if chosen_by.needs_tags:
        tags, parts = _tags(manifest, space, info, scores, numbers), []
    passes = 2 if chosen_by.needs_counts else 1
    with progress_bar(passes * len(parts), "shard", title, delay=1) as bar:
        selection = select(
            parts,
            info,
            per_class=per_class,
            **rule,
            tags=tags,
            earlier=earlier,
            progress=bar.update,
        )
    write_selection(file, selection)
    found = metrics(selection.info)
    for warning in found["warnings"]:
        logger.warning("%s: %s", title, warning)
    return found


def _refuse_to_overwrite(file: Path, scores: Path | None, manifest: Manifest | None) -> None:
    """Find out first what would keep the result from being written, or destroy what it is made from."""
    if scores is not None and file.resolve().parent == scores.resolve() and file.match("part-*.parquet"):
        raise UserError(f"{file} would be taken for a part of the scores beside it; choose another name")
    if manifest is not None and file.resolve() == manifest.file.resolve():
        raise UserError(f"{file} is the manifest; choose another output")
    prepare_target(file)


def _known(*values: Any) -> Any:
    """The first that is not None."""
    return next((value for value in values if value is not None), None)


def _sources(
    scores: Path | None, earlier: Sequence[Selection], merge: Sequence[Path], numbers: range | None
) -> tuple[list[ScoreShard], ScoresInfo]:
    """The parts to read, and what all scores agree on."""
    read: dict[int, Path] = {}
    for path, one in zip(merge, earlier, strict=True):
        for number in one.info.shard_numbers():
            if number in read:
                raise UserError(
                    "select.shard_twice",
                    f"{read[number]} and {path} have both read shard {number}; merge selections of different shards",
                )
            read[number] = path
    if scores is None:
        if not earlier:
            raise UserError("select.missing_scores", "no scores: give --scores DIR, or selections to --merge")
        if numbers is not None:
            raise UserError("select.missing_scores", "--shards chooses among the shards of --scores; give --scores DIR")
        return [], earlier[0].info.scores
    files = shard_files(scores)
    asked = {number: file for number, file in files.items() if numbers is None or number in numbers}
    if not asked:
        has = format_ranges(as_ranges(files))
        raise UserError("select.missing_shards", f"{scores} has none of the requested shards; it has {has}")
    new = {number: file for number, file in asked.items() if number not in read}
    if not new:
        logger.warning("%s: all shards have been read already", scores)
    parts, info = open_shards(new or asked)
    return (parts if new else []), info


def _refuse_unlike(path: Path, one: Selection, scores: ScoresInfo, per_class: int, rule: dict[str, Any]) -> None:
    """What was made by the same rule from scores of the same kind, with a K at least as large, can be merged."""
    if not get_policy(rule["policy"]).mergeable:
        raise UserError(f"{rule['policy']} selections cannot be merged: what a class takes depends on all of U")
    if name := one.info.scores.difference(scores):
        raise UserError(f"{path} was made from other scores: their '{name}' differ")
    for name, ours in rule.items():
        theirs = getattr(one.info, name)
        if theirs is not None and theirs != ours:
            raise UserError(f"{path} was made with {name} = {theirs}, which cannot be merged to {name} = {ours}")
    if one.info.per_class < per_class:
        raise UserError(f"{path} keeps K = {one.info.per_class} a class; there is no choosing {per_class} from that")


def _tags(
    manifest: Manifest | None,
    space: Vocabulary | None,
    info: ScoresInfo,
    scores: Path | None,
    numbers: range | None,
) -> ScoreRows:
    """(example, class) pairs whose hashtags match, of the examples that could be read."""
    if numbers is not None:
        raise UserError("select.shards_with_tags", "balanced_with_tags reads hashtags, not scores; leave out --shards")
    if manifest is None or scores is None:
        raise UserError("balanced_with_tags needs --scores, and --manifest with the hashtags of the same examples")
    if manifest.fingerprint != info.manifest:
        raise UserError(f"{manifest.file} is not the manifest that {scores} was made from")
    space = space.for_classes(info.classes, "the vocabulary") if space else build_vocabulary(info.classes, {})
    tagged, labels = match_examples(manifest, space, "the policy balanced_with_tags")
    readable = ~np.isin(tagged, read_failures(scores))
    numbers_of = {name: number for number, name in enumerate(info.classes)}
    pieces = [
        (tagged[mine], np.full(mine.sum(), numbers_of[name], label_type(len(info.classes)).to_pandas_dtype()))
        for number, label in enumerate(space.labels)
        if (mine := readable & (labels == number)).any()
        for name in label.classes
    ]
    if not pieces:
        raise UserError(f"no example of {manifest.file} that could be read carries a hashtag of a class")
    example_id, label = map(np.concatenate, zip(*pieces, strict=True))
    return ScoreRows(example_id, label, np.zeros(len(label), np.float32))
