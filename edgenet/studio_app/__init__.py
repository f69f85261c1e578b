"""The page of `edgenet studio`: collect photos, teach, look at the result, try it and deploy it, in a browser."""
