"""The learning rate as a pure function of the examples processed (paper: section 4.1, implementation details)."""

import math

from vidsemi.config import Recipe


def learning_rate(recipe: Recipe, examples: int) -> float:
    """Rate for the step that begins after `examples` examples.

    Warm-up is linear from `warmup_start_lr` to the peak. Then `steps` cuts the whole length into `lr_steps` + 1 equal
    stretches and multiplies by `lr_gamma` between them (pre-training: 13 halvings, fine-tuning: three tenths);
    `cosine` goes down to 0 along half a wave.
    """
    peak = recipe.peak_rate
    if examples < recipe.warmup_examples:
        return recipe.warmup_start_lr + (peak - recipe.warmup_start_lr) * examples / recipe.warmup_examples
    if recipe.schedule == "steps":
        return peak * recipe.lr_gamma ** ((recipe.lr_steps + 1) * examples // recipe.examples)
    left = (examples - recipe.warmup_examples) / max(recipe.examples - recipe.warmup_examples, 1)
    return peak * (1 + math.cos(math.pi * left)) / 2
