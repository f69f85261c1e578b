"""Devices: how edgenet copies files to them, runs programs on them, and installs bundles there."""
