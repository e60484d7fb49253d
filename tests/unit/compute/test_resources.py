from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.cli.compute_options import resources_of
from beampermit.compute.resources import Resources, configuration_file, load_resources, read_storage
from beampermit.errors import BadInput


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("BEAMPERMIT_COMPUTE", raising=False)
    (tmp_path / "beampermit").mkdir()
    return tmp_path / "beampermit/compute.yaml"


def test_options_stand_over_the_users_configuration(file: Path) -> None:
    assert load_resources({}) == Resources()
    file.write_text("# mine\non: slurm\npartition: gpu\ntime: 2h\nmemory: 4G\ncores: 2\n")
    resources = resources_of(cores=8, time="90m", memory=None)
    assert (resources.on, resources.partition, resources.cores) == ("slurm", "gpu", 8)
    assert (resources.time, resources.memory) == (5400.0, 4 * 2**30)
    file.write_text("# nothing yet\n")
    assert load_resources({}) == Resources()


def test_no_file_of_a_project_is_read(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull request cannot send work anywhere."""
    for name in ("", ".beampermit/", "beampermit/", ".config/beampermit/"):
        (tmp_path / "project" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / f"project/{name}compute.yaml").write_text("on: dask://elsewhere:8786\nstorage: sqlite:///x.db\n")
    monkeypatch.chdir(tmp_path / "project")
    assert configuration_file() == file
    assert (resources_of(), read_storage()) == (Resources(), "")
    file.write_text("cores: 2\nstorage: sqlite:///mine.db\n")
    assert (resources_of(), read_storage()) == (Resources(cores=2), "sqlite:///mine.db")


def test_another_file_is_named_by_a_variable(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("cores: 2\n")
    monkeypatch.setenv("BEAMPERMIT_COMPUTE", str(tmp_path / "other.yaml"))
    with pytest.raises(BadInput, match="BEAMPERMIT_COMPUTE names this file, and it is missing"):
        load_resources({})
    (tmp_path / "other.yaml").write_text("cores: 3\n")
    assert load_resources({}).cores == 3


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("on: slurm\npartitoin: gpu\n", 2, "unknown key 'partitoin'; did you mean 'partition'?"),
        ("on: slurm\ncores: 0\n", 2, "cores: Input should be greater than or equal to 1"),
        ("cores: '2'\n", 1, "cores: Input should be a valid integer"),
        ("cores: true\n", 1, "cores: Input should be a valid integer"),
        ("on: local\n\nmemory: 4 GX\n", 3, "memory: '4 GX' is no amount of memory, such as 4G"),
        ("time: tomorrow\n", 1, "time: 'tomorrow' is no time, such as 90m, 2h or 1-12:00:00"),
        ("time: -1\n", 1, "time: Input should be greater than or equal to 0"),
        ("time: .inf\n", 1, "time: Input should be a finite number"),
        (f"time: 1{'0' * 400}\n", 1, "time: Input should be a "),
        ("time: '30:00'\n", 1, "time: '30:00' is no time, such as 90m, 2h or 1-12:00:00; a number is seconds"),
        (f"memory: 1{'0' * 400}G\n", 1, "is no amount of memory, such as 4G"),
        ("partition: 'a; rm -rf /'\n", 1, "partition: String should match pattern"),
        ("- cores\n", 1, "a mapping of keys is needed, such as `on: slurm`"),
        ("cores: [\n", 2, "not YAML"),
        ("cores: 1\ncores: 2\n", 2, 'found duplicate key "cores"'),
    ],
)
def test_a_wrong_configuration_is_said_with_its_line(file: Path, text: str, line: int, reason: str) -> None:
    file.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_resources({})
    assert reason in caught.value.message
    assert (caught.value.file, caught.value.line) == (str(file), line)


def test_a_wrong_option_is_said_with_its_name(file: Path) -> None:
    file.write_text("cores: 2\n")
    for option, value, reason in (
        ("at_once", -1, "--at-once: Input should be greater than or equal to 0"),
        ("memory", "much", "--memory: 'much' is no amount of memory, such as 4G"),
    ):
        with pytest.raises(BadInput) as caught:
            load_resources({option: value})
        assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("512", 512), ("4G", 4 * 2**30), ("1.5 GiB", 1.5 * 2**30), ("100MB", 100 * 2**20), ("2t", 2**41)],
)
def test_memory(text: str, number: int) -> None:
    assert Resources.model_validate({"memory": text}).memory == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("1.5", 1.5),
        ("0", 0),
        ("90s", 90),
        ("90m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1:30:00", 5400),
        ("1-12:00:00", 129600),
    ],
)
def test_time(text: str, seconds: float) -> None:
    assert Resources.model_validate({"time": text}).time == seconds


def test_nought_undoes_what_is_configured(file: Path) -> None:
    file.write_text("time: 2h\nmemory: 4G\ngpus: 1\nat_once: 3\n")
    resources = resources_of(time="0", memory="0", gpus=0, at_once=0)
    assert (resources.time, resources.memory, resources.gpus, resources.at_once) == (0, 0, 0, 0)


def test_the_folder_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    assert Resources().folder() == tmp_path / "cache/work"
    folder = Resources(work=str(tmp_path / "a/b")).folder()
    assert (folder.is_dir(), folder.stat().st_mode & 0o777) == (True, 0o700)
    with pytest.raises(BadInput, match="the folder of work is 'a/b', and an absolute path is needed"):
        Resources(work="a/b").folder()
    (tmp_path / "file").touch()
    for place in ("/proc/beampermit", "/a\0b"):
        with pytest.raises(BadInput, match="this is the folder of work, and no folder can be made there") as caught:
            Resources(work=place).folder()
        assert caught.value.file == place
    with pytest.raises(BadInput, match="this is the folder of work, and a file is in the way"):
        Resources(work=str(tmp_path / "file")).folder()
