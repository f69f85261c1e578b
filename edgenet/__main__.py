"""`python -m edgenet`, which is what `torchrun -m edgenet train ...` starts."""

from __future__ import annotations

from edgenet.cli.app import main

if __name__ == "__main__":
    main()
