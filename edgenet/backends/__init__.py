"""Converters from other projects, for users who need them."""
