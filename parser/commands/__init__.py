"""The commands of `python -m parser`, one file each; what is heavy is imported inside them."""
