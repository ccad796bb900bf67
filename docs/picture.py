#!/usr/bin/env python3
"""Draws the output of a command as an SVG picture of a terminal.

    bin/kas demo 2>/dev/null | docs/picture.py 'kas demo' > docs/demo.svg
"""
import sys
from xml.sax.saxutils import escape

CHAR, LINE, PAD = 8.0, 17, 16

lines = ["$ " + sys.argv[1]] + [l.rstrip("\n") for l in sys.stdin]
while lines and not lines[-1]:
    lines.pop()
width = max(80, max(map(len, lines))) * CHAR + 2 * PAD
height = len(lines) * LINE + 2 * PAD

print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}">')
print(f'<rect width="{width:g}" height="{height}" rx="8" fill="#16181d"/>')
print('<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" xml:space="preserve">')
for i, line in enumerate(lines):
    y = PAD + (i + 1) * LINE - 5
    at = line.find("@")
    spans = [(line, "#e6e6e6")]
    if i == 0:
        spans = [(line, "#8fd18f")]
    elif at >= 0:
        spans = [(line[:at], "#e6e6e6"), (line[at:], "#7fb8f0")]
    x = PAD
    for text, colour in spans:
        if text.strip():
            # textLength keeps the columns straight in any font.
            lead = len(text) - len(text.lstrip())
            body = text.strip()
            print(f'<text x="{x + lead * CHAR:g}" y="{y}" fill="{colour}" textLength="{len(body) * CHAR:g}" lengthAdjust="spacingAndGlyphs">{escape(body)}</text>')
        x += len(text) * CHAR
print("</g>\n</svg>")
