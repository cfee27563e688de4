"""Reads a page as its readers do: its text, its elements, and whether they are balanced."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from modelkiln.report import REPORT, write_report

VOID = {"br", "col", "meta"}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# How far each frame's page goes to the right, and what goes there, once it has been laid out.
PROBE = """<script>onload = () => { for (const frame of document.querySelectorAll("iframe")) {
const page = frame.contentDocument, wide = [...page.querySelectorAll("main *")].filter(
  (each) => each.getBoundingClientRect().right > frame.clientWidth + 0.5);
frame.parentNode.append(`[${page.documentElement.scrollWidth} ${wide.slice(0, 3).map((each) => each.outerHTML)}]`);
frame.remove(); } }</script>"""


class Page(HTMLParser):
    """A page's elements and text. `mistakes` are end tags without their start, and elements that are never closed."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.mistakes: list[str] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(source)
        self.close()
        self.mistakes += self._open

    @property
    def text(self) -> str:
        """All that can be read, white space made one."""
        return " ".join(" ".join(self._texts).split())

    def part(self, start: str, end: str) -> Page:
        """What stands between two pieces of the source."""
        return Page(self.source.split(start, 1)[1].split(end, 1)[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.mistakes.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self._texts.append(data)


def written(folder: Path, artifact: Path, source: Path) -> Page:
    """The report of these folders, which is balanced."""
    write_report(folder, artifact, source)
    page = Page((folder / REPORT).read_text(encoding="utf-8"))
    assert not page.mistakes
    return page


def reach(pages: list[Page], width: int, folder: Path) -> list[str]:
    """For each page how many pixels wide it is laid out in a frame of that width, and what goes beyond the frame."""
    assert BROWSER
    style = f"width: {width}px; height: 700px; border: 0"
    frames = [f'<iframe style="{style}" srcdoc="{html.escape(page.source)}"></iframe>' for page in pages]
    (folder / "frames.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{''.join(frames)}{PROBE}", "utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    ]
    command += ["--dump-dom", (folder / "frames.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    body = shown.split("</script>", 1)[1]
    return [html.unescape(found) for found in re.findall(r"\[(\d+ .*?)\]", body, re.DOTALL)]
