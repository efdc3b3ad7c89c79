"""Draws what `make demo` prints as a terminal: tests/demo.sh DIRECTORY | python3 tests/picture.py >docs/demo.svg

All text is the demo's own. A few of its sections are drawn, by their titles; and what differs in each run (a directory, a
port, a time, random letters) is always the same, so that the picture changes only when the programs say something else. Lines
are broken as a terminal of WIDTH columns breaks them.
"""

import re
import sys
from xml.sax.saxutils import escape

SECTIONS = ["Three secrets", "What is stored", "A program that gets one secret", "A program that uses a secret"]
WIDTH = 100
SIZE, LINE, CELL, MARGIN = 14, 19, 8.43, 16
BACK, TEXT, TITLE, PROMPT = "#1f2430", "#cbccc6", "#8a9199", "#ffffff"

# In each run something else.
SAME = [
    (r"/\S*secretsd-demo\.\w+", "/tmp/demo"),
    (r"localhost:\d+", "localhost:8443"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-04-15T12:00:00Z"),
    (r"(sk-proj-ssdph)\w+", r"\1AbCdEfGhIjKlMnOpQrStUvWxYz012345678"),
]


def chosen(text):
    """The sections to draw. In that of the broker, up to what the host has got: the log is drawn nowhere."""
    for section in re.split(r"\n(?=# )", "\n" + text):
        if any(section.startswith("# " + title) for title in SECTIONS):
            yield section.split("\n$ secretctl audit")[0].rstrip("\n")


def broken(line):
    return [line[at : at + WIDTH] for at in range(0, len(line), WIDTH)] or [""]


def main():
    sections = list(chosen(sys.stdin.read()))
    if len(sections) != len(SECTIONS):
        sys.exit("picture: the demo has not all of its sections; it says what is missing")
    text = "\n\n".join(sections)
    for pattern, same in SAME:
        text = re.sub(pattern, same, text)
    lines = []
    for line in text.split("\n"):
        colour = TITLE if line.startswith("# ") else PROMPT if line.startswith("$ ") else TEXT
        lines.extend((part, colour) for part in broken(line))
    width, height = round(WIDTH * CELL + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">')
    print("<title>What the demo prints</title>")
    print(f'<rect width="{width}" height="{height}" rx="8" fill="{BACK}"/>')
    print(f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="{SIZE}">')
    for number, (line, colour) in enumerate(lines):
        if line:
            y = MARGIN + number * LINE + SIZE
            print(f'<text x="{MARGIN}" y="{y}" fill="{colour}" xml:space="preserve">{escape(line)}</text>')
    print("</g>\n</svg>")


main()
