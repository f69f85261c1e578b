"""The networks as plain torch modules, one registry of variant names, and their weights."""
