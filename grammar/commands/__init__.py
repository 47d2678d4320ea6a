"""The commands of `python -m grammar`, one file each; what is heavy is imported inside them."""
