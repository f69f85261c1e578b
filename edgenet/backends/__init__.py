"""Other people's converters, for those who must have them."""
