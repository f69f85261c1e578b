"""Figures and pages drawn from results; matplotlib is imported only where one is drawn."""
