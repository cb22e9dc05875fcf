"""The results of the GPU check as Markdown, for docs/performance.md, and what they say about vidsemi's defaults."""

from collections.abc import Iterable
from typing import Any

from vidsemi.io.tables import markdown_table

TOLERANCES = {"bfloat16": 0.05, "float16": 0.05, "tf32": 0.005}  # relative, of a convolution and its gradients
CLEARLY = 1.03  # times as fast


def report(results: dict[str, dict[str, Any]]) -> str:
    """Verdicts, then a table or list a section."""
    lines = ["# GPU check", "", "## Verdicts", "", *(f"- {verdict}" for verdict in verdicts(results) or ["none"])]
    for name, result in results.items():
        lines += ["", f"## {name}"]
        tables = {key: value for key, value in result.items() if isinstance(value, list) and key == "rows"}
        others = {key: value for key, value in result.items() if key not in tables}
        lines += [""] if others else []
        for key, value in others.items():
            shown = (
                [f"- {key}:", *(f"  - {one}" for one in value)]
                if isinstance(value, list)
                else [f"- {key}: {_text(value)}"]
            )
            lines += shown
        for rows in tables.values():
            lines += ["", *_table(rows)]
    return "\n".join(lines) + "\n"


def verdicts(results: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong, and which default is not the fastest."""
    found = [f"{name}: FAILED: {result['failed']}" for name, result in results.items() if "failed" in result]
    for own in _rows(results, "convolutions"):
        for key, error in own.items():
            precision = key.split()[0]
            if key.endswith("error") and not error <= TOLERANCES[precision]:  # false for NaN
                found.append(f"WRONG: convolution {own['kernel']} {own['channels']} in {key}: {error:.3g}")
    for own in _rows(results, "resume"):
        if own["deterministic"] and own["resumed"] != 0:
            found.append(f"WRONG: a resumed run differs by {own['resumed']:.2g} in {own['precision']}")
    for name, value in results.get("memory", {}).items():
        if str(value).startswith("NOT ONE LINE"):
            found.append(f"WRONG: memory, {name}: {value}")
    for section, group in (("train", "loop"), ("forward", "network")):
        found += _fastest(section, group, _rows(results, section))
    return found


def _fastest(section: str, group: str, rows: Iterable[dict[str, Any]]) -> list[str]:
    """For each precision (and network) whether vidsemi's default is as fast as its alternatives."""
    speeds: dict[tuple[str, str], dict[str, float]] = {}
    for own in rows:
        if "clips_per_second" in own:
            kind = (own[group] if section == "forward" else "", own["precision"])
            speeds.setdefault(kind, {})[own["variant"]] = own["clips_per_second"]
    found = []
    for (name, precision), own in speeds.items():
        if "default" in own:
            best = max(own, key=own.__getitem__)
            gain = own[best] / own["default"]
            words = "the default is the fastest" if gain < CLEARLY else f"{best} is {gain:.2f} times the default"
            found.append(f"{section}{f', {name}' if name else ''}, {precision}: {words}")
    return found


def _rows(results: dict[str, dict[str, Any]], section: str) -> list[dict[str, Any]]:
    return results.get(section, {}).get("rows", [])


def _table(rows: list[dict[str, Any]]) -> list[str]:
    header = list(dict.fromkeys(key for own in rows for key in own))
    return markdown_table(tuple(header), [tuple(_text(own.get(key, "")) for key in header) for own in rows])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
