"""`select`: pseudo-labeled examples from scores."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal

from vidsemi.api.arguments import PathArgument, check_count, manifest_of, path_of, place_of
from vidsemi.data.hashtags.vocabulary import read_vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.io.store import Place
from vidsemi.pipeline.select import select_from_scores
from vidsemi.selection.result import Selection

MOST = 2**33 - 1  # as many as there can be example ids


def select(
    scores: PathArgument | Sequence[PathArgument],
    *,
    per_class: int,
    per_example: int,
    policy: str = "balanced_ranked",
    min_score: float = 0.0,
    seed: int = 0,
    targets: Literal["one_hot", "soft"] = "one_hot",
    temperature: float = 1.0,
    manifest: Manifest | PathArgument | None = None,
    vocabulary: PathArgument | None = None,
    shards: range | None = None,
    progress: ShowProgress = None,
) -> Selection:
    """Select pseudo-labeled training examples: of every class those that score highest.

    Args:
        scores: directory of scores or its address (s3://bucket/scores), or several: those of several manifests, whose
            example ids continue from one to the next.
        per_class: examples per class (K).
        per_example: highest-scoring classes of an example that count (P).
        policy: "balanced_ranked", or a control (docs/guides/selecting.md).
        min_score: lowest score of a candidate.
        seed: for policies that choose at random.
        targets: the training targets: "one_hot", 1/k on each of the k classes that selected an example; or
            "soft", the stored scores of the example, renormalized.
        temperature: of soft targets: scores are raised to the power 1/temperature before.
        manifest: the examples with hashtags that were scored, for the policy "balanced_with_tags".
        vocabulary: file of `vidsemi hashtags`, for that policy; by default made from the names of the classes.
        shards: numbers of the files to read; by default all.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        the selection, in memory; `Selection.write` writes it to a file.

    Raises:
        UserError: scores are missing or damaged, the policy's name is unknown, or an argument is wrong.
    """
    check_count("per_class", per_class, MOST)
    check_count("per_example", per_example, MOST)
    if not isinstance(min_score, int | float) or not 0 <= min_score <= 1:
        raise UserError("options.invalid", f"min_score is {min_score!r}; give a number from 0 to 1")
    if not isinstance(seed, int) or seed < 0:
        raise UserError("options.invalid", f"seed is {seed!r}; give a whole number from 0 on")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        raise UserError("options.invalid", f"temperature is {temperature!r}; give a number above 0")
    folders = _folders(scores)
    if shards is not None and len(folders) > 1:
        raise UserError("select.shards_of_one", "--shards chooses among those of one directory: give one with --scores")
    with show_progress(progress):
        return select_from_scores(
            folders,
            per_class=per_class,
            per_example=per_example,
            policy=policy,
            min_score=min_score,
            seed=seed,
            targets=targets,
            temperature=temperature,
            manifest=None if manifest is None else manifest_of(manifest),
            vocabulary=None if vocabulary is None else read_vocabulary(path_of("vocabulary", vocabulary)),
            shards=shards,
        )


def _folders(scores: PathArgument | Sequence[PathArgument]) -> list[Place]:
    if isinstance(scores, str | PathLike):
        return [place_of("scores", scores)]
    if not isinstance(scores, Sequence) or not scores:
        raise UserError("options.invalid", f"scores is {scores!r}; give a directory of scores, or a list of them")
    return [place_of("scores", one) for one in scores]
