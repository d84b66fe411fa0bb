#!/usr/bin/env python3
"""Checks the links between Markdown files: each relative link must lead to a file or directory, and its anchor to a
heading.

    scripts/links.py [DIR]          checks all Markdown files below DIR (default: the repository)
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote


def prose(text):
    """The text without code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(text):
    """The anchors of the headings, as GitHub makes them."""
    found = {}
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def links(text):
    """The relative links of a text."""
    for target in re.findall(r"\]\(<?([^()\s<>]+)>?(?: \"[^\"]*\")?\)", prose(text)):
        if not re.match(r"[a-z]+:|//", target):
            yield target


def dead(file):
    """The links of a file that lead nowhere."""
    for target in links(file.read_text()):
        path, _, anchor = unquote(target).partition("#")
        there = (file.parent / path) if path else file
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there.read_text())):
            yield target


def main():
    if len(sys.argv) > 1:
        files = sorted(Path(sys.argv[1]).rglob("*.md"))
    else:
        root = Path(__file__).resolve().parent.parent
        listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=root, check=True, capture_output=True, text=True)
        files = [root / name for name in listed.stdout.split("\0") if name]
    assert files, "no Markdown files"
    found = [f"{file}: {target}" for file in files for target in dead(file)]
    print("\n".join(found) if found else f"The links of {len(files)} Markdown files are good.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
