"""`beampermit env lock` with uv: one solution, complete with hashes, and uv's failures in one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.digest import digest_file
from beampermit.environments.addresses import addresses, unlisted
from beampermit.environments.uv import Uv, requirements_txt
from beampermit.environments.uv.command import shorten
from beampermit.errors import BadInput, Failed, Outside
from beampermit.progress import silent
from beampermit.project import Project
from support.package_index import Index, make_wheel, uv

Edit = Callable[[Path], None]


def lock(root: Path, *update: str) -> str:
    Uv().lock(root, update=update, progress=lambda _: None)
    return (root / "uv.lock").read_text()


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_wheel_of_a_local_folder_gets_the_hash_that_uv_leaves_out(uv_project: Project) -> None:
    text = (uv_project.root / "uv.lock").read_text()
    assert re.search(r'\{ path = "local_part-1\.0\+cpu-py3-none-any\.whl", hash = "sha256:[0-9a-f]{64}" \}', text)


@pytest.mark.slow
def test_uv_accepts_the_completed_lock_and_keeps_it(uv_project: Project) -> None:
    before = (uv_project.root / "uv.lock").read_bytes()
    assert uv(uv_project.root, "lock", "--check").returncode == 0
    assert uv(uv_project.root, "lock").returncode == 0
    assert (uv_project.root / "uv.lock").read_bytes() == before


@pytest.mark.slow
def test_a_local_wheel_that_was_exchanged_is_refused_by_its_hash(uv_project: Project) -> None:
    make_wheel(uv_project.root / "wheels", "local-part", "1.0+cpu", files={"local_part/more.py": "EVIL = True\n"})
    with pytest.raises(Failed, match="a file has a wrong hash"):
        Uv().install(uv_project.root, uv_project.root / ".venv", progress=lambda _: None)


@pytest.mark.slow
def test_only_the_package_that_is_named_moves(uv_settings: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    for name in ("numbers", "colours"):
        index.add(name, "1.0")
    root = tmp_path / "moving"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "moving"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["numbers", "colours"]\n'
        f'[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n'
    )
    lock(root)
    for name in ("numbers", "colours"):
        index.add(name, "1.1")
    assert lock(root).count('version = "1.1"') == 0, "what need not move stays"
    found = Uv().lock(root, update=["numbers"], progress=lambda _: None)
    assert {str(package) for package in found.packages if not package.own} == {"numbers 1.1", "colours 1.0"}
    index.close()


@pytest.mark.slow
def test_requirements_that_clash_are_quoted_in_a_line(uv_project: Project) -> None:
    edit(uv_project.root / "pyproject.toml", '"numbers>=1,<2"', '"numbers>=7"')
    with pytest.raises(Failed) as caught:
        lock(uv_project.root)
    assert "numbers" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.file == "pyproject.toml"


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503])
def test_an_index_that_answers_with_an_error_is_the_outside_world(
    uv_settings: Path, tmp_path: Path, uv_project: Project, status: int
) -> None:
    index = Index(tmp_path / "index")
    index.fail = status
    _use(uv_project.root, index)
    with pytest.raises(Outside, match=str(status)):
        lock(uv_project.root)
    index.close()


@pytest.mark.slow
def test_an_index_that_is_down_is_the_outside_world(uv_settings: Path, tmp_path: Path, uv_project: Project) -> None:
    index = Index(tmp_path / "index")
    index.close()
    _use(uv_project.root, index)
    before = (uv_project.root / "uv.lock").read_bytes()
    with pytest.raises(Outside, match="an index cannot be reached"):
        lock(uv_project.root)
    assert (uv_project.root / "uv.lock").read_bytes() == before


@pytest.mark.slow
def test_a_python_that_is_not_here_is_the_outside_world(uv_project: Project) -> None:
    file = uv_project.root / "pyproject.toml"
    file.write_text(re.sub(r'requires-python = ".*"', 'requires-python = "==3.5.*"', file.read_text()))
    with pytest.raises(Outside, match="no Python that requires-python allows is on this machine") as caught:
        lock(uv_project.root)
    assert "requires-python" in caught.value.hint


def test_a_pyproject_that_is_not_toml_is_bad_input(uv_project: Project) -> None:
    edit(uv_project.root / "pyproject.toml", "[project]", "[project")
    with pytest.raises(BadInput) as caught:
        lock(uv_project.root)
    assert caught.value.file == "pyproject.toml"


TAMPERED = {
    "merge-conflict markers": ("version = 1", "<<<<<<< ours\nversion = 1"),
    "cut off in the middle": ('name = "plotter"\n', '"'),
    "a hash taken out": (r', hash = "sha256:[0-9a-f]{64}"', ""),
    "an edited version": ('name = "numbers"\nversion = "1.0"', 'name = "numbers"\nversion = "1.5"'),
    "a foreign host": (r'url = "http://127[^/]*/files/numbers', 'url = "https://evil.example/files/numbers'),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", TAMPERED)
def test_a_lock_that_was_broken_is_fixed_by_locking(uv_project: Project, defect: str) -> None:
    file = uv_project.root / "uv.lock"
    before = file.read_text()
    file.write_text(re.sub(*TAMPERED[defect], before))
    assert file.read_text() != before
    assert lock(uv_project.root) == before


@pytest.mark.slow
def test_a_broken_lock_stays_where_there_is_no_solution(uv_project: Project) -> None:
    file = uv_project.root / "uv.lock"
    file.write_text("<<<<<<< ours\n" + file.read_text())
    broken = file.read_text()
    edit(uv_project.root / "pyproject.toml", '"numbers>=1,<2"', '"numbers>=7"')
    with pytest.raises(Failed):
        lock(uv_project.root)
    assert file.read_text() == broken


def test_uv_is_quoted_without_hints_and_other_programs_output() -> None:
    said = (
        "warning: old\nUsing CPython\nerror: No way\n  cause: because\n\n         [stderr]\n         noise\nhint: try"
    )
    assert shorten(said) == "No way because"


def bare(tmp_path: Path, **files: str) -> Path:
    root = tmp_path / "Orbit Model"
    root.mkdir()
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


@pytest.mark.slow
def test_requirements_txt_alone_is_read_and_its_lock_is_fresh(uv_settings: Path, index: Index, tmp_path: Path) -> None:
    root = bare(
        tmp_path,
        requirements_txt=f"--index-url {index.url}\n-f wheels\n-r more.txt\n# old\nNumbers >=1,<2  # no newer\n",
    )
    pin = digest_file(make_wheel(root / "wheels", "local-part", "1.0"))
    (root / "more.txt").write_text(
        f"plotter[fancy]\nlocal-part==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash={pin}\n    # via it\n"
    )
    (root / ".python-version").write_text(".".join(map(str, sys.version_info[:2])))
    lock(root)
    backend = Uv()
    specification = backend.specification(root)
    assert [one.text for one in specification.requirements] == ["local-part==1.0", "numbers>=1,<2", "plotter[fancy]"]
    assert [address for address, _ in specification.indexes] == [index.url, "wheels"]
    assert specification.content["project"]["name"] == "orbit-model"
    assert backend.stale(specification, backend.read(root)) == ()
    assert {one.name for one in backend.read(root).packages} == {
        "orbit-model",
        "numbers",
        "plotter",
        "colours",
        "local-part",
    }


@pytest.mark.slow
def test_an_index_of_whoever_locks_is_not_written_into_the_project(
    uv_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path / "index")
    index.add("numbers", "1.0")
    index.login = "ada:secret"
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url.replace("://", "://ada:secret@"))
    root = bare(tmp_path, requirements_txt="numbers\n")
    assert index.url in lock(root)
    assert Uv().specification(root).indexes == ()
    index.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout", ["tiny==1.0 {pin}", "# tiny\ntiny[x]==1.0; python_version > '3' \\\n  {pin}\n  # by hand"]
)
def test_a_hash_that_requirements_txt_pins_is_that_of_a_locked_file(
    uv_settings: Path, tmp_path: Path, layout: str
) -> None:
    listed = layout.format(pin=f"--hash=sha256:{'0' * 64}")
    root = bare(tmp_path, requirements_txt=f"-f wheels\n{listed}\n")
    make_wheel(root / "wheels", "tiny", "1.0")
    line = 2 + listed.startswith("#")
    for _ in range(2):
        with pytest.raises(Failed, match=r"no file of tiny 1\.0 on the index has a hash that is pinned here") as caught:
            lock(root)
        assert (caught.value.file, caught.value.line) == ("requirements.txt", line)
        assert {file.name for file in root.iterdir()} == {"requirements.txt", "wheels"}


@pytest.mark.slow
def test_what_a_killed_run_made_of_requirements_txt_counts_only_once_its_hashes_are_compared(
    uv_settings: Path, tmp_path: Path
) -> None:
    root = bare(tmp_path, requirements_txt=f"-f wheels\ntiny==1.0 --hash=sha256:{'0' * 64}\n")
    wheel = make_wheel(root / "wheels", "tiny", "1.0")
    requirements_txt.adopt(root)
    Uv()._lock(root, (), silent)  # pyright: ignore[reportPrivateUsage]
    assert {"pyproject.toml", "uv.lock"} < {file.name for file in root.iterdir()}, "killed here, before the comparison"

    with pytest.raises(BadInput, match=r"was stopped before it compared the hashes of requirements\.txt") as caught:
        Uv().specification(root)
    assert (caught.value.line, caught.value.hint) == (1, "beampermit env lock")
    with pytest.raises(Failed, match="has a hash that is pinned here"):
        lock(root)
    assert not (root / "pyproject.toml").exists()

    requirements_txt.adopt(root)
    listed = (root / "requirements.txt").read_text()
    (root / "requirements.txt").unlink()
    with pytest.raises(BadInput, match=r"requirements.txt, which this file is made from, is missing"):
        lock(root)
    (root / "requirements.txt").write_text(listed.replace(f"sha256:{'0' * 64}", digest_file(wheel)))
    lock(root)
    assert [one.text for one in Uv().specification(root).requirements] == ["tiny==1.0"]
    assert "env lock" not in (root / "pyproject.toml").read_text()


@pytest.mark.slow
def test_a_requirements_txt_without_a_solution_is_named_itself(uv_settings: Path, tmp_path: Path) -> None:
    root = bare(tmp_path, requirements_txt="-f wheels\ntiny==2.0\n")
    make_wheel(root / "wheels", "tiny", "1.0")
    with pytest.raises(Failed, match="tiny==2") as caught:
        lock(root)
    assert caught.value.file == "requirements.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numbers\n-c limits.txt\n", "requirements.txt:2: -c is not taken over"),
        ("numbers\n--pre\n", "requirements.txt:2: --pre is not taken over"),
        ("#\nnumbers \\\n  --global-option=x\n", "requirements.txt:2: --global-option is not taken over"),
        ("num bers\n", "requirements.txt: Couldn't parse requirement in `requirements.txt`"),
        ("-r missing.txt\n", "requirements.txt: Error parsing included file"),
        ("# none\n", "requirements.txt: nothing to lock: no package is required"),
    ],
)
def test_a_requirements_txt_that_is_not_understood_leaves_no_project(
    uv_settings: Path, tmp_path: Path, text: str, message: str
) -> None:
    root = bare(tmp_path, requirements_txt=text)
    with pytest.raises(BadInput) as caught:
        lock(root)
    assert str(caught.value).startswith(message)
    assert caught.value.hint
    assert {file.name for file in root.iterdir()} == {"requirements.txt"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('requires-python = ">=3.11"', "nothing to lock: no package is required"),
        ('dependencies = ["numbers"]', "project.requires-python is missing"),
    ],
)
def test_a_project_of_which_no_lock_would_pass_is_not_locked(
    uv_settings: Path, tmp_path: Path, table: str, message: str
) -> None:
    root = bare(tmp_path, pyproject_toml=f'[project]\nname = "orbit"\nversion = "1"\n{table}\n')
    with pytest.raises(BadInput, match=message) as caught:
        lock(root)
    assert (caught.value.file, caught.value.line) == ("pyproject.toml", 1)
    assert caught.value.hint
    assert not (root / "uv.lock").exists()


@pytest.mark.slow
def test_a_member_of_a_workspace_above_has_no_lock_of_its_own(uv_settings: Path, index: Index, tmp_path: Path) -> None:
    text = '[project]\nname = "{}"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["numbers"]\n'
    more = f'[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n'
    root = bare(tmp_path, pyproject_toml=text.format("orbit") + more)
    above = tmp_path / "pyproject.toml"
    above.write_text(text.format("above") + '[tool.uv.workspace]\nmembers = ["*"]\n')
    with pytest.raises(BadInput, match="the project has no lock of its own: it is a member of the workspace in") as no:
        lock(root)
    assert "exclude of [tool.uv.workspace]" in no.value.hint
    assert list(tmp_path.rglob("uv.lock")) == []
    above.write_text(above.read_text() + 'exclude = ["Orbit Model"]\n')
    assert "numbers" in lock(root)


def _use(root: Path, index: Index) -> None:
    (root / "pyproject.toml").write_text(
        re.sub(r'url = "http://127[^"]*"', f'url = "{index.url}"', (root / "pyproject.toml").read_text())
    )


@pytest.mark.slow
@pytest.mark.parametrize("setting", ['find-links = ["{url}"]', 'index = [{{url = "{url}", format = "flat"}}]'])
def test_what_env_lock_records_allows_a_folder_that_is_written_as_a_url(
    uv_settings: Path, tmp_path: Path, setting: str
) -> None:
    wheels = make_wheel(tmp_path / "the wheels", "tiny", "1.0").parent
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tiny"]\n'
        f"[tool.uv]\n{setting.format(url=wheels.as_uri())}\n"
    )
    found, specification = Uv().lock(root, progress=lambda *_: None), Uv().specification(root)
    assert list(unlisted(specification, addresses(found))) == []
    assert [one.message for one in unlisted(specification, (f"{wheels}2",))] == [
        f"the contract does not allow {wheels}, from which any package may come"
    ]
