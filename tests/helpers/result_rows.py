"""Rows of results.json as the tests of the report need them."""


def row(student: str, approach: str, seed: int, top1: float, gmacs: float = 1.0, **more: object) -> dict:
    """What a student reached by an approach with a seed; `more` adds fields or replaces them."""
    figures = {"top1": top1, "top5": 95.0, "mean_class_top1": top1, "views": 10, "gmacs_per_view": gmacs}
    return {"student": student, "approach": approach, "seed": seed, "parameters": 1_500_000, **figures, **more}
