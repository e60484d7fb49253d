"""`beampermit env` in a folder with an `environment.yml` and nothing else: no contract, no git."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BeampermitError
from support.conda_channel import PYTHON, TOKEN, Channel
from support.package_index import basic
from support.small_disk import on_small_disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the tiny channel has packages for Linux"),
]
Env = Callable[..., Any]


@pytest.fixture
def env(root: Path) -> Env:
    """Run `beampermit env VERB` in the project; give what it printed, read as JSON where that was asked for."""

    def run(*words: str, code: int = 0) -> Any:
        found = CliRunner().invoke(app, ["env", *words, "--project", str(root)])
        if isinstance(found.exception, BeampermitError):
            assert found.exception.exit_code == code, found.exception
            return found.exception
        assert found.exit_code == code, found.output
        return json.loads(found.stdout) if "--json" in words else found.stdout

    return run


def test_the_whole_way(env: Env, root: Path, tmp_path: Path, channel: Channel) -> None:
    prefix = tmp_path / "environment"
    assert env("lock", "--json")["packages"] == 12
    verdicts = env("check", "--json")
    assert [verdict["outcome"] for verdict in verdicts] == ["passed"] * 4
    assert env("check", "--online", "--json") == verdicts or channel.asked
    installed = env("install", "--prefix", str(prefix), "--json")
    assert installed["prefix"] == str(prefix)
    assert subprocess.run([prefix / "bin/orbit"], capture_output=True, check=True).stdout == b"orbit orbit\n"
    assert not (root / ".git").exists()
    assert not (root / "contract.yaml").exists()


def test_verify_and_run_use_the_environment_of_the_project(env: Env, locked: Path, root: Path) -> None:
    env("install")
    assert [verdict["outcome"] for verdict in env("verify", "--json")] == ["passed", "passed"]
    (root / ".venv/share/tune.txt").write_text("edited")
    found = env("verify", "--json", code=1)
    assert found[1]["reason"] == "tune 1.5 0 was changed: share/tune.txt has other content"
    command = [sys.executable, "-m", "beampermit.cli.main", "env", "run", "--project", str(root), "--", "orbit"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"orbit orbit\n"


def test_a_project_without_a_lock_is_told_the_command(env: Env, root: Path) -> None:
    found = env("check", "--json", code=1)
    assert found[0]["reason"] == "there is no conda-lock.yml"
    assert "beampermit env lock" in found[0]["fix"]


def test_online_names_what_was_yanked_or_changed(env: Env, locked: Path, channel: Channel) -> None:
    channel.remove(channel.folder / "noarch/tune-1.5-0.conda")
    assert "tune 1.5 0 is no longer in" in env("check", "--online", code=1).message
    (channel.folder / "noarch/tune-1.5-0.conda").unlink()
    channel.add("tune", "1.5", files={"share/tune.txt": "another"})
    assert "tune 1.5 0 now has the sha256" in env("check", "--online", code=1).message


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_a_bundle_is_all_that_an_installation_needs(
    env: Env, locked: Path, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle, prefix = tmp_path / name, tmp_path / "environment"
    assert env("bundle", str(bundle), "--variant", "cuda", "--json")["files"] == 6
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "another-machine"))
    channel.faults["/"] = lambda _: (500, b"")
    channel.asked.clear()
    env("install", "--variant", "cuda", "--bundle", str(bundle), "--prefix", str(prefix))
    assert channel.asked == [], "the network was used"
    assert (prefix / "conda-meta/torch-2.5-cuda_1.json").is_file()
    record = json.loads((prefix / "conda-meta/torch-2.5-cuda_1.json").read_text())
    assert record["url"].startswith(channel.url)


def test_the_same_lock_gives_the_same_bundle(env: Env, locked: Path, tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        env("bundle", str(tmp_path / name))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_bundle_that_was_tampered_with_or_lacks_something_is_refused(env: Env, locked: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    env("bundle", str(bundle))
    archive = next(bundle.rglob("tune-1.5-0.conda"))
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    found = env("install", "--bundle", str(bundle), "--prefix", str(tmp_path / "e"), code=1)
    assert "tune-1.5-0.conda of the bundle is missing or not the locked file" in found.message
    assert archive.exists(), "a bundle belongs to somebody else"
    archive.unlink()
    assert "of the bundle is missing or not the locked file" in env("install", "--bundle", str(bundle), code=1).message


def test_a_hostile_tar_stays_in_its_folder(env: Env, locked: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(hostile, "w") as packed:
        packed.addfile(tarfile.TarInfo("../../escaped"))
    assert "not a bundle" in env("install", "--bundle", str(hostile), code=2).message
    hostile.write_text("no tar at all")
    assert "not a bundle" in env("install", "--bundle", str(hostile), code=2).message
    assert "there is no such bundle" in env("install", "--bundle", str(tmp_path / "none"), code=2).message


def test_the_bill_of_materials_is_cyclonedx(env: Env, locked: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = env("sbom", "--platform", "linux-64", "--variant", "cuda")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    torch = next(component for component in found["components"] if component["name"] == "torch")
    assert torch["purl"].startswith("pkg:conda/torch@2.5?build=cuda_1&channel=http%3A%2F%2F127.0.0.1")
    assert len(torch["hashes"][0]["content"]) == 64
    needs = {entry["ref"].split("?")[0]: entry["dependsOn"] for entry in found["dependencies"]}
    assert [one.split("@")[0] for one in needs["pkg:conda/orbit@2.0"]] == ["pkg:conda/python", "pkg:conda/tune"]
    assert text == env("sbom", "--platform", "linux-64", "--variant", "cuda")
    assert "the lock has nothing for vax" in env("sbom", "--platform", "vax", code=2).message


def test_the_difference_of_two_locks(env: Env, locked: Path, channel: Channel, tmp_path: Path) -> None:
    before = tmp_path / "before-conda-lock.yml"
    before.write_bytes((locked / "conda-lock.yml").read_bytes())
    channel.add("tune", "1.9")
    channel.add("magnet", "1.0", subdir="linux-64")
    development = locked / "dev-environment.yml"
    development.write_text(development.read_text().replace("- probe", "- magnet  # [linux]\n  - tune"))
    env("lock", "--update", "tune")
    assert env("diff", str(before), "--json") == [
        {"package": "magnet", "change": "added", "before": None, "after": "1.0 (0)", "platforms": ["linux-64"]},
        {
            "package": "probe",
            "change": "removed",
            "before": "3.0 (0)",
            "after": None,
            "platforms": ["linux-64", "osx-arm64"],
        },
        {
            "package": "tune",
            "change": "moved",
            "before": "1.5 (0)",
            "after": "1.9 (0)",
            "platforms": ["linux-64", "osx-arm64"],
        },
    ]
    assert "| moved | `tune` | `1.5 (0)` | `1.9 (0)` | linux-64, osx-arm64 |" in env("diff", str(before), "--markdown")
    assert "removed" in env("diff", str(before), "conda-lock.yml")
    assert env("diff", "conda-lock.yml", "--markdown") == "No package changed.\n"
    assert "neither a lock file nor a revision" in env("diff", "v0", code=2).message


def test_a_lock_of_conda_comes_before_the_pyproject_of_its_tools(env: Env, root: Path) -> None:
    (root / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "1"\nrequires-python = "=={PYTHON}.*"\n')
    assert env("lock", "--json")["lock"] == "conda-lock.yml"


def test_values_of_a_hostile_lock_do_not_break_the_markdown(env: Env, locked: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "conda-lock.yml"
    hostile.write_text((locked / "conda-lock.yml").read_text().replace("name: probe", "name: 'x|`@everyone`|<b>'"))
    shown = env("diff", str(hostile), "--markdown")
    assert "<b>" not in shown.replace("<code>", "")


def test_a_private_channels_token_stays_out_of_the_lock_and_of_messages(
    env: Env, root: Path, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("environment.yml", "dev-environment.yml"):
        text = (root / name).read_text()
        (root / name).write_text(text.replace("/lab", "/t/${LAB_TOKEN}/lab"))
    monkeypatch.setenv("LAB_TOKEN", TOKEN)
    env("lock")
    text = (root / "conda-lock.yml").read_text()
    assert TOKEN not in text
    assert "/t/${LAB_TOKEN}/lab/noarch/tune-1.5-0.conda" in text
    env("check")
    env("check", "--online")
    env("install", "--prefix", str(tmp_path / "environment"))
    assert TOKEN not in "".join(path.read_text() for path in (tmp_path / "environment/conda-meta").glob("*.json"))
    channel.faults["/lab"] = lambda _: (403, b"")
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "elsewhere"))
    assert TOKEN not in env("lock", code=4).message
    assert TOKEN not in env("install", "--prefix", str(tmp_path / "other"), code=4).message


def test_a_channel_that_wants_a_login_gets_it_from_netrc(
    env: Env, root: Path, channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.login = basic(f"ada:{TOKEN}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    refused = env("lock", code=4)
    assert "a channel answers 401 Unauthorized" in refused.message
    assert "netrc" in refused.hint
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ada password {TOKEN}\n")
    env("lock")
    assert env("bundle", str(tmp_path / "bundle"), "--json")["files"] == 6
    env("install", "--prefix", str(tmp_path / "environment"))
    written = [*root.glob("*.yml"), *(tmp_path / "environment/conda-meta").glob("*.json")]
    assert TOKEN not in "".join(path.read_text() for path in written)


@pytest.mark.parametrize("size", [8, 32, 48])  # at the first folder, while unpacking, while linking
def test_a_disk_that_is_full_is_said_in_words(env: Env, locked: Path, tmp_path: Path, size: int) -> None:
    place = tmp_path / "small"
    words = ("env", "install", "--project", locked, "--prefix", place / "environment")
    code, errors = on_small_disk(place, size, *words, needs=("beampermit.environments.installation", "filelock"))
    assert code == 4, errors
    assert "no space left" in errors.lower()
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("ignored", "reason"),
    [
        ("cuda.*\n", "git ignores cuda.conda-lock.yml, so it cannot be committed"),
        ("", "conda-lock.yml is in git and cuda.conda-lock.yml is not; run `git add cuda.conda-lock.yml`"),
    ],
)
def test_a_lock_of_a_variant_that_nobody_else_gets_fails(env: Env, locked: Path, ignored: str, reason: str) -> None:
    subprocess.run(["git", "init", "--quiet", locked], check=True)
    assert env("check", "--json")[0]["outcome"] == "passed", "nothing is in git yet, so nothing is left out"
    (locked / ".gitignore").write_text(ignored)
    subprocess.run(["git", "-C", locked, "add", "conda-lock.yml"], check=True)
    assert env("check", "--json", code=1)[0]["reason"] == reason
