"""Draw figures and pages from results; matplotlib is imported only where a figure is drawn."""
