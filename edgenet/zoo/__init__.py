"""The model zoo: the networks as plain torch modules, the registry of variant names, and pretrained weights."""
