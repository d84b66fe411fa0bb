#!/usr/bin/env python3
"""Copies the documentation for the Debian package, with links to files at their places in the package.

    scripts/deb-docs.py DIR         DIR becomes /usr/share/doc/vestibule
"""

import os
import re
import sys
from pathlib import Path

INSTALLED = Path("/usr/share/doc/vestibule")
PAGES = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "docs/decisions/*.md"]
# Other places in the package, relative to the directory of the documentation. See Cargo.toml.
PLACES = {
    "LICENSE": "copyright",
    "config": "examples",
    "packaging/grafana/vestibule.json": "examples/grafana.json",
    "packaging/prometheus/alerts.yml": "examples/prometheus-alerts.yml",
    "packaging/systemd": "../../../lib/systemd/system",
}
# For those who work on the source. A link to them becomes text.
SOURCE_ONLY = {"CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "RELEASING.md", "benches", "certs"}


def placed(target):
    """The place of a file of the source in the package, or None if it is not there."""
    if target in SOURCE_ONLY:
        return None
    if target in PLACES:
        return PLACES[target]
    if target.startswith("config/"):
        return "examples/" + Path(target).name
    return target


def rewritten(page, text):
    def link(found):
        path, mark, anchor = found[2].partition("#")
        if re.match(r"[a-z]+:|//", found[2]) or not path:
            return found[0]
        place = placed(os.path.normpath(page.parent / path))
        if place is None:
            return found[1]
        path = os.path.relpath(INSTALLED / place, INSTALLED / page.parent)
        return f"[{found[1]}]({path}{mark}{anchor})"

    # Fenced code keeps its brackets. Inline code may be the text of a link.
    parts = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)
    parts[::2] = [re.sub(r"\[([^\[\]]*)\]\(([^()\s]+)\)", link, part) for part in parts[::2]]
    return "".join(parts)


def main():
    os.chdir(Path(__file__).resolve().parent.parent)
    into = Path(sys.argv[1])
    for pattern in PAGES:
        for page in sorted(Path().glob(pattern)):
            there = into / page
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text(rewritten(page, page.read_text()))


if __name__ == "__main__":
    main()
