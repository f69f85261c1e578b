"""Learning from the field: photos that the network was unsure of or that a person corrected, and its drift by day."""
