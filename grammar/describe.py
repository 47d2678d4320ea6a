"""An ontology for people and programs: a guide for annotators (Markdown, HTML) and a JSON Schema of trees."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from grammar import page
from grammar.ontology import KINDS, Node, Ontology

FORMATS = ("markdown", "html", "schema")
_TITLES = {"intent": "Intents", "function": "Functions", "slot": "Slots"}
_ABOUT = {
    "intent": "what a request asks for",
    "function": "what joins requests or values",
    "slot": "what a request says, in its own words",
}


def markdown(ontology: Ontology, title: str = "Labels") -> str:
    """A guide for annotators: one table a kind, and how every label is used."""
    lines = [f"# {title}", "", f"A tree begins with {_join(sorted(ontology.roots), _code)}."]
    for kind in KINDS:
        if labels := ontology.labels(kind):
            lines += ["", f"## {_TITLES[kind]}: {_ABOUT[kind]}", "", "| label | meaning | holds | stands below |"]
            lines.append("|---|---|---|---|")
        for label in labels:
            node = ontology.nodes[label]
            meaning = [_cell(node.description), *(f"*for example* {_code(_cell(e))}" for e in node.examples)]
            cells = [
                _code(label),
                "<br>".join(filter(None, meaning)),
                _holds(node, _code),
                _below(ontology, label, _code),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    if ontology.lexicon:
        lines += ["", "## Words", "", f"Not in the utterance, yet allowed: {_join(sorted(ontology.lexicon), _code)}."]
    return "\n".join(lines) + "\n"


def html(ontology: Ontology, title: str = "Labels") -> str:
    """The same guide as one page; labels are links."""

    def link(label: str) -> str:
        kind = ontology.kind(label)
        return f'<a class="{kind}" href="#{page.text(label)}"><code>{page.text(label)}</code></a>'

    def word(text: str) -> str:
        return f"<code>{page.text(text)}</code>"

    parts = [f"<h1>{page.text(title)}</h1>", f"<p>A tree begins with {_join(sorted(ontology.roots), link)}.</p>"]
    for kind in KINDS:
        if not (labels := ontology.labels(kind)):
            continue
        parts.append(f"<h2>{_TITLES[kind]}: {_ABOUT[kind]}</h2>")
        parts.append("<table>\n<tr><th>label</th><th>meaning</th><th>holds</th><th>stands below</th></tr>")
        for label in labels:
            node = ontology.nodes[label]
            meaning = [page.text(node.description)]
            meaning += [f'<span class="dim">for example</span> {word(example)}' for example in node.examples]
            cells = [
                f'<code class="{kind}">{page.text(label)}</code>',
                "<br>".join(filter(None, meaning)),
                _holds(node, link),
                _below(ontology, label, link),
            ]
            parts.append(f'<tr id="{page.text(label)}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        parts.append("</table>")
    if ontology.lexicon:
        words = _join(sorted(ontology.lexicon), word)
        parts.append(f"<h2>Words</h2>\n<p>Not in the utterance, yet allowed: {words}.</p>")
    return page.page(title, "\n".join(parts))


def about(ontology: Ontology, label: str) -> str:
    """One label as a few lines of Markdown."""
    node = ontology.nodes[label]
    lines = [f"**{label}** ({node.kind})", node.description, *(f"*for example* {_code(e)}" for e in node.examples)]
    lines += [f"holds {_holds(node, _code)}", f"stands below {_below(ontology, label, _code)}"]
    return "\n\n".join(filter(None, lines))


def schema(ontology: Ontology) -> dict[str, Any]:
    """A JSON Schema (2020-12) of trees written as `{"label": ..., "children": [...]}`, words as strings.

    It says all that the ontology says: places, required and repeated children, fewest children.
    """
    number = {label: f"{i}-{re.sub('[^A-Za-z0-9_.-]', '-', label)}" for i, label in enumerate(ontology.labels())}

    def labelled(*labels: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"label": {"enum": list(labels)}}, "required": ["label"]}

    # A label picks the one definition that is looked at: `anyOf` over definitions would have a validator
    # try them all at every level, and its time grow with the power of the depth.
    picks = [{"if": labelled(label), "then": {"$ref": f"#/$defs/{name}"}} for label, name in number.items()]
    definitions: dict[str, Any] = {"node": {"allOf": picks}} if picks else {"node": {"not": {}}}
    for label, name in number.items():
        node = ontology.nodes[label]
        kinds: list[dict[str, Any]] = [labelled(*sorted(node.takes))] if node.takes else []
        kinds += [{"type": "string", "minLength": 1}] * node.words
        children: dict[str, Any] = {"type": "array", "minItems": node.least}
        children |= {"items": {"anyOf": kinds, "$ref": "#/$defs/node"}} if kinds else {"maxItems": 0}
        counted = [
            {"contains": labelled(child), "minContains": int(child in node.required)}
            | ({} if child in node.repeated else {"maxContains": 1})
            for child in sorted(node.takes)
            if child in node.required or child not in node.repeated
        ]
        if counted:
            children["allOf"] = counted
        about = {"title": label, "description": node.description, "examples": list(node.examples)}
        definitions[name] = {key: value for key, value in about.items() if value} | {
            "type": "object",
            "properties": {"label": {"const": label}, "children": children},
            "required": ["label", "children"],
            "additionalProperties": False,
        }
    root = labelled(*sorted(ontology.roots)) | {"$ref": "#/$defs/node"} if ontology.roots else {"not": {}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


def _holds(node: Node, shown: Callable[[str], str]) -> str:
    parts = []
    for label in sorted(node.takes, key=lambda label: (label not in node.required, label)):
        often = {(True, True): "one or more", (True, False): "exactly one", (False, True): "any number"}
        how = often.get((label in node.required, label in node.repeated))
        parts.append(shown(label) + (f" ({how})" if how else ""))
    parts += ["words"] * node.words
    text = ", ".join(parts) or "nothing"
    return text + (f"; at least {node.least}" if node.least > 1 else "")


def _below(ontology: Ontology, label: str, shown: Callable[[str], str]) -> str:
    parents = sorted(parent for parent, node in ontology.nodes.items() if label in node.takes)
    parts = ["the root"] * (label in ontology.roots) + [shown(parent) for parent in parents]
    return ", ".join(parts) or "nothing"


def _join(labels: list[str], shown: Callable[[str], str]) -> str:
    *head, last = [shown(label) for label in labels] or ["nothing"]
    return f"{', '.join(head)} or {last}" if head else last


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    """Text that a Markdown table can hold."""
    return " ".join(text.split()).replace("|", "\\|")
