"""The variants of a study as one plan: stages that several of them need run once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from vidsemi.data.dedup.checks import Check
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import Resolved
from vidsemi.pipeline.stage import Plan


def plan_variants(resolved: Mapping[str, Resolved], varied: str) -> Plan:
    """Plan a run, or all variants of a study, given by their names; a run without variants has an empty name.

    `varied` says what varies.

    A stage that only one variant needs is in the folder `VARIANT/…` of the output, all others where a run has them.
    """
    plans = {name: plan_run(own) for name, own in resolved.items()}
    first = next(iter(plans.values()))
    if len(plans) == 1 and "" in plans:
        return first
    needed = Counter(stage.fingerprint for plan in plans.values() for stage in plan.stages)
    checks: list[Check] = []
    for plan in plans.values():
        checks += [check for check in plan.checks if check not in checks]
    study = Plan(
        output=first.output,
        runtime=first.runtime,
        log=first.log,
        checks=checks,
        summary=[f"{name}: {line}" for name, plan in plans.items() for line in plan.summary],
        sizes={"variants": {name: plan.sizes for name, plan in plans.items()}},
        started=first.started,
    )
    for name, plan in plans.items():
        for stage, kind in zip(plan.stages, plan.kinds, strict=True):
            folder = plan.planned_folders[stage.fingerprint]
            study.add(stage, folder if needed[stage.fingerprint] > 1 else f"{name}/{folder}", kind)
        study.rows += [replace(row, variant=name, varied=varied) for row in plan.rows]
    return study
