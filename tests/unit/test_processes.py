"""A child never outlives us; a missing program is named; a project's code sees no secret of whoever checks it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from beampermit.environments import Environment
from beampermit.environments.distributions import describe
from beampermit.environments.environment import python_in
from beampermit.errors import Outside
from beampermit.git import Git
from beampermit.processes import clean_variables, ended_by_signals, hide_memory, run


def test_invalid_utf8_in_output_is_replaced(tmp_path: Path) -> None:
    finished = run([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xff ok')"], cwd=tmp_path)
    assert finished.code == 0
    assert finished.tail == "\ufffd ok"


@pytest.mark.parametrize(
    ("raised", "tail"),
    [
        ("raise ValueError('no beam')", "ValueError: no beam"),
        (
            "raise ValueError('mapping values are not allowed here\\n  in \"contract.yaml\", line 3, column 4')",
            'ValueError: mapping values are not allowed here in "contract.yaml", line 3, column 4',
        ),
        ("sys.exit('no beam\\nat all')", "at all"),
    ],
)
def test_the_cause_of_an_exception_is_whole(tmp_path: Path, raised: str, tail: str) -> None:
    assert run([sys.executable, "-c", f"import sys; {raised}"], cwd=tmp_path).tail == tail


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(Outside, match="'no-such-program' is not on this machine"):
        run(["no-such-program"], cwd=tmp_path)


def test_a_time_out_ends_grandchildren_too(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(Outside, match="took longer than 1 s and was stopped"):
        run([sys.executable, "-c", script], cwd=tmp_path, timeout=1)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < deadline, "the grandchild is still running"
        time.sleep(0.05)


def test_what_a_projects_code_leaves_running_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "quiet = {name: subprocess.DEVNULL for name in ('stdin', 'stdout', 'stderr')}\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], **quiet)\n"
        "print(child.pid)\n"
    )
    pid = run([sys.executable, "-c", script], cwd=tmp_path, env={}, clean=True).out
    deadline = time.monotonic() + 5
    while _runs(int(pid)):
        assert time.monotonic() < deadline, "it is still running"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SECRETS = {
    "BEAMPERMIT_SIGNING_KEY": "-----BEGIN PRIVATE KEY-----",
    "MLFLOW_TRACKING_PASSWORD": "beam",
    "AWS_SECRET_ACCESS_KEY": "beam",
    "GIT_CONFIG_VALUE_0": "AUTHORIZATION: basic beam",
    "UV_INDEX_LAB_PASSWORD": "beam",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "MY_LOGIN": "a secret by a name that nobody would guess",
    "GITHUB_ENV": "/tmp/environment",
    "GITHUB_PATH": "/tmp/path",
    "GITHUB_OUTPUT": "/tmp/output",
    "GITHUB_STEP_SUMMARY": "/tmp/summary",
    "https_proxy": "http://ada:beam@proxy.example:3128",
    "PYTHONPATH": "/tmp/modules",
    "LD_PRELOAD": "",
}
LOOK = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.slow
@pytest.mark.attack(
    guard="TST001",
    tried="a test prints all variables that it finds: keys, passwords, GITHUB_ENV, a proxy with a login",
    said="KeyError: 'BEAMPERMIT_SIGNING_KEY'",
)
def test_a_projects_code_gets_no_variable_that_is_not_on_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    sound = {"LC_ALL": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "1", "HTTP_PROXY": "http://proxy.example:3128"}
    licence = "LM_LICENSE_FILE"
    for name, value in (sound | {licence: "27000@licences.example"}).items():
        monkeypatch.setenv(name, value)
    here = Environment(Path(sys.prefix))
    assert here.run(["-c", "import os; os.environ['BEAMPERMIT_SIGNING_KEY']"], project=tmp_path).tail == said
    seen = json.loads(here.run(["-c", LOOK], project=tmp_path).out)
    assert sound.items() <= seen.items()
    assert seen["HOME"] == os.environ["HOME"]
    assert not {name for name in SECRETS if seen.get(name) == SECRETS[name]}
    assert licence not in seen
    passing = here.passing([licence])
    assert json.loads(passing.run(["-c", LOOK], project=tmp_path).out)[licence], "the base's contract says so"


PEEK = """
import os
import signal
from pathlib import Path
for file in ("environ", "mem", "auxv", "maps"):
    try:
        (Path("/proc") / str(os.getppid()) / file).open("rb").read(1)
        print("read", file)
    except OSError as error:
        print(error.strerror)
"""
DROP = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAPABILITIES = 24, (19, 21, 38)  # SYS_PTRACE, SYS_ADMIN, PERFMON: with these, root reads everything
for capability in CAPABILITIES:
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
CHECKER = """
import os, sys
from pathlib import Path
from beampermit.processes import clean_variables, run
finished = run([sys.executable, "-c", sys.argv[1]], cwd=Path("/"), env=clean_variables(), clean=True)
print(finished.out, finished.err)
print(len(os.listdir("/proc/self/fd")) > 0, Path("/proc/self/status").read_text()[:5])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process hide")
@pytest.mark.attack(
    guard="TST001",
    tried="a test reads the variables and the memory of the checker from /proc",
    said="Permission denied",
)
def test_a_projects_code_cannot_read_the_checkers_memory(said: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", DROP, CHECKER, PEEK],
        env={**os.environ, "BEAMPERMIT_SIGNING_KEY": "beam"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split("\n")[:4] == [said] * 4, finished.stderr
    assert "True Name:" in finished.stdout, "and the checker itself can do what it did"


def test_git_and_other_tools_get_no_login_but_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in service can read their variables."""
    others = {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI", "BEAMPERMIT_SIGNING_KEY", "BEAMPERMIT_WEBHOOK_HEADER"}
    own = {"GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "GH_TOKEN", "BEAMPERMIT_REHEARSAL"}
    for name in others | own:
        monkeypatch.setenv(name, "beam")
    seen = json.loads(Git(tmp_path)("-c", f"alias.look=!{sys.executable} -c '{LOOK}'", "look"))
    for given in (seen, json.loads(run([sys.executable, "-c", LOOK], cwd=tmp_path).out)):
        assert own <= given.keys()
        assert not others & given.keys()


COMMAND = r"""
import ctypes, sys
from beampermit.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print("\ndumpable", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process hide")
def test_the_monitor_hides_as_the_service_does() -> None:
    """A model in service runs as the same user."""
    command = [sys.executable, "-c", COMMAND, "monitor", "--help"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("dumpable 0\n")


def test_a_process_that_hides_still_starts_others_and_reads_their_output(tmp_path: Path) -> None:
    hide_memory()
    assert run(["git", "--version"], cwd=tmp_path).out.startswith("git version")
    assert run([sys.executable, "-c", LOOK], cwd=tmp_path, env={"PATH": "/bin"}, clean=True).out.startswith("{")
    assert "PATH" in clean_variables()


def test_the_python_of_an_environment_is_started_without_our_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = python_in(tmp_path)
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "{\\"seen\\": \\"$BEAMPERMIT_SIGNING_KEY\\"}"\n')
    python.chmod(0o755)
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", "beam")
    assert describe(tmp_path) == {"seen": ""}


def test_a_command_is_ended_by_sigterm_where_whoever_started_it_blocks_it() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with pytest.raises(KeyboardInterrupt), ended_by_signals():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.sigtimedwait({signal.SIGTERM}, 0)  # not heard, it would end the tests
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
