"""Selection of pseudo-labels with files at both ends: scores, or selections of other shards → a selection."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from vidsemi.data.hashtags.match import match_examples
from vidsemi.data.hashtags.vocabulary import Vocabulary, build_vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import keep_inputs, prepare_target
from vidsemi.io.progress import progress_bar
from vidsemi.io.store import Place
from vidsemi.selection.describe import format_ranges, metrics
from vidsemi.selection.info import as_ranges
from vidsemi.selection.joined_scores import JoinedScores, join_scores
from vidsemi.selection.policies import get_policy
from vidsemi.selection.result import Selection
from vidsemi.selection.score_format import ScoreRows, ScoresInfo, label_type
from vidsemi.selection.score_reader import ScoreShard, open_shards, shard_files
from vidsemi.selection.select import select
from vidsemi.selection.soft_targets import check_targets

logger = logging.getLogger("vidsemi")


def select_scores(
    file: Place, scores: Sequence[Place], *, manifest: Manifest | None = None, title: str = "select", **rule: Any
) -> dict[str, Any]:
    """Select as `select_from_scores`, write the selection to a file, and return its metrics."""
    for folder in scores:
        check_output(file, folder, None if manifest is None else manifest.file)
    selection = select_from_scores(scores, manifest=manifest, title=title, **rule)
    selection.write(file)
    return metrics(selection.info)


def select_from_scores(
    scores: Sequence[Place],
    *,
    per_class: int,
    per_example: int,
    policy: str = "balanced_ranked",
    min_score: float = 0.0,
    seed: int = 0,
    targets: str = "one_hot",
    temperature: float = 1.0,
    shards: range | None = None,
    manifest: Manifest | None = None,
    vocabulary: Vocabulary | None = None,
    complete: bool = False,
    title: str = "select",
) -> Selection:
    """Select pseudo-labels from directories of scores.

    Several directories are those of several manifests, whose example ids continue from one to the next.

    A policy that reads hashtags needs the unlabeled set as `manifest`; its vocabulary is built from the names of the
    classes if it is None. Files that do not fit one another are a UserError, and so are missing shards of scores that
    should be `complete`.
    """
    names = ", ".join(map(str, scores))
    rule = {"policy": policy, "per_example": per_example, "min_score": min_score, "seed": seed}
    rule |= {"targets": targets, "temperature": temperature}
    check_targets(targets, temperature, policy)
    selected_by = get_policy(policy)
    if vocabulary is not None and not selected_by.needs_tags:
        raise UserError("select.unused_vocabulary", f"{policy} uses no vocabulary; only balanced_with_tags does")
    joined = join_scores(scores)
    sources, info = joined.shards, joined.info
    if shards is not None:
        sources, info = open_shards(_requested(scores[0], shards))
    if complete and (missing := set(range(info.shards or 0)) - {source.number for source in sources}):
        raise UserError(
            "select.incomplete_scores",
            f"{names} lacks shards {format_ranges(as_ranges(missing))}: delete stage.json there and run the same "
            "command again to score them",
        )
    tags = None
    if selected_by.needs_tags:
        if shards is not None:
            raise UserError("select.shards_with_tags", f"{policy} reads hashtags, not scores; leave out --shards")
        if manifest is None:
            raise UserError("select.missing_manifest", f"{policy} needs --manifest, for the hashtags of the examples")
        tags, sources = _tagged_rows(manifest, vocabulary, joined, names), []
    return _select(sources, info, per_class, rule, title, tags=tags)


def merge_selections(
    file: Place,
    selections: Sequence[Place],
    scores: Place | None = None,
    *,
    per_class: int | None = None,
    shards: range | None = None,
    title: str = "select",
    **rule: Any,
) -> Selection:
    """Merge selections of different shards, perhaps with shards of `scores` that none of them has read.

    The result has the bytes of one selection from all shards. The selections must have been made by one rule with at
    least this `per_class`, which is their smallest by default. `rule` may require a policy, per_example, min_score,
    seed, targets or temperature of them; others are a UserError. Returns the merged selection.
    """
    check_output(file, scores, None)
    earlier = [Selection.read(path) for path in selections]
    if scores is None and shards is not None:
        raise UserError("select.missing_scores", "--shards chooses among the shards of --scores; give --scores DIR")
    read = _included_shards(selections, earlier)
    sources, info = ([], earlier[0].info.scores) if scores is None else _unread_shards(scores, shards, read)
    names = ("policy", "per_example", "min_score", "seed", "targets", "temperature")
    given = {name: value for name, value in rule.items() if value is not None}
    rule = {name: given.get(name, getattr(earlier[0].info, name)) for name in names}
    per_class = per_class if per_class is not None else min(one.info.per_class for one in earlier)
    for path, one in zip(selections, earlier, strict=True):
        _check_mergeable(path, one, info, per_class, rule)
    merged = _select(sources, info, per_class, rule, title, earlier=earlier)
    merged.write(file)
    return merged


def _select(
    shards: list[ScoreShard], info: ScoresInfo, per_class: int, rule: dict[str, Any], title: str, **more: Any
) -> Selection:
    passes = 1 + get_policy(rule["policy"]).needs_counts + (rule["targets"] == "soft")
    with progress_bar(passes * len(shards), "shard", title, delay=1) as bar:
        selection = select(shards, info, per_class=per_class, **rule, **more, progress=bar.update)
    for warning in metrics(selection.info)["warnings"]:
        logger.warning("%s: %s", title, warning)
    return selection


def check_output(file: Place, scores: Place | None, manifest: Place | None) -> None:
    """Check before the work that a selection can be written, and neither is an input nor would be taken for one."""
    inside = scores is not None and file.resolve().parent == scores.resolve()
    if inside and fnmatchcase(file.name, "part-*.parquet"):
        raise UserError("output.is_a_shard", f"{file} would be read as a shard of the scores; choose another name")
    if manifest is not None:
        keep_inputs(file, manifest)
    prepare_target(file)


def _requested(scores: Place, shards: range | None) -> dict[int, Place]:
    files = shard_files(scores)
    requested = {number: file for number, file in files.items() if shards is None or number in shards}
    if not requested:
        has = format_ranges(as_ranges(files))
        raise UserError("select.missing_shards", f"{scores} has none of the requested shards; it has {has}")
    return requested


def _included_shards(selections: Sequence[Place], earlier: Sequence[Selection]) -> set[int]:
    """The shards that selections have read; no two may have read the same."""
    read: dict[int, Place] = {}
    for path, one in zip(selections, earlier, strict=True):
        for number in one.info.shard_numbers():
            if number in read:
                both = f"{read[number]} and {path}"
                raise UserError("select.shard_twice", f"{both} have both read shard {number}; leave one of them out")
            read[number] = path
    return set(read)


def _unread_shards(scores: Place, shards: range | None, read: set[int]) -> tuple[list[ScoreShard], ScoresInfo]:
    """The requested shards that no selection includes, and what all scores agree on."""
    requested = _requested(scores, shards)
    unread = {number: file for number, file in requested.items() if number not in read}
    if not unread:
        logger.warning("%s: all shards have been read already", scores)
    sources, info = open_shards(unread or requested)
    return (sources if unread else []), info


def _check_mergeable(path: Place, one: Selection, scores: ScoresInfo, per_class: int, rule: Mapping[str, Any]) -> None:
    """Refuse a selection from other scores, by another rule or with a smaller K."""
    if not get_policy(policy := rule["policy"]).mergeable:
        raise UserError("select.not_mergeable", f"{policy} depends on all examples, so selections cannot be merged")
    if name := one.info.scores.difference(scores):
        raise UserError("select.different_scores", f"{path} was selected from other scores: '{name}' differs")
    for name, ours in rule.items():
        theirs = getattr(one.info, name)
        if theirs is not None and theirs != ours:
            raise UserError("select.different_rule", f"{path} was selected with {name} = {theirs}, not {ours}")
    if one.info.per_class < per_class:
        largest = one.info.per_class
        raise UserError("select.per_class_too_large", f"{path} has per_class = {largest}, too few for {per_class}")


def _tagged_rows(manifest: Manifest, vocabulary: Vocabulary | None, joined: JoinedScores, scores: str) -> ScoreRows:
    """(example, class) pairs whose hashtags match, of the examples that could be read."""
    info = joined.info
    if manifest.fingerprint != info.manifest:
        raise UserError(
            "scores.wrong_manifest", f"{scores} was not created from the manifest {manifest.file}; give the one it was"
        )
    if vocabulary is None:
        vocabulary = build_vocabulary(info.classes, {})
    vocabulary = vocabulary.for_classes(info.classes, "the vocabulary")
    tagged, labels = match_examples(manifest, vocabulary, "the policy balanced_with_tags")
    readable = ~np.isin(tagged, joined.failures())
    numbers_of = {name: number for number, name in enumerate(info.classes)}
    pieces = [
        (tagged[mine], np.full(mine.sum(), numbers_of[name], label_type(len(info.classes)).to_pandas_dtype()))
        for number, label in enumerate(vocabulary.labels)
        if (mine := readable & (labels == number)).any()
        for name in label.classes
    ]
    if not pieces:
        raise UserError("select.no_tagged_examples", f"no readable example of {manifest.file} has a hashtag of a class")
    example_id, label = map(np.concatenate, zip(*pieces, strict=True))
    return ScoreRows(example_id, label, np.zeros(len(label), np.float32))
