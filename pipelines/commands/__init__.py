"""The commands of `python -m pipelines`, one file each; what is heavy is imported inside them."""
