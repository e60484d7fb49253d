"""`objects.py` and `setup.py` of `deploy/mlflow`: what stops them, and what does not. S3 is moto's, in this process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.loopback import answering, free_port, listening
from support.mlflow_server import FOLDER
from support.paths import module_at

pytestmark = pytest.mark.filterwarnings("ignore")  # what boto and moto warn of is theirs
BUCKET = "mlflow"
LOGIN = {"AWS_ACCESS_KEY_ID": "mlflow", "AWS_SECRET_ACCESS_KEY": "of-the-store", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name, value in {**LOGIN, "BUCKET": BUCKET}.items():
        monkeypatch.setenv(name, value)
    return module_at(FOLDER / "objects.py")


@pytest.fixture
def store(objects: ModuleType) -> Iterator[Any]:
    moto = pytest.importorskip("moto", reason="moto is not installed")
    import boto3

    with moto.mock_aws():
        yield boto3.client("s3")


@pytest.fixture
def bucket(store: Any) -> Any:
    store.create_bucket(Bucket=BUCKET)
    return store


def put(store: Any, **contents: str) -> None:
    for key, content in contents.items():
        store.put_object(Bucket=BUCKET, Key=key, Body=content.encode())


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def copied(objects: ModuleType, folder: Path) -> list[str]:
    """The lines that a backup ends with, which is not whole."""
    with pytest.raises(SystemExit) as ended:
        objects.main(["backup", str(folder)])
    assert isinstance(ended.value.code, str), "one that is whole"
    return ended.value.code.splitlines()


@pytest.mark.slow
def test_an_object_without_a_place_is_named_and_the_rest_is_copied(
    objects: ModuleType, bucket: Any, tmp_path: Path
) -> None:
    long = "n" * 256
    put(bucket, **{"a": "1", "a/b": "2", "a/b/c": "3", "folder/": "", long: "4", "x.part-of-a-copy": "5", "z": "6"})
    for _ in "twice":
        said = copied(objects, tmp_path / "copy")
        assert [line.removeprefix("not copied: the object ") for line in said[:-1]] == [
            "'a/b': a file of the copy is where it needs a folder",
            "'a/b/c': a file of the copy is where it needs a folder",
            "'folder/': no file can have this name here",
            f"'{long}': its name is too long for a file",
            "'x.part-of-a-copy': no file can have this name here",
        ]
        assert said[-1].endswith("; rename or remove what is not copied (5) in the bucket mlflow")
        assert files(tmp_path / "copy") == {"a": "1", "z": "6"}
    assert said[-1].startswith(f"0 objects copied to {tmp_path / 'copy'}, 2 were there; ")


@pytest.mark.slow
def test_a_folder_of_the_copy_stays_where_an_object_takes_its_name(
    objects: ModuleType, bucket: Any, tmp_path: Path
) -> None:
    put(bucket, **{"a/b": "2"})
    objects.main(["backup", str(tmp_path)])
    put(bucket, a="1")
    assert copied(objects, tmp_path)[0] == "not copied: the object 'a': a folder of the copy has this name"
    assert files(tmp_path) == {"a/b": "2"}, "nothing half written stays either"


@pytest.mark.parametrize("key", ["../out", "/etc/out", "a/../../out", "..", ".", "a//b", "a/./b", "a\0b", "a/"])
def test_a_name_that_leads_elsewhere_is_no_file(objects: ModuleType, key: str, tmp_path: Path) -> None:
    with pytest.raises(objects.NoPlace, match="no file can have this name here"):
        objects.place(tmp_path / "copy", key)


@pytest.mark.slow
def test_nothing_is_written_outside_of_the_copy(objects: ModuleType, bucket: Any, tmp_path: Path) -> None:
    put(bucket, **{"../out": "x", "..a/b..": "y", f"{tmp_path}/absolute": "z"})
    said = copied(objects, tmp_path / "copy")
    assert said[0] == "not copied: the object '../out': no file can have this name here"
    assert files(tmp_path) == {"copy/..a/b..": "y"}, "dots in a name are dots"


@pytest.mark.slow
def test_a_full_disk_is_the_end_of_the_copy(
    objects: ModuleType, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a="1", b="2")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    said = "the copy is not complete: [Errno 28] No space left on device; run the same command again"
    assert copied(objects, tmp_path) == [said]
    monkeypatch.undo()


@pytest.mark.slow
def test_what_a_killed_backup_was_writing_is_not_restored(
    objects: ModuleType, store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_text("1")
    (tmp_path / "a/c.part-of-a-copy").write_text("half")
    objects.main(["restore", str(tmp_path)])
    assert capsys.readouterr().out == "1 objects copied to the bucket mlflow\n", "which is made where it is gone"
    assert [found["Key"] for found in store.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["a/b"]
    assert store.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    put(store, later="2")
    objects.main(["restore", str(tmp_path)])
    assert len(store.list_objects_v2(Bucket=BUCKET)["Contents"]) == 2, "nothing is removed"


@pytest.mark.slow
def test_a_backup_writes_each_object_to_one_name_that_a_restore_knows(
    objects: ModuleType, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, a="1")
    monkeypatch.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        objects.main(["backup", str(tmp_path)])
    assert files(tmp_path) == {"a.part-of-a-copy": "1"}


@pytest.fixture
def setup(store: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`setup.py`, with every variable that compose.yaml gives to it; nothing listens at its server."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "objects", raising=False)
    variables = ("ADMIN_PASSWORD", "READING_PASSWORD", "WRITING_PASSWORD")
    for name, value in {"SERVER": f"http://127.0.0.1:{free_port()}", **dict.fromkeys(variables, "secret")}.items():
        monkeypatch.setenv(name, value)
    found = module_at(FOLDER / "setup.py")
    monkeypatch.delitem(sys.modules, "objects")
    return found


def line(setup: ModuleType, *models: str) -> str:
    """The line that it ends with."""
    with pytest.raises(SystemExit) as ended:
        setup.main(list(models))
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
    assert "secret" not in ended.value.code
    return ended.value.code


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.match(r"http://127.0.0.1:\d+ does not answer 2.0/mlflow/users/create: .*refused", line(setup))
    monkeypatch.setenv("SERVER", "mlflow.lab.example")
    assert "mlflow.lab.example does not answer 2.0/mlflow/users/create: Invalid URL" in line(setup)


@pytest.mark.slow
def test_a_certificate_that_is_not_trusted_is_one_line(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = "openssl req -x509 -newkey ed25519 -nodes -days 1 -subj /CN=localhost -keyout both.pem -out certificate.pem"
    subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True)
    with (tmp_path / "both.pem").open("a") as both:
        both.write((tmp_path / "certificate.pem").read_text())
    with listening(answering(b"{}"), tmp_path / "both.pem") as port:
        monkeypatch.setenv("SERVER", f"https://localhost:{port}")
        assert "does not answer 2.0/mlflow/users/create: " in (said := line(setup))
    assert "certificate verify failed" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!doctype html>", "answers 2.0/mlflow/users/create as no MLflow does: is SERVER its address?"),
        (b"{}", "answers 2.0/mlflow/experiments/get-by-name without experiment_id"),
        (b"[]", "answers 2.0/mlflow/experiments/get-by-name without experiment_id"),
        (b'{"experiment": "7"}', "answers 2.0/mlflow/experiments/get-by-name without experiment_id"),
    ],
)
def test_what_answers_that_is_no_mlflow_is_one_line(
    content: bytes, said: str, setup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(answering(content)) as port:
        monkeypatch.setenv("SERVER", f"http://127.0.0.1:{port}")
        assert line(setup, "bpm-faults") == f"http://127.0.0.1:{port} {said}"


@pytest.mark.slow
def test_a_refusal_is_one_line(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(answering(b"You are not\n  authenticated", 401)) as port:
        monkeypatch.setenv("SERVER", f"http://127.0.0.1:{port}")
        assert line(setup) == "2.0/mlflow/users/create failed with 401: You are not authenticated"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BUCKET", "SERVER", "ADMIN_PASSWORD", "READING_PASSWORD", "WRITING_PASSWORD"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named_before_anything_is_made(
    name: str, value: str | None, setup: ModuleType, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert line(setup) == f"the variable {name} is not set; compose.yaml says what each has"
    assert store.list_buckets()["Buckets"] == []


@pytest.mark.slow
def test_an_object_store_s_address_that_is_none_is_one_line(
    setup: ModuleType, objects: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "store..lab:7070")
    assert line(setup) == "the object store failed: Invalid endpoint: store..lab:7070"
    said = "the copy is not complete: Invalid endpoint: store..lab:7070; run the same command again"
    assert copied(objects, tmp_path) == [said]
