"""The verbs: one function for each edgenet command, called by the command line."""
