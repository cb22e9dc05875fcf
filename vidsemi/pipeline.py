"""The method: its stages in the paper's order, for every seed, student and approach of a config.

    D ──▶ teacher ──score U──▶ scores ──select──▶ D̂ ──pretrain──▶ student ──finetune on D──▶ evaluate
    D ──▶ student (supervised, the baseline) ──▶ evaluate

What two students or approaches have in common (teacher, scores, selection, or a teacher that is the student's own
network trained alike) is one stage and is made once.
"""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidsemi.config import Config, Network, Recipe
from vidsemi.errors import UserError
from vidsemi.files import write_json
from vidsemi.results import read_results
from vidsemi.run_directory import Stage, begun_stages, figures_of, is_done, locked, run_stage
from vidsemi.stages.corpora import Corpora, load_corpora

logger = logging.getLogger("vidsemi")

KINDS = ("teacher", "score", "select", "supervised", "pretrain", "finetune", "evaluate")  # the order of `--until`
SELECTION = "selection.parquet"


@dataclass(frozen=True)
class Evaluation:
    """A stage that ends in a row of results.json, and what the row says of it."""

    stage: Stage
    student: str
    approach: str
    seed: int
    weights: str


@dataclass(frozen=True)
class Plan:
    """The corpora of a run, all its stages in an order in which they can be run, and the evaluations among them."""

    corpora: Corpora
    stages: list[Stage]
    evaluations: list[Evaluation]


class Planner:
    """Turns a config into stages. Building them runs nothing and imports no torch."""

    def __init__(self, config: Config, corpora: Corpora):
        self.config, self.corpora, self.output = config, corpora, Path(config.output)
        self.stages: list[Stage] = []
        self.evaluations: list[Evaluation] = []
        self.begun = begun_stages(self.output)

    def plan(self) -> Plan:
        """All stages, each after those that it reads."""
        for seed in self.config.seeds:
            selection = None
            if self.config.has_teacher:
                selection = self._teach(seed)
            for student in self.config.students:
                for approach in self.config.approaches_of(student):
                    folder = f"seed{seed}/{student.name}/{approach}"
                    if approach == "supervised":
                        recipe = self.config.train.supervised
                        last = self._train(f"{folder}/train", "supervised", student, recipe, seed)
                    else:
                        assert selection and self.config.train.pretrain and self.config.train.finetune
                        first = self._train(
                            f"{folder}/pretrain", "pretrain", student, self.config.train.pretrain, seed, selection
                        )
                        last = self._train(
                            f"{folder}/finetune", "finetune", student, self.config.train.finetune, seed, init=first
                        )
                    self._evaluate(folder, last, student.name, approach, seed)
        return Plan(self.corpora, self.stages, self.evaluations)

    def _teach(self, seed: int) -> Stage:
        """Teacher, its test, its scores of U, the selection; returns the selection."""
        config, teacher, unlabeled = self.config, self.config.teacher, self.corpora.unlabeled
        assert teacher and unlabeled
        folder = f"seed{seed}/teacher"
        trained = self._train(f"{folder}/train", "teacher", teacher, teacher.train or config.train.supervised, seed)
        self._evaluate(folder, trained, "teacher", "teacher", seed)
        score = {
            "views": config.score.views,
            "per_example": min(config.score.per_example or config.select.per_example, len(self.corpora.classes)),
            "shard_size": config.score.shard_size,
        }

        def run_score(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.stages.score import score_stage

            weights = self.output / trained.name / "weights.pt"
            return score_stage(
                stage_folder,
                weights=weights,
                manifest=unlabeled,
                machine=config.machine,
                title=f"{folder}/score",
                **score,
            )

        scored = self._add(
            f"{folder}/score", "score", {"unlabeled": self._identity("unlabeled"), **score}, (trained,), run_score
        )

        def run_select(stage_folder: Path) -> dict[str, Any]:
            from vidsemi.stages.select import select_stage

            return select_stage(
                stage_folder / SELECTION, scores=self.output / scored.name, **config.select.model_dump()
            )

        return self._add(f"{folder}/select", "select", config.select.model_dump(), (scored,), run_select)

    def _train(
        self,
        name: str,
        kind: str,
        network: Network,
        recipe: Recipe,
        seed: int,
        selection: Stage | None = None,
        init: Stage | None = None,
    ) -> Stage:
        """A training on D̂ where there is a selection, else on D; from the weights of `init` or fresh ones."""
        config, corpora = self.config, self.corpora

        def run(folder: Path) -> dict[str, Any]:
            from vidsemi.stages.train import labeled_lesson, selected_lesson, train_stage

            if selection is None:
                lesson = labeled_lesson(corpora)
            else:
                lesson = selected_lesson(corpora, self.output / selection.name / SELECTION)
            return train_stage(
                folder,
                lesson,
                network=network,
                input=config.input,
                classes=corpora.classes,
                recipe=recipe,
                seed=seed,
                machine=config.machine,
                title=name,
                init_from=self.output / init.name / "weights.pt" if init else None,
            )

        settings = {
            "network": network.model_dump(include={"model", "frames", "args"}),
            "input": config.input.model_dump(mode="json"),
            "recipe": recipe.model_dump(),
            "seed": seed,
            "labeled": self._identity("labeled"),
        }
        return self._add(name, kind, settings, tuple(stage for stage in (selection, init) if stage), run)

    def _evaluate(self, folder: str, trained: Stage, student: str, approach: str, seed: int) -> None:
        config, manifest = self.config, self.corpora.test
        weights = f"{trained.name}/weights.pt"

        def run(_: Path) -> dict[str, Any]:
            from vidsemi.stages.evaluate import evaluate_stage

            return evaluate_stage(
                weights=self.output / weights,
                manifest=manifest,
                views=config.evaluate.views,
                machine=config.machine,
                title=f"{folder}/evaluate",
            )

        settings = {"test": self._identity("test"), "views": config.evaluate.views}
        stage = self._add(f"{folder}/evaluate", "evaluate", settings, (trained,), run)
        self.evaluations.append(Evaluation(stage, student, approach, seed, weights))

    def _identity(self, name: str) -> str:
        """What a corpus is known by: the content of its manifest, and the root where the config gives one."""
        source, manifest = getattr(self.config.data, name), self.corpora.by_name()[name]
        assert manifest
        return f"{manifest.fingerprint} under {source.root}" if source.root else manifest.fingerprint

    def _add(self, name: str, kind: str, settings: dict, after: tuple[Stage, ...], run: Any) -> Stage:
        """Add a stage; one that would do what another does, here or in the directory, is that other one."""
        stage = Stage(name, kind, settings, after, run)
        if self.begun.get(stage.fingerprint, name) != name:
            stage = replace(stage, name=self.begun[stage.fingerprint])
        shared = next((known for known in self.stages if known.fingerprint == stage.fingerprint), None)
        if shared is None:
            self.stages.append(stage)
        return shared or stage


def dataset_folder(name: str) -> Path:
    """The folder under datasets/ of a checkout, or of those that come with an installed vidsemi."""
    package = Path(__file__).parent
    for folder in (package / "datasets" / name, package.parent / "datasets" / name):
        if folder.is_dir():
            return folder
    raise UserError(f"data.dataset: there is no datasets/{name}")


def prepare_data(config: Config) -> None:
    """Make the manifests that are missing, where the config says that the dataset's own script makes them."""
    data = config.data
    sources = [source for source in (data.labeled, data.test, data.unlabeled) if source is not None]
    if not (data.prepare and data.dataset) or all(Path(source.manifest).exists() for source in sources):
        return
    script, target = dataset_folder(data.dataset) / "prepare.py", Path(data.labeled.manifest).parent
    logger.info("%s writes the data to %s", script, target)
    if subprocess.run([sys.executable, str(script), "--output", str(target)], stdout=sys.stderr).returncode:
        raise UserError(f"{script} did not finish; the data in {target} is not complete")


def preflight(config: Config) -> Plan:
    """Find out in seconds what would else stop a run after hours, and plan its stages.

    Raises:
        UserError: the data is not as the config says, a network or the device does not exist, the output cannot be
            written to or was made by another config.
    """
    if config.data.dataset:
        dataset_folder(config.data.dataset)
    corpora = load_corpora(config.data)  # first, since it needs no torch and is where most runs fail
    import torch

    from vidsemi.engine.machine import pick_device
    from vidsemi.models.create import create_model

    with torch.device("meta"):  # a network that exists can be built; no memory, no time
        for network in [*config.students, *([config.teacher] if config.teacher else [])]:
            create_model(network.model, num_classes=len(corpora.classes), frames=network.frames, args=network.args)
    pick_device(config.machine)
    above = _nearest(Path(config.output))
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"output: {config.output} cannot be made or written to, because of {above}")
    plan = Planner(config, corpora).plan()
    for stage in plan.stages:
        is_done(Path(config.output), stage)
    return plan


def _nearest(path: Path) -> Path:
    """The path itself or the closest one above it that is there."""
    return next(above for above in [path, *path.resolve().parents] if above.exists())


def run(config: Config, until: str | None = None) -> list[dict[str, Any]]:
    """Run every stage that is not done yet and write results.json.

    Args:
        config: of the run.
        until: one of `KINDS`; later stages are left out.

    Returns:
        The rows of results.json: one an evaluation that is done.
    """
    prepare_data(config)
    plan = preflight(config)
    output = Path(config.output)
    last = KINDS.index(until) if until else len(KINDS)
    with locked(output):
        for stage in plan.stages:
            if KINDS.index(stage.kind) <= last:
                run_stage(output, stage)
                write_json(output / "results.json", _rows(output, plan))
        return _rows(output, plan)


def _rows(output: Path, plan: Plan) -> list[dict[str, Any]]:
    """A row for each evaluation of the plan that is done, by this call or an earlier one, then those of other plans."""
    rows: list[dict[str, Any]] = []
    for evaluation in plan.evaluations:
        figures = figures_of(output, evaluation.stage)
        if figures is not None:
            who = {"student": evaluation.student, "approach": evaluation.approach, "seed": evaluation.seed}
            rows.append({**who, **figures, "weights": evaluation.weights})
    planned = {(evaluation.student, evaluation.approach, evaluation.seed) for evaluation in plan.evaluations}
    before = read_results(output) if (output / "results.json").exists() else []
    kept = [row for row in before if (row["student"], row["approach"], row["seed"]) not in planned]
    return rows + [row for row in kept if (output / str(row.get("weights"))).is_file()]


def check(config: Config) -> tuple[dict[str, Any], str]:
    """Look at all that a run needs and run nothing.

    Returns:
        What was found, as a JSON document and as text.

    Raises:
        UserError: as `preflight` does.
    """
    plan = preflight(config)
    output = Path(config.output)
    sizes = {name: len(manifest) if manifest else 0 for name, manifest in plan.corpora.by_name().items()}
    free = shutil.disk_usage(_nearest(output)).free
    stages = {stage.name: "done" if is_done(output, stage) else "to do" for stage in plan.stages}
    lines = [f"{state:5}  {name}" for name, state in stages.items()]
    lines.append(f"{len(plan.corpora.classes)} classes; " + ", ".join(f"{size} {name}" for name, size in sizes.items()))
    lines.append(f"{free / 2**30:.1f} GiB free for {output}")
    document = {"output": config.output, "classes": len(plan.corpora.classes), **sizes, "free_bytes": free}
    return {**document, "stages": stages}, "\n".join(lines)
