"""A config → its stages, one by one: what each does, and all that determines its outcome. `plan` puts them in order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidsemi.config import Config, Network, Recipe, Source
from vidsemi.data.hashtags.vocabulary import Vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.data.run_datasets import Datasets
from vidsemi.pipeline.stage import Stage
from vidsemi.selection.policies import get_policy

SELECTION = "selection.parquet"
WEIGHTS = "weights.pt"
CLASSES = "classes.csv"
LABELS = "hashtags (vocabulary, or synonyms and classes)"  # what a label space comes from, for people


def network_key(network: Network) -> str:
    """What a network of the config is known by in `Steps.found`."""
    return network.model_dump_json(include=set(Network.model_fields))


def corpus_identity(manifest: Manifest, source: Source) -> str:
    """What a corpus is known by: the content of its manifest, and the root where the config gives one."""
    return f"{manifest.fingerprint} under {source.root}" if source.root else manifest.fingerprint


def clear_checkpoints(folder: Path) -> None:
    """Remove what a training that is done went on from."""
    if any(folder.glob("checkpoint-*")):
        from vidsemi.training.checkpoint import Checkpoints

        Checkpoints(folder).clear()


def _crops(number: int) -> dict[str, int]:
    """A setting that earlier versions did not have; without it a stage of theirs is the same stage."""
    return {} if number == 1 else {"crops": number}


class Steps:
    """Makes the stages of one run.

    Args:
        config: of the run.
        corpora: that it names.
        found: what a look at its networks has told that the config does not say, by `network_key`: the content of
            the weights that one begins with, the input that its zoo wants.
        space: the labels of hashtags, where any are looked for.
    """

    def __init__(self, config: Config, corpora: Datasets, found: Mapping[str, dict], space: Vocabulary | None):
        self.config, self.corpora, self.output = config, corpora, Path(config.output)
        self.found, self.space = found, space

    def hashtags(self) -> Stage:
        """The labels of W, the same for all seeds."""
        weak, space, min_examples = self.corpora.weak, self.space, self.config.hashtags.min_examples
        assert weak is not None and space is not None

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.data.hashtags.match import hashtags_stage

            return hashtags_stage(
                folder,
                weak=weak,
                vocabulary=space,
                min_examples=min_examples,
                title="hashtags",
            )

        settings = {
            "weak": self._identity("weak"),
            LABELS: space.fingerprint[:16],
            "min_examples": min_examples,
        }
        return Stage("hashtags", "hashtags", settings, (), run, together=False)

    def train(
        self,
        name: str,
        kind: str,
        network: Network,
        recipe: Recipe,
        seed: int,
        begin: Stage | str | None,
        learnt_from: Stage | None = None,
    ) -> Stage:
        """A training on what a selection or the hashtags stage has found, else on D.

        It begins with the weights of a stage or a file, or fresh ones.
        """
        config, corpora = self.config, self.corpora
        on_hashtags = learnt_from is not None and learnt_from.kind == "hashtags"
        resampling = config.hashtags.repeat_factor

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.training.train import hashtag_lesson, labeled_lesson, selected_lesson, train_stage

            if learnt_from is None:
                lesson = labeled_lesson(corpora)
            elif on_hashtags:
                lesson = hashtag_lesson(corpora, self.output / learnt_from.name, resampling, seed)
            else:
                lesson = selected_lesson(corpora, self.output / learnt_from.name / SELECTION)
            return train_stage(
                folder,
                lesson,
                network=network,
                input=config.input,
                recipe=recipe,
                seed=seed,
                runtime=config.runtime,
                log=config.log,
                title=name,
                init_from=str(self.output / begin.name / WEIGHTS) if isinstance(begin, Stage) else begin,
            )

        settings = {
            **self._identity_of(network, with_weights=isinstance(begin, str)),
            "recipe": recipe.model_dump(),
            "seed": seed,
            **({"resampling": resampling} if on_hashtags else {"labeled": self._identity("labeled")}),
        }
        after = tuple(stage for stage in (learnt_from, begin) if isinstance(stage, Stage))
        return Stage(name, kind, settings, after, run, together=True, clear=clear_checkpoints)

    def adopt(self, name: str) -> Stage:
        """The teacher as it is, the same for every seed."""
        config, corpora, teacher = self.config, self.corpora, self.config.teacher
        assert teacher and teacher.init_from

        def run(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.models.build import adopt, ready_spec

            spec = ready_spec(teacher, config.input, corpora.classes)
            return adopt(stage_folder / WEIGHTS, spec, str(teacher.init_from))

        settings = {**self._identity_of(teacher), "classes": corpora.classes}
        return Stage(name, "teacher", settings, (), run, together=False)

    def score(self, name: str, trained: Stage) -> Stage:
        """The scores that a teacher gives U."""
        config, unlabeled = self.config, self.corpora.unlabeled
        assert unlabeled is not None  # the config asks for it where there is a teacher
        settings: dict[str, Any] = {
            "views": config.score.views,
            **_crops(config.score.crops),
            "per_example": min(config.score.per_example or config.select.per_example, len(self.corpora.classes)),
            "shard_size": config.score.shard_size,
            "precision": config.score.precision,
        }

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.inference.score import score_manifest

            weights = self.output / trained.name / WEIGHTS
            return score_manifest(
                folder, weights=weights, manifest=unlabeled, runtime=config.runtime, title=name, **settings
            )

        return Stage(
            name, "score", {"unlabeled": self._identity("unlabeled"), **settings}, (trained,), run, together=True
        )

    def select(self, name: str, scored: Stage, seed: int) -> Stage:
        """D̂ from scores."""
        unlabeled = self.corpora.unlabeled
        settings: dict[str, Any] = self.config.select.model_dump()
        policy = get_policy(settings["policy"])
        if policy.needs_seed:
            settings["seed"] = seed

        space = self.space if policy.needs_tags else None
        known_by = {LABELS: space.fingerprint[:16]} if space else {}

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.pipeline.select import select_stage

            scores = self.output / scored.name
            return select_stage(
                folder / SELECTION, scores=scores, manifest=unlabeled, space=space, title=name, **settings
            )

        return Stage(name, "select", {**settings, **known_by}, (scored,), run, together=False)

    def evaluate(self, name: str, trained: Stage) -> Stage:
        """The test of a network."""
        config, manifest = self.config, self.corpora.test

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.inference.evaluate import evaluate_weights

            return evaluate_weights(
                weights=self.output / trained.name / WEIGHTS,
                manifest=manifest,
                views=config.evaluate.views,
                crops=config.evaluate.crops,
                runtime=config.runtime,
                title=name,
                by_class=folder / CLASSES,
                labeled=self.corpora.labeled,
            )

        settings = {"test": self._identity("test"), "views": config.evaluate.views, **_crops(config.evaluate.crops)}
        return Stage(name, "evaluate", settings, (trained,), run, together=True)

    def _identity_of(self, network: Network, with_weights: bool = True) -> dict[str, Any]:
        """What a network is known by: all that it is built from and fed with, and the weights it begins with."""
        takes = self.config.input
        settings: dict[str, Any] = {
            "network": network.model_dump(include={"model", "frames", "args"}),
            "input": takes.model_dump(
                mode="json", exclude=set() if takes.random_resized_crop_scale else {"random_resized_crop_scale"}
            ),  # as `_crops`
        }
        if own := network.input.model_dump(mode="json", exclude_none=True):
            settings["own_input"] = own
        settings["network"]["args"] = {  # 1 and 1.0 are one width
            name: float(value) if type(value) is int else value for name, value in network.args.items()
        }
        found = self.found.get(network_key(network), {})
        return settings | {key: value for key, value in found.items() if with_weights or key != "init_from"}

    def _identity(self, name: str) -> str:
        """What a corpus of the run is known by."""
        data, manifest = self.config.data, self.corpora.by_name()[name]
        source = data.hashtags if name == "weak" else getattr(data, name)
        assert manifest and source
        return corpus_identity(manifest, source)
