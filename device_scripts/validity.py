"""Decides whether a latency figure may be trusted, and gives the reasons if not."""

from __future__ import annotations

from dataclasses import dataclass

from .conditions import Conditions
from .delegate import Delegate

MIN_RUNS = 50
MAX_LOAD_PER_CORE = 0.5
MAX_OTHERS_SHARE = 0.1
MAX_DRIFT = 0.05


@dataclass(frozen=True)
class Evidence:
    """The facts that the verdict is based on.

    Attributes:
        runs: number of timed runs in the steady state.
        groups_ms: p50 of consecutive groups of these runs, from `sample_statistics.group_medians_ms`; empty
            if unknown.
        before: conditions before anything was run, so that the load is not ours.
        after: conditions after the last run.
        delegate: what was delegated.
        cores: number of the device's cores, at least 1.
        others_share: share of all CPUs' time that other processes used during the steady state, 0..1; None if
            unknown.
        during: conditions between the runs.
    """

    runs: int
    groups_ms: tuple[float, ...]
    before: Conditions
    after: Conditions
    delegate: Delegate
    cores: int
    others_share: float | None
    during: tuple[Conditions, ...] = ()


def reasons_against(evidence: Evidence) -> list[str]:
    """Return the reasons why the measurement is not valid; the list is empty when it is valid.

    An unknown fact is no reason, except the delegate: if the delegate is unknown, the figure means nothing.
    """
    return [
        *_too_few(evidence.runs),
        *_throttled(evidence),
        *_other_load(evidence),
        *_no_delegate(evidence.delegate),
        *_unsteady(evidence.groups_ms),
    ]


def _too_few(runs: int) -> list[str]:
    return [f"too few runs: {runs}, need {MIN_RUNS}"] if runs < MIN_RUNS else []


def _throttled(evidence: Evidence) -> list[str]:
    """Return what throttled the device at any reading.

    Throttling between two readings counts, too: it shows as a new since-boot flag.
    """
    looks = [evidence.before, *evidence.during, evidence.after]
    told = [seen.throttling for seen in looks if seen.throttling is not None]
    if not told:
        return []
    now = {name for one in told for name in one["now"]}
    between = {*(told[-1]["since_boot"] or ())} - {*(told[0]["since_boot"] or ())}
    return [f"throttled: {name}" for name in sorted(now | between)]


def _other_load(evidence: Evidence) -> list[str]:
    reasons = []
    average = evidence.before.load_average
    if average is not None and average / evidence.cores > MAX_LOAD_PER_CORE:
        reasons.append(
            f"other load: load average {average:.2f} on {evidence.cores} cores at the start, "
            f"at most {MAX_LOAD_PER_CORE} per core is allowed"
        )
    if evidence.others_share is not None and evidence.others_share > MAX_OTHERS_SHARE:
        reasons.append(
            f"other load: other processes used {evidence.others_share * 100:.0f} % of all CPUs' time, "
            f"at most {MAX_OTHERS_SHARE * 100:.0f} % is allowed"
        )
    return reasons


def _no_delegate(delegate: Delegate) -> list[str]:
    if delegate.nodes_total is None:
        return ["delegate unknown: the runtime does not report which nodes it took"]
    return [] if delegate.partitions else ["delegate missing: the built-in kernels ran the network"]


def _unsteady(medians: tuple[float, ...]) -> list[str]:
    """Return a reason unless all medians of consecutive groups lie within 5 % of the lowest."""
    lowest, highest = min(medians, default=0.0), max(medians, default=0.0)
    if highest <= lowest * (1 + MAX_DRIFT):
        return []
    drift = highest / lowest - 1
    listed = ", ".join(f"{median:.3f}" for median in medians)
    return [f"unsteady: p50 of {len(medians)} consecutive groups differ by {drift * 100:.0f} % ({listed} ms)"]
