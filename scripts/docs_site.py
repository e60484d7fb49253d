"""Build the documentation site: `make docs`.

Pages are written for GitHub, and stay where messages and people link to them. Here they are laid out for the site: the
pages of the repository's top get a place beside those of docs/, links follow, what is not a page is linked on GitHub,
and diagrams are drawn, for a browser without internet would not see them otherwise. zensical builds the rest, and fails
for a link that leads nowhere.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

ROOT = Path(__file__).resolve().parents[1]
ON_GITHUB = "https://github.com/beampermit/beampermit"
OF_THE_TOP = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "SECURITY.md": "security.md",
}
"""Pages at the repository's top, and where the site has them."""
DECISIONS = "decisions"
"""Its pages are in nav in their order, and `decisions/index.md` lists them."""
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FROM_ELSEWHERE = {"https://unpkg.com/iframe-worker/shim": "javascripts/iframe-worker.js"}
"""What the built pages would load from another host, and the copy of it under docs/."""
LINK = re.compile(r"(?P<code>`[^`\n]+`)|(?P<before>\]\()(?P<target>[^)\s]+)(?=\))")


def pages(root: Path = ROOT) -> dict[str, str]:
    """The file of each page, from the repository's top, and its place in the site."""
    files = {name: place for name, place in OF_THE_TOP.items() if (root / name).is_file()}
    for file in sorted((root / "docs").rglob("*.md")):
        files[file.relative_to(root).as_posix()] = file.relative_to(root / "docs").as_posix()
    return files


def lay_out(target: Path, root: Path = ROOT) -> None:
    """Write pages, pictures and configuration to `target`, which zensical builds."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "docs", target / "pages", ignore=shutil.ignore_patterns("*.md"))
    placed = pages(root)
    for name, place in placed.items():
        page = target / "pages" / place
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_for_the_site((root / name).read_text(encoding="utf-8"), name, placed, page, root))
    _list_decisions(target / "pages" / DECISIONS)
    config = tomlkit.parse((root / "zensical.toml").read_text(encoding="utf-8"))
    nav = config["project"]["nav"] = _with_decisions(config["project"]["nav"].unwrap(), target / "pages")
    _require_all_in_nav(set(placed.values()), list(in_nav(nav)))
    (target / "zensical.toml").write_text(tomlkit.dumps(config))


def in_nav(nav: Any) -> Iterator[str]:
    """The pages that a part of nav names, in their order."""
    if isinstance(nav, str):
        yield nav
    for part in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from in_nav(part)


def _require_all_in_nav(placed: set[str], places: list[str]) -> None:
    """Raises `SystemExit` for pages without a place in nav or with two of them, and for places without a page."""
    named = set(places)
    if twice := sorted({place for place in places if places.count(place) > 1}):
        sys.exit(f"zensical.toml: nav has {', '.join(twice)} twice; readers look for a page in one place")
    if missing := sorted(placed - named):
        sys.exit(f"zensical.toml: nav has no {', '.join(missing)}; add each to the part of nav that its readers open")
    if gone := sorted(named - placed - {f"{DECISIONS}/index.md"}):
        sys.exit(f"zensical.toml: nav names {', '.join(gone)}, which docs/ has not")


def _with_decisions(nav: Any, folder: Path) -> Any:
    """`decisions/` stands for the list of all, and each of them."""
    if isinstance(nav, dict):
        return {title: _with_decisions(part, folder) for title, part in nav.items()}
    if isinstance(nav, list):
        return [_with_decisions(part, folder) for part in nav]
    if nav != f"{DECISIONS}/":
        return nav
    each = sorted(page.relative_to(folder).as_posix() for page in (folder / DECISIONS).glob("[0-9]*.md"))
    return [f"{DECISIONS}/index.md", *each]


def _list_decisions(folder: Path) -> None:
    rows = [f"- [{_title(page)}]({page.name})\n" for page in sorted(folder.glob("[0-9]*.md"))]
    head = "# Decisions\n\nWhat someone may question, half a page each: what was decided, and why.\n\n"
    (folder / "index.md").write_text(head + "".join(rows))


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _for_the_site(text: str, name: str, placed: dict[str, str], page: Path, root: Path) -> str:
    """The page with its links as the site has them, and its diagrams drawn."""
    made, end = [], 0
    for fence in FENCE.finditer(text):
        made.append(_with_links(text[end : fence.start()], name, placed, root))
        made.append(_drawn(fence[3], page) if fence[2] == "mermaid" else fence[0])
        end = fence.end()
    return "".join([*made, _with_links(text[end:], name, placed, root)])


def _with_links(text: str, name: str, placed: dict[str, str], root: Path) -> str:
    def changed(found: re.Match[str]) -> str:
        if found["code"]:
            return _code(found["code"])
        return found["before"] + _link(found["target"], name, placed, root)

    return LINK.sub(changed, text)


def _code(span: str) -> str:
    r"""In a table GitHub reads `\|` in code as `|`; Python's Markdown shows the backslash."""
    if r"\|" not in span:
        return span
    text = html.escape(span[1:-1], quote=False).replace(r"\|", "&#124;")
    return f"<code>{text}</code>"


def _link(target: str, name: str, placed: dict[str, str], root: Path) -> str:
    """Raises `SystemExit` where no file is, and for a path that leaves the repository, wherever it exists here."""
    path, _, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return target
    file = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if file == ".." or file.startswith(("../", "/")):
        sys.exit(f"{name} links to {target}, which is outside the repository")
    if not (root / file).exists():
        sys.exit(f"{name} links to {target}, and there is no {file}")
    if file == f"docs/{DECISIONS}":
        place = f"{DECISIONS}/index.md"
    elif file in placed:
        place = placed[file]
    elif file.startswith("docs/") and (root / file).is_file():
        place = file.removeprefix("docs/")
    else:
        kind = "tree" if (root / file).is_dir() else "blob"
        return f"{ON_GITHUB}/{kind}/main/{file}" + (f"#{anchor}" if anchor else "")
    relative = posixpath.relpath(place, posixpath.dirname(placed[name]) or ".")
    return relative + (f"#{anchor}" if anchor else "")


def _drawn(diagram: str, page: Path) -> str:
    """A picture beside the page, which its labels describe to whom cannot see it."""
    import mmdr  # noqa: PLC0415 - tests of links need none of its 27 MB

    drawing = mmdr.render(diagram).svg()
    picture = page.parent / "diagrams" / f"{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(drawing)
    labels = [re.sub(r"<br/>|`", " ", label) for label in re.findall(r'[\[{]"(.*?)"[\]}]', diagram)]
    described = html.escape(f"Diagram: {'; '.join(labels)}", quote=True)
    width = round(float(drawing.partition(' viewBox="')[2].split()[2]))
    return f'<p class="diagram"><img src="diagrams/{picture.name}" width="{width}" alt="{described}"></p>'


def build(out: Path) -> None:
    """Replace the folder `out` by the site. Raises `SystemExit` where zensical finds a fault."""
    with tempfile.TemporaryDirectory() as temporary:
        lay_out(Path(temporary) / "laid-out")
        built = _built(Path(temporary) / "laid-out")
        # Its links begin at the top of a host, and the site may be anywhere: a server's own page is better.
        (built / "404.html").unlink(missing_ok=True)
        for page in built.rglob("*.html"):
            page.write_text(_with_copies(page.read_text(encoding="utf-8"), page.parent, built))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(built, out)


def _built(laid_out: Path) -> Path:
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict"]
    done = subprocess.run(command, cwd=laid_out, env={**os.environ, "NO_COLOR": "1"}, check=False)
    if done.returncode or not (laid_out / "site/index.html").is_file():
        sys.exit("the site was not built: what is above says where")
    return laid_out / "site"


def _with_copies(text: str, folder: Path, site: Path) -> str:
    for address, copy in FROM_ELSEWHERE.items():
        text = text.replace(f'"{address}"', f'"{os.path.relpath(site / copy, folder)}"')
    return text


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Build the documentation site.")
    arguments.add_argument("--out", type=Path, default=ROOT / "site", help="folder, which is replaced")
    build(arguments.parse_args().out)
