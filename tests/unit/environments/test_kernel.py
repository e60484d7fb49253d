"""The environment of a lock is a kernel of Jupyter, in which a notebook really runs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cache import cache_folder
from beampermit.cli.main import app
from beampermit.environments import kernel
from beampermit.errors import BadInput, BeampermitError, Conflict
from support.notebooks import make_project, notebook, stamp
from support.shared import shared_folder

SECRET = "hunter2-in-the-log"
CELLS = (
    "import mine, os, sys; print(mine.ANSWER, sys.prefix)",
    "print(os.environ['OMP_NUM_THREADS'], os.environ['PATH'].split(os.pathsep)[0])",
)


@pytest.fixture
def root(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(shared_folder(tmp_path_factory) / "notebooks"))  # compiled modules
    monkeypatch.delenv("BEAMPERMIT_ENVIRONMENT", raising=False)
    return make_project(tmp_path / "BPM Faults")


def command(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code, and standard output or the error."""
    result = CliRunner().invoke(app, ["env", "kernel", "--project", str(root), *arguments])
    if isinstance(result.exception, BeampermitError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.stdout


def ran(folder: Path, *sources: str) -> Iterator[str]:
    """What each cell prints in the kernel of the project, chosen by its name as Jupyter does."""
    import nbformat
    from nbclient import NotebookClient

    content: Any = nbformat.reads(notebook(*sources, kernel="bpm-faults"), as_version=4)
    NotebookClient(content, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in content.cells:
        yield "".join(output.get("text", str(output)) for output in cell.outputs)


@pytest.mark.slow
def test_a_notebook_runs_in_the_environment_of_the_lock_and_says_when_that_is_stale(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    code, out = command(root)
    assert (code, out) == (0, f"{tmp_path}/jupyter/kernels/bpm-faults: in Jupyter, bpm-faults (locked)\n")
    first, second = ran(tmp_path, *CELLS)
    assert first == f"42 {root}/.venv\n"
    assert second == f"1 {root}/.venv/bin\n"
    (root / "uv.lock").write_text((root / "uv.lock").read_text() + "\n# another\n")
    first, second = ran(tmp_path, *CELLS)
    assert f"{root}/uv.lock has changed since this environment was installed: run beampermit env install" in first
    assert "uv.lock" not in second, "once is enough"


@pytest.mark.slow
def test_no_value_of_ours_is_in_the_kernel(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("PATH", f"/opt/{SECRET}:{os.environ['PATH']}")
    command(root)
    (folder,) = kernel.kernels_folder().iterdir()
    assert [SECRET in file.read_text() for file in sorted(folder.iterdir())] == [False, False]
    variables = json.loads((folder / "kernel.json").read_text())["env"]
    assert variables["PYTHONPATH"] == f"{root}/src"
    assert "PYTHONPYCACHEPREFIX" not in variables, "the cache is not in the home"
    monkeypatch.setenv("HOME", str(cache_folder().parent))
    command(root)
    again = json.loads((folder / "kernel.json").read_text())["env"]
    assert again["PYTHONPYCACHEPREFIX"].startswith("${HOME}/"), "of whoever uses it"
    assert variables["PATH"] == f"{root}/.venv/bin:${{PATH}}"
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= variables.keys()
    assert stat.S_IMODE((folder / "kernel.json").stat().st_mode) & 0o022 == 0


@pytest.mark.slow
def test_the_list_says_which_kernels_are_out_of_date(root: Path, tmp_path: Path) -> None:
    assert command(root, "--list") == (0, f"{tmp_path}/jupyter/kernels: no kernel of ours\n")
    command(root, "--name", "night")
    others = {"broken": "{", "foreign": '{"argv": ["python"], "metadata": {}}', "strange": "[]"}
    for name, text in others.items():
        (kernel.kernels_folder() / name).mkdir()
        (kernel.kernels_folder() / name / "kernel.json").write_text(text)

    def listed() -> dict[str, str]:
        return {one["name"]: one["stale"] for one in json.loads(command(root, "--list", "--json")[1])}

    assert listed() == {"night": ""}
    assert "as locked" in command(root, "--list")[1]
    lock = (root / "uv.lock").read_text()
    (root / "uv.lock").write_text(lock.replace("7.1.0", "7.2.0"))
    assert listed() == {"night": f"{root}/uv.lock has changed since this environment was installed"}
    stamp(root)
    assert listed() == {"night": ""}, "the environment was installed again in its place"
    (root / "uv.lock").write_bytes((root / "uv.lock").read_bytes().replace(b"\n", b"\r\n"))
    assert listed() == {"night": ""}, "line ends are not the lock's"
    (root / "uv.lock").unlink()
    assert listed() == {"night": f"{root}/uv.lock is gone"}
    (root / ".venv").rename(root / "elsewhere")
    assert listed() == {"night": f"the environment {root}/.venv is gone"}


@pytest.mark.slow
def test_it_is_removed_and_nothing_else_is(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    assert command(root, "--prefix", str(folder))[0] == 0
    assert command(root, "--prefix", str(folder))[0] == 0, "again, in the place of the first"
    other = make_project(tmp_path / "second")
    places = kernel.kernels_folder(folder)
    assert [path.name for path in places.iterdir()] == ["bpm-faults"]
    with pytest.raises(Conflict, match="does not belong to this project; nothing was changed"):
        kernel.install_kernel(other, "bpm-faults", places)
    with pytest.raises(Conflict, match="does not belong to this project"):
        kernel.remove_kernel(other, "bpm-faults", places)
    (places / "python3").mkdir()
    (places / "python3/kernel.json").write_text("{}")
    with pytest.raises(Conflict):
        kernel.remove_kernel(root, "python3", places)
    assert command(root, "--prefix", str(folder), "--remove") == (0, f"{places}/bpm-faults: removed\n")
    assert [path.name for path in places.iterdir()] == ["python3"]
    code, said = command(root, "--prefix", str(folder), "--remove")
    assert (code, "there is no kernel 'bpm-faults' here" in said) == (2, True)
    assert command(root, "--remove", "--list")[0] == 2


def test_what_is_missing_is_said_with_the_line_to_add(root: Path) -> None:
    (root / "uv.lock").write_text((root / "uv.lock").read_text().replace('"ipykernel"', '"ipykernels"'))
    with pytest.raises(BadInput, match=r"was not installed from this lock") as caught:
        kernel.install_kernel(root, "bpm", kernel.kernels_folder())
    assert caught.value.hint == "beampermit env install"
    stamp(root)
    with pytest.raises(BadInput) as caught:
        kernel.install_kernel(root, "bpm", kernel.kernels_folder())
    assert str(caught.value) == (
        'uv.lock: ipykernel, which runs kernels, is not in the lock: add "ipykernel>=7" to the list dev below '
        "[dependency-groups] of pyproject.toml, then run beampermit env lock and beampermit env install"
    )
    assert not kernel.kernels_folder().exists()


@pytest.mark.parametrize("name", ["Faults", "../up", "a b", ".hidden", "a" * 65, ""])
def test_a_name_that_jupyter_does_not_take_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadInput, match="a kernel's name has small letters"):
        kernel.install_kernel(root, name, kernel.kernels_folder())
    assert kernel.install_kernel(root, "a" * 64, kernel.kernels_folder()).stale == ""


def test_it_lies_where_jupyter_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from jupyter_core.paths import jupyter_data_dir

    monkeypatch.delenv("JUPYTER_PLATFORM_DIRS", raising=False)
    for variables in ({"JUPYTER_DATA_DIR": str(tmp_path)}, {"XDG_DATA_HOME": str(tmp_path)}, {}):
        with monkeypatch.context() as patch:
            for name in ("JUPYTER_DATA_DIR", "XDG_DATA_HOME"):
                patch.delenv(name, raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            assert str(kernel.kernels_folder()) == f"{jupyter_data_dir()}/kernels"


@pytest.mark.slow
def test_a_kernel_of_all_users_is_found_by_jupyter_path_and_answers(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As JupyterHub has it: the volume is named by `JUPYTER_PATH`, and the home is of somebody else."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from jupyter_client.manager import start_new_kernel

    assert command(root, "--name", "bpm-faults", "--prefix", str(tmp_path / "environments"))[0] == 0
    for name in ("JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / f"{name} of ada"))
    with pytest.raises(NoSuchKernel):
        KernelSpecManager().get_kernel_spec("bpm-faults")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "environments/share/jupyter"))
    found = KernelSpecManager().get_kernel_spec("bpm-faults")
    assert found.resource_dir == str(tmp_path / "environments/share/jupyter/kernels/bpm-faults")
    assert found.display_name == "bpm-faults (locked)"
    said: list[str] = []
    manager, client = start_new_kernel(kernel_name="bpm-faults", cwd=str(tmp_path))
    try:
        answer = client.execute_interactive(
            "import mine, sys; print(mine.ANSWER, sys.prefix)",
            output_hook=lambda message: said.append(message["content"].get("text", "")),
            timeout=60,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert answer["content"]["status"] == "ok"
    assert "".join(said) == f"42 {root}/.venv\n"
