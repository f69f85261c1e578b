"""Calibration photos that may be redistributed; their sources and licences are in manifest.json."""
