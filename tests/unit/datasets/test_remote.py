"""Missing objects are told from a remote that does not answer, in a folder and over HTTP."""

from __future__ import annotations

import functools
import http.server
import io
import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets import remote
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.datasets.verification import check_remotes
from beampermit.errors import Outside
from beampermit.project import Project
from support.dvc_repositories import leaf, remake, without_data

pytestmark = pytest.mark.slow


class _Handler(http.server.SimpleHTTPRequestHandler):
    status = 200
    delay = 0.0
    no_head = 0
    """What it answers to a HEAD, if it knows only GET."""
    failing = 0
    """Every so many requests, one fails."""
    anything = b""
    """What it answers to everything."""
    asked = itertools.count(1)
    login = ""
    """The only `Authorization` that it lets in."""

    def send_head(self) -> Any:
        time.sleep(self.delay)
        if self.anything:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.anything)))
            self.end_headers()
            return io.BytesIO(self.anything)
        if self.command == "HEAD" and self.path.count("/") > 1 and self.no_head:
            self.send_error(self.no_head)
            return None
        if self.failing and next(self.asked) % self.failing == 0:
            self.send_error(503)
            return None
        if self.login and self.headers.get("Authorization") != self.login:
            self.send_error(401)
            return None
        if self.status == 200:
            return super().send_head()
        self.send_error(self.status)
        return None

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(storage: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """The storage, served on loopback."""
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(storage)))
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


@pytest.fixture
def over_http(dvc_project: Project, server: http.server.ThreadingHTTPServer) -> Project:
    """The project with that server as its remote; on the base branch itself, so that everything is asked for."""
    url = f"http://ada:secret@127.0.0.1:{server.server_port}"
    config = f"[core]\n    remote = web\n['remote \"web\"']\n    url = {url}\n"
    (dvc_project.root / ".dvc/config").write_text(config)
    return Project(dvc_project.root)


@pytest.fixture(autouse=True)
def _status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "status", 200)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_data_are_looked_up_and_pulled_over_http(over_http: Project) -> None:
    assert check_remotes(Repository.of(over_http)).missing == ()
    without_data(over_http)
    assert pull(Repository.of(over_http)).fetched == 6


def test_an_object_that_is_missing_over_http_is_named(over_http: Project, storage: Path) -> None:
    leaf(over_http.root, storage, "data/raw.parquet").unlink()
    (missing,) = check_remotes(Repository.of(over_http)).missing
    assert missing.message.startswith("data/raw.parquet is not on web")


@pytest.mark.attack(
    guard="DAT002",
    tried="the remote is a server that answers 200 to everything",
    said="which nobody made, so its answers prove nothing",
)
def test_a_server_that_has_everything_is_not_believed(
    over_http: Project, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    repository = Repository.of(over_http)
    assert check_remotes(repository).missing == ()
    monkeypatch.setattr(_Handler, "anything", b"<html>Sign in</html>")
    with pytest.raises(Outside, match=said):
        check_remotes(repository)


@pytest.mark.attack(
    guard="DAT002",
    tried="the remote answers 200 to the names that it was asked for before, with other bytes of the same size",
    said="data/raw.parquet on web has other bytes there than its hash says",
)
def test_bytes_of_the_right_size_are_read(over_http: Project, storage: Path, said: str) -> None:
    replace_same_size(leaf(over_http.root, storage, "data/raw.parquet"))
    (wrong,) = check_remotes(Repository.of(over_http)).missing
    assert said in wrong.message


def replace_same_size(file: Path) -> None:
    size = file.stat().st_size
    file.chmod(0o644)
    file.write_bytes(b"x" * size)


def test_beyond_the_budget_sizes_are_compared(
    dvc_project: Project, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just inside, every byte is read; just outside, one object less."""
    sizes = [file.stat().st_size for file in storage.rglob("*") if file.is_file()]
    on_base = Project(dvc_project.root)
    on_base.git("branch", "--delete", "--force", "main")
    for budget, read in ((sum(sizes), len(sizes)), (sum(sizes) - 1, len(sizes) - 1)):
        monkeypatch.setattr(remote, "BUDGET", budget)
        found = check_remotes(Repository.of(Project(on_base.root)))
        assert (found.missing, found.looked_up) == ((), len(sizes))
        assert found.read <= read
        assert (found.read == len(sizes)) is (read == len(sizes))
    monkeypatch.setattr(remote, "BUDGET", 0)
    file = leaf(dvc_project.root, storage, "data/raw.parquet")
    size = file.stat().st_size
    replace_same_size(file)
    assert check_remotes(Repository.of(Project(on_base.root))).missing == (), "what no byte of is read"
    file.write_bytes(b"x" * (size - 1))
    (wrong,) = check_remotes(Repository.of(Project(on_base.root))).missing
    assert f"data/raw.parquet on storage has {size - 1} bytes there, not {size}" in wrong.message


@pytest.mark.attack(
    guard="DAT002",
    tried="an object on the remote is empty",
    said="data/dataset/test.parquet on storage has 0 bytes there",
)
@pytest.mark.parametrize("cached", [True, False])
def test_an_empty_object_is_no_object(dvc_project: Project, storage: Path, cached: bool, said: str) -> None:
    file = leaf(dvc_project.root, storage, "data/dataset/test.parquet")
    file.chmod(0o644)
    file.write_bytes(b"")
    if not cached:
        without_data(dvc_project)
    dvc_project.git("branch", "--delete", "--force", "main")
    (wrong,) = check_remotes(Repository.of(Project(dvc_project.root))).missing
    assert said in wrong.message


def test_a_file_that_is_empty_by_its_hash_passes(dvc_project: Project) -> None:
    (dvc_project.root / "data/dataset/notes.txt").write_bytes(b"")
    remake(dvc_project.root)
    found = check_remotes(Repository.of(dvc_project))
    assert (found.missing, found.looked_up, found.read) == ((), 2, 2)


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_head_is_asked_by_get(
    over_http: Project, storage: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Handler, "no_head", status)
    assert check_remotes(Repository.of(over_http)).missing == ()
    leaf(over_http.root, storage, "data/raw.parquet").unlink()
    assert len(check_remotes(Repository.of(over_http)).missing) == 1


def test_a_forbidden_object_is_not_missing(over_http: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "no_head", 403)
    with pytest.raises(Outside, match="it returns status 403"):
        check_remotes(Repository.of(over_http))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "refuses access"), (403, "refuses access"), (500, "cannot be reached"), (503, "cannot be reached")],
)
def test_a_server_that_refuses_is_the_outside_world(
    over_http: Project, monkeypatch: pytest.MonkeyPatch, status: int, kind: str
) -> None:
    monkeypatch.setattr(_Handler, "status", status)
    with pytest.raises(Outside, match=f"{kind}: it returns status {status}") as caught:
        check_remotes(Repository.of(over_http))
    assert "secret" not in str(caught.value)


def test_the_login_of_a_server_is_used(over_http: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DVC does: a server that asks for one is not a server that refuses."""
    monkeypatch.setattr(_Handler, "login", "Basic YWRhOnNlY3JldA==")
    config = over_http.root / ".dvc/config"
    config.write_text(config.read_text().replace("ada:secret@", ""))
    with pytest.raises(Outside, match="refuses access: it returns status 401"):
        check_remotes(Repository.of(over_http))
    with config.open("a") as stream:
        stream.write("    auth = basic\n    user = ada\n    password = secret\n")
    assert check_remotes(Repository.of(over_http)).missing == ()


def test_a_server_that_fails_after_it_answered_does_not_make_data_missing(
    over_http: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Repository.of(over_http).remote()
    monkeypatch.setattr(_Handler, "status", 503)
    with pytest.raises(Outside, match="cannot be reached"):
        web.missing({"f" * 32})
    with pytest.raises(Outside, match="cannot be reached"):
        web.read("f" * 32, 10)


def test_a_server_that_is_gone_is_the_outside_world(
    over_http: Project, server: http.server.ThreadingHTTPServer
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(Outside, match=r"the remote web \(http://127.0.0.1:\d+\) cannot be reached"):
        check_remotes(Repository.of(over_http))


def test_a_slow_server_is_waited_for(over_http: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "delay", 0.3)
    found = check_remotes(Repository.of(over_http))
    assert (found.missing, found.looked_up) == ((), found.objects)


def test_a_server_that_never_answers_times_out(over_http: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "delay", 2.0)
    monkeypatch.setattr(remote, "TIMEOUT", 0.2)
    with pytest.raises(Outside, match=r"the remote web .* cannot be reached: timed out"):
        check_remotes(Repository.of(over_http))


@pytest.mark.parametrize("failing", [2, 3, 5])
def test_a_flaky_server_never_makes_data_missing(
    over_http: Project, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    monkeypatch.setattr(_Handler, "failing", failing)
    try:
        missing = check_remotes(Repository.of(over_http)).missing
    except Outside:
        missing = ()
    assert missing == ()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Folders `00` with 20 objects and `01` with one."""
    for oid in (*(f"00{number:030x}" for number in range(20)), f"01{0:030x}"):
        file = tmp_path / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize("worth", [0, 1000], ids=["asked", "listed"])
def test_listing_and_single_look_ups_agree(store: Path, monkeypatch: pytest.MonkeyPatch, worth: int) -> None:
    monkeypatch.setattr(remote, "WORTH", worth)
    monkeypatch.setattr(remote, "FEW", 0)
    wanted = {f"{folder}{number:030x}" for folder in ("00", "01", "ff") for number in range(0, 30, 3)}
    absent = {oid for oid in wanted if not (store / oid[:2] / oid[2:]).exists()}
    assert remote.missing_in_folder(str(store), wanted) == absent
    assert len(absent) == 22


@pytest.mark.parametrize("few", [0, 8], ids=["listed", "asked"])
def test_a_pipe_or_a_folder_is_no_object(store: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(remote, "FEW", few)
    names = [f"{number:030x}" for number in range(2)]
    for name in names:
        (store / "00" / name).unlink()
    os.mkfifo(store / "00" / names[0])
    (store / "00" / names[1]).mkdir()
    wanted = {f"00{name}" for name in names}
    assert remote.missing_in_folder(str(store), wanted) == wanted


def test_few_objects_are_looked_up_without_listing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_file_names", lambda path: pytest.fail(f"{path} was listed"))
    assert remote.missing_in_folder(str(store), {f"00{number:030x}" for number in range(8)}) == set()


def test_an_unreadable_folder_is_the_outside_world(dvc_project: Project, storage: Path) -> None:
    folder = next((storage / "files/md5").iterdir())
    objects = {folder.name + file.name for file in folder.iterdir()}
    folder.rename(storage / "elsewhere")
    folder.symlink_to(folder.name)  # a loop: also the superuser is refused
    with pytest.raises(Outside, match=r"cannot be reached: .*symbolic links"):
        Repository.of(dvc_project).remote().missing(objects)
