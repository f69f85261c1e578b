"""The page on which a browser runs a bundle's model on its own camera: its files, its server, its latency reports."""
