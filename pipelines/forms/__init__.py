"""Logical forms <-> trees. Plain functions, each pair one-to-one; a module for each language, none reads a file.

    overnight.py   ( call SW.listValue ( ... ) )                      Overnight
    logic.py       ( lambda $0 e ( ... ) ), job ( ANS ) , ...         GeoQuery, JOBS, ATIS
    nlmaps.py      query(area(keyval('name','Paris')),qtype(count))   NLmaps

Each has `to_tree(form, notation)` and `to_form(tree, notation)`. `plain` writes every bracket as a node; `compact` is
shorter, and so better to learn: what always goes together is one symbol. A form whose compact tree would not give the
form back is written plainly under `PLAIN`, so that `to_form(to_tree(form)) == form` whatever the form.
"""

from __future__ import annotations

PLAIN = "plain"
"""The root above a tree in plain notation in a data set of compact ones."""

NOTATIONS = ("compact", "plain")


class FormError(ValueError):
    """A text that is no logical form of its language, or a tree that stands for none."""
