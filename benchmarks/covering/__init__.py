"""Networks of others that edgenet should be able to convert, and their export."""
