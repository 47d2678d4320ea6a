"""One HTML page that needs nothing but itself: no network, no scripts, light and dark."""

from __future__ import annotations

from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --paper: #fff; --line: #d5dae1; --soft: #f4f6f8; --dim: #5b6572;
  --intent: #1f5fbf; --function: #6b4fa0; --slot: #1d7a4c; --bad: #b3261e; --bar: #d9a19d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --paper: #15191e; --line: #39424d; --soft: #1e242b;
  --dim: #9aa5b1; --intent: #7fb2ff; --function: #c1a5f5; --slot: #6fd3a0; --bad: #ff9d94; --bar: #7d3b37; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 75rem;
  margin: 0 auto; padding: 1.5rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 1.6rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: start; vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
td.number, th.number { text-align: end; font-variant-numeric: tabular-nums; }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
code { unicode-bidi: isolate; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .7rem; overflow-x: auto; border-radius: 5px; }
a { color: var(--intent); }
.intent { color: var(--intent); } .function { color: var(--function); } .slot { color: var(--slot); }
.dim { color: var(--dim); } .bad { color: var(--bad); }
.bar { background: var(--bar); height: .8em; display: inline-block; min-width: 1px; }
.picture { overflow-x: auto; }
mark { background: none; color: var(--bad); text-decoration: underline wavy var(--bad); text-underline-offset: 3px; }
"""


def page(title: str, body: str, style: str = "") -> str:
    """A whole page around `body`, which is HTML already; `style` is CSS to add."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Even a mistake in escaping could load or run nothing.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Any text as HTML; characters that no page may hold are shown as U+FFFD."""
    return escape("".join(char if _allowed(char) else "\ufffd" for char in str(value)))


def _allowed(char: str) -> bool:
    # What XML allows, less the characters that turn the line round for all that follows.
    code = ord(char)
    plain = char in "\t\n\r" or 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD
    turns = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return (plain or code >= 0x10000) and not turns
