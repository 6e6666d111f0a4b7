"""A built site in; every link that leads nowhere, and everything that a browser would ask a network for, out.

    .venv/bin/python tests/links.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ASKED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}  # by a browser, unasked


class Page(HTMLParser):
    """What a page can be linked at, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.asked: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        place = given.get(ASKED.get(tag, "href"))
        if place is not None:
            self.links.add(place)
            if tag in ASKED:
                self.asked.add(place)


def wrong(folder: Path) -> list[str]:
    """One line each, with the page that it is on"""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        return [f"{folder}: no page"]
    found = []
    for path, page in pages.items():
        where = path.relative_to(folder.resolve())
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.asked and parts.scheme != "data":
                    found.append(f"{where}: asks the network for {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{where}: {link} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"top"}:
                found.append(f"{where}: {link} has no such place")
    return found


if __name__ == "__main__":
    lines = wrong(Path(sys.argv[1]))
    print(*lines or ["every link leads somewhere, and no page asks a network for anything"], sep="\n")
    sys.exit(bool(lines))
