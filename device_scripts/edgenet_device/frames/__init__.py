"""Frames: photos, folders, videos, USB and CSI cameras, and the newest frame of a camera."""
