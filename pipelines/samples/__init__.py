"""Our own corpus: invented requests about shopping, music, lights, timers, weather, cinema and messages.

    >>> from pipelines.samples import generate
    >>> first = next(generate(10, seed=1))
    >>> first.tree.label in {"and", *first.intents}
    True

Any number of rows from a seed, written twice: flat (words, intents, slots) for the converter, and as
gold trees to compare it with.
"""

from pipelines.samples.generate import Sample, generate

__all__ = ["Sample", "generate"]
