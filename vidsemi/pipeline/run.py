"""A run: its plan is checked, what is not done yet is done, and results.json says what came out."""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidsemi.config import Config, Recipe
from vidsemi.data.dedup.checks import Check, check_duplicates, describe_checks, unknown_checks, write_checks
from vidsemi.data.hashtags.vocabulary import Vocabulary, vocabulary_for
from vidsemi.data.run_datasets import Datasets, load_datasets
from vidsemi.io.errors import UserError
from vidsemi.io.files import dataset_folder, write_json
from vidsemi.pipeline.plan import KINDS, Plan, Planner
from vidsemi.pipeline.results import is_transfer, read_results
from vidsemi.pipeline.stage import Stage, figures_of, is_done, locked, run_stage
from vidsemi.pipeline.steps import CLASSES, network_key
from vidsemi.pipeline.targets import BEFORE, duplicates_of_targets, load_targets, target_lines, with_earlier_checks
from vidsemi.pipeline.transfers import transfer_rows
from vidsemi.runtime.distributed import done_by_first, first_before_others
from vidsemi.runtime.launch import started_processes
from vidsemi.training.log import check_log

logger = logging.getLogger("vidsemi")


def prepare_data(config: Config) -> None:
    """Make the manifests that are missing, where the config says that the dataset's own script makes them."""
    data = config.data
    sources = [source for source in (data.labeled, data.test, data.unlabeled, data.weak) if source is not None]
    if not (data.prepare and data.dataset) or all(Path(source.manifest).exists() for source in sources):
        return
    script, target = dataset_folder(data.dataset) / "prepare.py", Path(data.labeled.manifest).parent
    logger.info("%s writes the data to %s", script, target)
    if subprocess.run([sys.executable, str(script), "--output", str(target)], stdout=sys.stderr).returncode:
        raise UserError(f"{script} did not finish; the data in {target} is not complete")


def preflight(config: Config) -> Plan:
    """Find out in seconds what would else stop a run after hours, and plan its stages.

    Raises:
        UserError: the data is not as the config says, a network or the device does not exist, what is logged to is not
            installed, the output cannot be written to or was made by another config.
    """
    if config.data.dataset:
        dataset_folder(config.data.dataset)
    check_log(config.log)
    used = {
        "unlabeled": config.data.unlabeled if config.taught_by else None,
        "weak": config.data.hashtags if config.learns_hashtags else None,
    }
    corpora = load_datasets(config.data.model_copy(update=used))  # first: it needs no torch, and most runs fail here
    space, targets = _vocabulary(config, corpora), load_targets(config.transfer)
    from vidsemi.runtime.device import pick_device

    found = _look_at_networks(config, corpora)
    pick_device(config.runtime)
    above = _nearest(Path(config.output))
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"output: {config.output} cannot be made or written to, because of {above}")
    plan = Planner(config, corpora, found, space, targets).plan()
    for stage in plan.stages:
        if not is_done(Path(config.output), stage):
            _look_at_recipe(stage)
    return plan


def _vocabulary(config: Config, corpora: Datasets) -> Vocabulary | None:
    """The vocabulary of the hashtags that the run uses, if any."""
    synonyms = dataset_folder(config.data.dataset) / "synonyms.csv" if config.data.dataset else None
    return vocabulary_for(
        corpora.classes,
        config.hashtags,
        weak=corpora.weak,
        tagged=corpora.unlabeled if config.select.policy == "balanced_with_tags" else None,
        default_synonyms=synonyms if synonyms and synonyms.exists() else None,
    )


def _look_at_networks(config: Config, corpora: Datasets) -> dict[str, dict[str, Any]]:
    """Refuse networks that do not exist, clips that they do not take, weights that are not theirs.

    Returns:
        What was found out about each, as `Planner` wants it.
    """
    from vidsemi.models.build import (
        check_features,
        check_network,
        check_weights,
        identity_of,
        network_spec,
        ready_spec,
    )

    found: dict[str, dict[str, Any]] = {}
    for network in [*config.students, *([config.teacher] if config.taught_by and config.teacher else [])]:
        ready = network is config.teacher and config.teacher.frozen
        if network_key(network) in found and not ready:
            continue
        spec = (ready_spec if ready else network_spec)(network, config.input, corpora.classes)
        check_network(spec)
        if network is not config.teacher and any("fc_only" in target.protocols for target in config.transfer):
            check_features(spec)
        about = found.setdefault(network_key(network), {})
        if "/" in network.model:  # what a zoo wants may change with its version
            about["zoo_input"] = asdict(spec.input)
        if network.init_from:
            weak = network.weakly_pretrained
            check_weights(spec, network.init_from, as_they_are=ready, weakly_pretrained=weak)
            about["init_from"] = identity_of(network.init_from)
    return found


def _look_at_recipe(stage: Stage) -> None:
    """Refuse a training whose steps cannot be dealt out to the processes that there are."""
    recipe = stage.settings.get("recipe")
    try:
        if recipe:
            Recipe(**recipe).micro_batches_for(started_processes())
    except ValueError as error:
        raise UserError(f"{stage.name}: {error}") from None


def _nearest(path: Path) -> Path:
    """The path itself or the closest one above it that is there."""
    return next(above for above in [path, *path.resolve().parents] if above.exists())


def run(config: Config, until: str | None = None) -> list[dict[str, Any]]:
    """Run every stage that is not done yet and write results.json. All processes call this, and get the same.

    Args:
        config: of the run.
        until: one of `KINDS`; later stages are left out.

    Returns:
        The rows of results.json: one an evaluation that is done.
    """
    with first_before_others():  # the others find the data there, and plan before the first changes the directory
        prepare_data(config)
        plan = preflight(config)
    output = Path(config.output)
    last = KINDS.index(until) if until else len(KINDS)
    with locked(output):
        checks = duplicate_checks(config, plan)
        done_by_first(lambda: write_checks(output, with_earlier_checks(output, checks, _rows(output, plan))))
        for stage in plan.stages:
            if KINDS.index(stage.kind) <= last:
                run_stage(output, stage)
                done_by_first(lambda: write_json(output / "results.json", _rows(output, plan)))
        return done_by_first(lambda: _rows(output, plan))


def duplicate_checks(config: Config, plan: Plan) -> list[Check]:
    """What is known of duplicates between what is trained on and what is tested on."""
    manifests = plan.corpora.by_name()
    learnt = {name: manifests[name] for name in ("labeled", "unlabeled", "weak")}
    teacher = [config.teacher] if config.taught_by and config.teacher else []
    from_weights = any(network.init_from for network in [*config.students, *teacher])
    test = {"test": plan.corpora.test}
    checks = check_duplicates(learnt, test) + (unknown_checks(BEFORE, test) if from_weights else [])
    return checks + duplicates_of_targets(learnt, plan.targets, from_weights=from_weights)


def _rows(output: Path, plan: Plan) -> list[dict[str, Any]]:
    """A row for each evaluation of the plan that is done, by this call or an earlier one, then those of other plans.

    Rows of transfers come last.
    """
    rows: list[dict[str, Any]] = []
    for evaluation in plan.evaluations:
        figures = figures_of(output, evaluation.stage)
        if figures is not None:
            who = {"student": evaluation.student, "approach": evaluation.approach, "seed": evaluation.seed}
            classes = f"{evaluation.stage.name}/{CLASSES}"
            files = {"weights": evaluation.weights} | ({"classes": classes} if (output / classes).is_file() else {})
            rows.append({**who, **figures, **files})
    planned = {(evaluation.student, evaluation.approach, evaluation.seed) for evaluation in plan.evaluations}
    results = read_results(output) if (output / "results.json").exists() else []
    transfers = transfer_rows(output, plan.transfers, results)
    before = [row for row in results if not is_transfer(row)]
    networks = {(evaluation.student, evaluation.weights) for evaluation in plan.evaluations}  # perhaps renamed since
    kept = [
        row
        for row in before
        if (row["student"], row["approach"], row["seed"]) not in planned
        and (row["student"], row.get("weights")) not in networks
    ]
    return rows + [row for row in kept if (output / str(row.get("weights"))).is_file()] + transfers


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
    lines += target_lines(plan.targets)
    lines.append(f"{free / 2**30:.1f} GiB free for {output}")
    duplicates = duplicate_checks(config, plan)
    said, warnings = describe_checks(duplicates)
    lines += [*said, *warnings]
    document = {"output": config.output, "classes": len(plan.corpora.classes), **sizes, "free_bytes": free}
    document["duplicates"] = [asdict(check) for check in duplicates]
    return {**document, "stages": stages}, "\n".join(lines)
