"""The examples that a selection left out by one rank: of each class the first candidate that it did not take."""

import numpy as np

from vidsemi.io.errors import UserError
from vidsemi.selection.describe import format_ranges
from vidsemi.selection.info import as_ranges
from vidsemi.selection.joined_scores import JoinedScores
from vidsemi.selection.policies import get_policy, priority_of
from vidsemi.selection.result import Selection
from vidsemi.selection.scan import scan
from vidsemi.selection.score_format import ScoreRows
from vidsemi.selection.select import most_rows
from vidsemi.selection.shard_pass import row_limits
from vidsemi.selection.topk import TopPerClass


def runners_up(selection: Selection, scores: JoinedScores) -> ScoreRows:
    """The next candidate of each class that took all it was to take, by class; no row where no candidate is left.

    Args:
        selection: the selection.
        scores: that it was made from, which are read once.

    Raises:
        UserError: the selection was made from other scores or by hashtags, or scores that it has read are missing.
    """
    info, classes = selection.info, len(selection.classes)
    if get_policy(info.policy).needs_tags:
        raise UserError("selection.no_scores", f"the policy {info.policy} ranks no candidates by scores")
    if name := info.scores.difference(scores.info):
        raise UserError("selection.other_scores", f"the selection was made from other scores: their '{name}' differs")
    read = info.shard_numbers()
    shards = [shard for shard in scores.shards if shard.number in read]
    if missing := read - {shard.number for shard in shards}:
        ranges = format_ranges(as_ranges(missing))
        raise UserError("selection.missing_scores", f"the scores lack shards {ranges}, which the selection was made of")
    wanted = np.array(info.wanted_per_class, np.int64)
    most = most_rows(shards, scores.info, (), int(wanted.sum()) + classes)
    top = TopPerClass(wanted + 1, most, priority_of(info.policy, info.seed or 0))
    scan(shards, row_limits(min(info.per_example, classes), scores.info.per_example, info.min_score), top)
    rows = top.result()
    counts = np.bincount(rows.label, minlength=classes)
    ranks = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    beyond = ranks == wanted[rows.label]
    if not np.array_equal(rows.example_id[~beyond], selection.example_id):
        raise UserError("selection.other_scores", "the scores have changed since the selection was made from them")
    return ScoreRows(rows.example_id[beyond], rows.label[beyond], rows.score[beyond])
