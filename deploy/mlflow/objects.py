"""Copies the objects of the bucket to a folder, or those of a folder to the bucket. Nothing is removed on either side.

python objects.py backup FOLDER
python objects.py restore FOLDER
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

PART = ".part-of-a-copy"
"""Ends the name of a file that is being written; the next backup writes it again."""


def objects(store: Any, bucket: str) -> Iterator[dict[str, Any]]:
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from page.get("Contents", ())


def place(folder: Path, key: str) -> Path:
    """The file of an object. Whoever may write into the bucket chose its name, so it may lead elsewhere."""
    parts = key.split("/")
    if "\0" in key or any(part in ("", ".", "..") for part in parts) or parts[-1].endswith(PART):
        sys.exit(f"the object {key!r} has a name that no file can have here; nothing after it was copied")
    return folder.joinpath(*parts)


def backup(store: Any, bucket: str, folder: Path) -> str:
    copied = kept = 0
    for entry in objects(store, bucket):
        file, written = place(folder, entry["Key"]), int(entry["LastModified"].timestamp())
        if file.is_file() and (file.stat().st_size, int(file.stat().st_mtime)) == (entry["Size"], written):
            kept += 1
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + PART)
        store.download_file(bucket, entry["Key"], str(part))
        os.utime(part, (written, written))
        part.replace(file)
        copied += 1
    return f"{copied} objects copied to {folder}, {kept} were there"


def restore(store: Any, bucket: str, folder: Path) -> str:
    if not folder.is_dir():
        sys.exit(f"there is no folder {folder}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(PART))
    for file in files:
        store.upload_file(str(file), bucket, file.relative_to(folder).as_posix())
    return f"{len(files)} objects copied to the bucket {bucket}"


def main(words: list[str]) -> None:
    if len(words) != 2 or words[0] not in ("backup", "restore"):
        sys.exit("usage: objects.py backup|restore FOLDER")
    action = {"backup": backup, "restore": restore}[words[0]]
    try:
        sys.stdout.write(action(boto3.client("s3"), os.environ["BUCKET"], Path(words[1])) + "\n")
    except (BotoCoreError, ClientError, OSError) as error:
        sys.exit(f"the copy is not complete: {error}; run the same command again")


if __name__ == "__main__":
    main(sys.argv[1:])
