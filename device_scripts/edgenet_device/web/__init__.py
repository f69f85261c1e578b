"""The web server of every page that edgenet serves: its address, the reading of requests, and the connections."""
