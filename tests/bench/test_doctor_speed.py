"""`beampermit doctor` against a GitHub whose every answer takes 30 ms: one project, and an organization of fifty.

`DOCTOR_PROJECTS` asks for another number. Beside them stands what the same requests would take one after the other.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.git_repositories import committed
from support.github_server import serving
from support.github_setup import Hub
from support.set_up_project import show_set_up, write_set_up

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
PROJECTS = int(os.environ.get("DOCTOR_PROJECTS", "50"))
WAIT = 0.03
Say = Callable[[str], None]


@pytest.fixture
def root(tmp_path: Path, contract_text: str) -> Path:
    from dvc.repo import Repo

    root = tmp_path / "project"
    root.mkdir()
    (root / "contract.yaml").write_text(contract_text)
    write_set_up(root)
    git = committed(root)
    Repo.init(str(root)).close()
    (root / ".dvc/config").write_text("[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "The data")
    (tmp_path / "storage").mkdir()
    return root


@pytest.fixture
def hub(root: Path) -> Iterator[Hub]:
    hub = Hub("lab", wait=WAIT)
    files = {name: (root / name).read_text() for name in ("contract.yaml", "CODEOWNERS", ".github/permit.pub")}
    files |= {path.relative_to(root).as_posix(): path.read_text() for path in (root / ".github").rglob("*.*")}
    with serving(hub) as url:
        hub.url = url
        for number in range(PROJECTS):
            show_set_up(hub.add(f"model-{number}", files))
        yield hub


def test_doctor(root: Path, hub: Hub, tmp_path: Path, say: Say, timed: Callable[..., float]) -> None:
    program = Path(sys.executable).parent / "beampermit"
    environment = {
        "GITHUB_API_URL": hub.url, "GITHUB_TOKEN": "s3cret", "GITHUB_REPOSITORY": "lab/model-0",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/none.db",
    }  # fmt: skip
    _spent()
    offline = timed([program, "doctor", "--offline"], root, 3, environment)
    say(f"doctor --offline {offline:.2f} s, {_spent() / 3:.2f} s of CPU")
    for words, what in (((), "one project"), (("--organization", "lab"), f"{PROJECTS} projects")):
        before, _ = len(hub.asked), _spent()
        seconds = timed([program, "doctor", *words], root, 2, environment)
        requests = (len(hub.asked) - before) // 2
        alone = requests * WAIT
        said = (
            f"{seconds:.2f} s, {_spent() / 2:.2f} s of CPU, {requests} requests, which alone would wait {alone:.1f} s"
        )
        say(f"doctor, {what}: {said}")


_last = [0.0]


def _spent() -> float:
    """CPU seconds of child processes since the last call."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    now, before = used.ru_utime + used.ru_stime, _last[0]
    _last[0] = now
    return now - before
