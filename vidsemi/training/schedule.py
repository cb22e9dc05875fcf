"""Learning rate schedule: warm-up, then steps or a cosine, by examples processed (paper: section 4.1)."""

import math

from vidsemi.config import Recipe


def learning_rate(recipe: Recipe, examples: int) -> float:
    """Learning rate of the step that starts after `examples` examples.

    The warm-up is linear from `warmup_start_lr` to the peak. Then the schedule `steps` divides the whole length into
    `lr_steps` + 1 equal intervals and multiplies by `lr_gamma` between them (pre-training: 13 halvings; fine-tuning:
    three times 0.1); `cosine` decays to 0.
    """
    peak = recipe.peak_rate
    if examples < recipe.warmup_examples:
        return recipe.warmup_start_lr + (peak - recipe.warmup_start_lr) * examples / recipe.warmup_examples
    if recipe.schedule == "steps":
        return peak * recipe.lr_gamma ** ((recipe.lr_steps + 1) * examples // recipe.examples)
    progress = (examples - recipe.warmup_examples) / max(recipe.examples - recipe.warmup_examples, 1)
    return peak * (1 + math.cos(math.pi * progress)) / 2
