"""The versions of the tools that make a bundle."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TOOLS = ("edgenet", "torch", "numpy", "ai-edge-litert")


def tool_versions() -> dict[str, str | None]:
    """Version by package; None for one that is not installed. Imports none of them."""
    return {name: _version(name) for name in TOOLS}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
