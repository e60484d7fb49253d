"""Copies the objects of the bucket to a folder, or those of a folder to the bucket. Nothing is removed on either side.

python objects.py backup FOLDER
python objects.py restore FOLDER
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

PART = ".part-of-a-copy"
"""Ends the name of a file that is being written; the next backup writes it again."""
IN_THE_WAY = {
    errno.EEXIST: "a file of the copy is where it needs a folder",
    errno.ENOTDIR: "a file of the copy is where it needs a folder",
    errno.EISDIR: "a folder of the copy has this name",
    errno.ENAMETOOLONG: "its name is too long for a file",
}
"""What the disk says where one object has no place; a disk that is full or broken stops the whole copy."""


class NoPlace(Exception):
    """Why an object can be no file of the copy."""


def objects(store: Any, bucket: str) -> Iterator[dict[str, Any]]:
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from page.get("Contents", ())


def place(folder: Path, key: str) -> Path:
    """The file of an object. Whoever may write into the bucket chose its name, so it may lead elsewhere."""
    parts = key.split("/")
    if "\0" in key or any(part in ("", ".", "..") for part in parts) or parts[-1].endswith(PART):
        raise NoPlace("no file can have this name here")
    return folder.joinpath(*parts)


def copied(store: Any, bucket: str, folder: Path, entry: dict[str, Any]) -> bool:
    """Whether the object had to be copied. Raises `NoPlace`."""
    file, written = place(folder, entry["Key"]), int(entry["LastModified"].timestamp())
    try:
        if file.is_file() and (file.stat().st_size, int(file.stat().st_mtime)) == (entry["Size"], written):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + PART)
        # A stream of ours: given a name, boto writes to another one beside it, which would stay if it was killed.
        with part.open("wb") as stream:
            store.download_fileobj(bucket, entry["Key"], stream)
        os.utime(part, (written, written))
        try:
            part.replace(file)
        except IsADirectoryError:
            part.unlink()
            raise
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
        raise NoPlace(IN_THE_WAY[error.errno]) from error
    return True


def backup(store: Any, bucket: str, folder: Path) -> str:
    new = kept = 0
    without: list[str] = []
    for entry in objects(store, bucket):
        try:
            if copied(store, bucket, folder, entry):
                new += 1
            else:
                kept += 1
        except NoPlace as error:
            without.append(f"not copied: the object {entry['Key']!r}: {error}")
    said = f"{new} objects copied to {folder}, {kept} were there"
    if without:
        step = f"rename or remove what is not copied ({len(without)}) in the bucket {bucket}"
        sys.exit("\n".join([*without, f"{said}; {step}"]))
    return said


def restore(store: Any, bucket: str, folder: Path) -> str:
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(PART))
    make_bucket(store, bucket)
    for file in files:
        store.upload_file(str(file), bucket, file.relative_to(folder).as_posix())
    return f"{len(files)} objects copied to the bucket {bucket}"


def make_bucket(store: Any, name: str) -> None:
    """The bucket, which keeps old versions of an object that is overwritten. What is there already stays."""
    if name not in [found["Name"] for found in store.list_buckets()["Buckets"]]:
        store.create_bucket(Bucket=name)
    store.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def variable(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"the variable {name} is not set; compose.yaml says what each has")


def main(words: list[str]) -> None:
    if len(words) != 2 or words[0] not in ("backup", "restore"):
        sys.exit("usage: objects.py backup|restore FOLDER")
    action = {"backup": backup, "restore": restore}[words[0]]
    bucket = variable("BUCKET")
    try:
        sys.stdout.write(action(boto3.client("s3"), bucket, Path(words[1])) + "\n")
    # boto says ValueError of an address that is none.
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        sys.exit(f"the copy is not complete: {error}; run the same command again")


if __name__ == "__main__":
    main(sys.argv[1:])
