"""Run the command line as `python -m edgenet`; `torchrun -m edgenet train ...` starts this module too."""

from __future__ import annotations

from edgenet.commands.app import main

if __name__ == "__main__":
    main()
