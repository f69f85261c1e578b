"""Find the versions of the packages that make a bundle."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TOOLS = ("edgenet", "torch", "numpy", "ai-edge-litert")


def tool_versions() -> dict[str, str | None]:
    """Return the version of each package, or None if it is not installed; no package is imported for this."""
    return {name: _version(name) for name in TOOLS}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
