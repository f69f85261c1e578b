"""Stand-ins for the programs of systemd, as shell scripts."""

from __future__ import annotations

PROPERTIES = "ActiveState=active\nNRestarts=2\nResult=success\nActiveEnterTimestampMonotonic=0\n"
SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$NOTES"
case "$*" in
    --version) echo "systemd 252 (252.1)" ;;
    *LoadState*) printf 'LoadState=loaded\\n%s' "$PROPERTIES" ;;
    "--user "*"-p ActiveState --value"*) echo active ;;
    *" show "*) printf '%s' "$PROPERTIES" ;;
    *restart*) exit ${RESTART_STATUS:-0} ;;
esac
"""
JOURNALCTL = """#!/bin/sh
echo '2026-11-25T22:58:53+0000 raspberrypi python[512]: error: there is no camera /dev/video0; plug it in'
"""
