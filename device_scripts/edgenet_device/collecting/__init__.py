"""Collecting photos of one class: which are kept, when they are taken, and how they are sent to the host."""
