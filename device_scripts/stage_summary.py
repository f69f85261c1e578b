"""Summarizes how long each stage of the frames took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .preprocess import RULE
from .runtime import Classifier
from .sample_statistics import percentile

STAGES = ("capture", "preprocess", "inference", "postprocess")
KEPT_TIMES = 10_000
"""The summary covers at most this many of the latest frames, because a camera may run for days."""


def summary(classifier: Classifier, times: Iterable[tuple[int, ...]], count: int) -> dict[str, Any]:
    """Return each stage's median (p50, ms) and its share of the sum of the four medians, ready for JSON.

    Args:
        times: for each timed frame, the nanoseconds of each of STAGES.
        count: number of all frames, timed or not.
    """
    columns = np.array(list(times), np.int64).T
    medians = [percentile(column, 50) / 1e6 for column in columns]
    total = sum(medians)
    return {
        "type": "summary",
        "schema": "edgenet.classify.v1",
        "frames": count,
        "frames_timed": columns.shape[1],
        "stages": {
            stage: {"p50_ms": median, "share": median / total if total else None}
            for stage, median in zip(STAGES, medians)
        },
        "sum_of_p50_ms": total,
        "model": {
            "file": classifier.model.path.name,
            "sha256": classifier.model.sha256,
            "size": classifier.size,
        },
        "preprocessing": RULE,
        "runtime": {"name": classifier.runtime.name, "version": classifier.runtime.version},
        "delegate": classifier.delegate.as_dict(),
        "threads": classifier.threads,
    }


def one_line(facts: dict[str, Any]) -> str:
    """Return a summary as one line of text."""
    runtime, threads = facts["runtime"], facts["threads"]
    return (
        f"{facts['frames']} frame{'s' * (facts['frames'] != 1)}  ·  "
        f"inference {facts['stages']['inference']['p50_ms']:.2f} ms (p50)  ·  whole frame "
        f"{facts['sum_of_p50_ms']:.2f} ms  ·  {runtime['name']} {runtime['version']}, "
        f"{threads} thread{'s' * (threads != 1)}"
    )


def table(facts: dict[str, Any]) -> str:
    """Return a summary as a table."""
    lines = [f"\n{'stage':<12} {'p50 ms':>8} {'share':>7}"]
    for stage, row in facts["stages"].items():
        share = "-" if row["share"] is None else f"{row['share'] * 100:.0f} %"
        lines.append(f"{stage:<12} {row['p50_ms']:>8.2f} {share:>7}")
    delegate = facts["delegate"]
    taken = (
        "unknown"
        if delegate["nodes_total"] is None
        else f"{delegate['nodes_taken']} of {delegate['nodes_total']}"
    )
    lines.append(f"{'sum':<12} {facts['sum_of_p50_ms']:>8.2f}")
    lines.append(
        f"{one_line(facts).split('  ·  ')[-1]}; nodes taken by {delegate['name'] or 'a delegate'}: {taken}"
    )
    if "contact_sheet" in facts:
        lines.append(f"contact sheet: {facts['contact_sheet']}")
    return "\n".join(lines)
