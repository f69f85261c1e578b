"""Other machines: how files get there, how programs run there, and what a bundle's installation there looks like."""
