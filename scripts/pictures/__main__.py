"""Make the pictures of docs/images, of a trained project in service: `python scripts/pictures FOLDER [PICTURE ...]`.

FOLDER is where the tests' trained project is kept, or gets it. It is put into service on a network of its own, a pull
request with a stale lock is judged, and each picture is taken by the system's Chromium in the size that stands below.
Nothing in them is invented: verdicts, metrics and values are those of what ran. It takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests")]

from playwright.sync_api import sync_playwright  # noqa: E402
from screen import page_of, pvs_of, values_of  # noqa: E402

from beampermit.datasets.labels.page import Server  # noqa: E402
from beampermit.datasets.labels.queue import Queue  # noqa: E402
from beampermit.demo.network import Network  # noqa: E402
from beampermit.deployment.deployment import deployment_of  # noqa: E402
from beampermit.deployment.screen import screen  # noqa: E402
from beampermit.environments.environment import VARIABLE  # noqa: E402
from beampermit.project import Project  # noqa: E402
from support.served_project import machine, put_into_service  # noqa: E402
from support.trained_project import SLUG, trained_folder  # noqa: E402

SIZES = {
    "report": (900, 1000),
    "card": (900, 1000),
    "runbook": (900, 1000),
    "phone": (390, 844),
    "inventory": (900, 700),
    "labels": (1280, 800),
    "screen": (980, 560),
}
"""Picture -> its width and height in pixels, whatever is on it: a page is cut at the bottom."""
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
)
CHROMIUM = "/usr/bin/chromium"
PATIENCE = 120.0
AUTHOR = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ada Operator",
          "GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "ada@lab.example"}  # fmt: skip


def main(kept: Path, wanted: frozenset[str]) -> None:
    os.environ.update(AUTHOR)
    made = trained_folder(kept)
    os.environ[VARIABLE] = str((made / "environment").resolve())
    with _laboratory() as home, _browser() as browser:
        for name in (SLUG, "origin.git", "dvc-storage"):
            shutil.copytree(made / name, home / name, symlinks=True)
        project = Project(home / SLUG)
        project.git("remote", "set-url", "origin", str(home / "origin.git"))
        camera = Camera(browser, wanted)
        camera.take("labels", _label_page, project)
        _in_service(camera, project, home)
        if wanted & {"report", "card"}:
            _pull_request(camera, project, home)


@dataclass(frozen=True)
class Camera:
    """A browser, and the names of the pictures that are wanted."""

    browser: Any
    wanted: frozenset[str]

    def take(self, name: str, shown: Any, *given: Any) -> None:
        """A picture of the page whose address `shown` gives while it is there."""
        if name not in self.wanted:
            return
        width, height = SIZES[name]
        with shown(*given) as address:
            page = self.browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=str(ROOT / f"docs/images/{name}.png"), animations="disabled")
            page.close()
        sys.stderr.write(f"docs/images/{name}.png\n")


@contextmanager
def _laboratory() -> Iterator[Path]:
    """A folder whose name is the same each time, for documents show it."""
    home = Path(tempfile.gettempdir(), "laboratory")
    home.mkdir()
    try:
        yield home
    finally:
        shutil.rmtree(home)


@contextmanager
def _browser() -> Iterator[Any]:
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def _file(file: Path) -> Iterator[str]:
    yield file.as_uri()


@contextmanager
def _label_page(project: Project) -> Iterator[str]:
    with Server(Queue.of(project, "raw", "Ada Operator")) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server.url
        server.close()
        thread.join()


def _in_service(camera: Camera, project: Project, home: Path) -> None:
    """Screen, inventory and runbook, with the model in service."""
    network, served = Network(), put_into_service(project, home)
    os.environ["MLFLOW_TRACKING_URI"] = served.lab.uri
    drawing, inventory, runbook = home / "screen.html", home / "inventory.html", home / "runbook.html"
    bob = screen(deployment_of(project))
    with network.place() as place, machine(network, project.root), served.service(network, place):
        values = _steady(network, bob)
        drawing.write_text(page_of(bob, values), encoding="utf-8")
        (home / "people.txt").write_text("ada@lab.example\n", encoding="utf-8")  # the deputy has left
        site = ("--alarm-tree", project.root / "deploy/phoebus.xml", "--people", home / "people.txt")
        beampermit(project, "inventory", project.root, *site, "--html", inventory, env=network.client())
    beampermit(project, "runbook", "--html", "--out", runbook.with_suffix(".md"))
    for name, file in {"screen": drawing, "inventory": inventory, "runbook": runbook, "phone": runbook}.items():
        camera.take(name, _file, file)


def _steady(network: Network, bob: str) -> dict[str, Any]:
    """What the PVs of the screen show when the model answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        values = values_of(pvs_of(bob), network.variables)
        states = {pv.rpartition(":")[2].removesuffix(".VAL$"): value.text for pv, value in values.items()}
        serves = states.get("STATUS") == "SERVING" and states.get("LATENCY_P99") != "nan"
        if serves or time.monotonic() > deadline:
            return values
        time.sleep(1)


def _pull_request(camera: Camera, project: Project, home: Path) -> None:
    """The report of a pull request that needs a package more than its lock has, and the card of the same commit."""
    project.git("switch", "--quiet", "--create", "rich", "main")
    file = project.root / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("dependencies = [", 'dependencies = [\n  "rich>=14",', 1), encoding="utf-8")
    project.git("commit", "--quiet", "--all", "--message", "Print with rich")
    beampermit(project, "check", "--base", "main", "--out", home / "verdicts/all.json")
    beampermit(project, "report", "--base", "main", "--verdicts", home / "verdicts", "--out", home / "report")
    beampermit(project, "card", "--html", "--verdicts", home / "verdicts", "--out", home / "card.md")
    camera.take("report", _file, home / "report/report.html")
    camera.take("card", _file, home / "card.html")


def beampermit(project: Project, *words: object, env: dict[str, str] | None = None) -> None:
    """Run a command; what it says of the project, which is not in order everywhere, is not a failure."""
    command = [sys.executable, "-m", "beampermit", *map(str, words)]
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}: {done.stderr}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or set(sys.argv[2:]) - SIZES.keys():
        sys.exit(f"{__doc__}\nPictures: {', '.join(SIZES)}")
    main(Path(sys.argv[1]), frozenset(sys.argv[2:] or SIZES))
