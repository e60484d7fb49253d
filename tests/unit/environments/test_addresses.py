"""Whatever in a lock is not what an allowed index serves is named."""

from __future__ import annotations

import re

import pytest

from beampermit.environments.addresses import addresses, origin, unclear, untrusted
from beampermit.environments.backend import Lock
from beampermit.environments.uv import Uv
from beampermit.project import Project
from support.package_index import Index

URL = r'url = "http://127[^"]*/files/'
DEFECTS = {
    "a hash taken out": (r', hash = "sha256:[0-9a-f]{64}"', "", "has no sha256"),
    "a hash of another kind": (r'hash = "sha256:[0-9a-f]{64}"', 'hash = "md5:' + "0" * 32 + '"', "has no sha256"),
    "a hash of a local wheel taken out": (r'(whl"), hash = "sha256:[0-9a-f]{64}" \}', r"\1 }", "has no sha256"),
    "an edited hash": (
        r'(numbers-1.0-py3-none-any.whl", hash = "sha256:)[0-9a-f]{64}',
        r"\g<1>" + "0" * 64,
        "the sha256 of numbers-1.0-py3-none-any.whl differs from the base branch",
    ),
    "a foreign host": (
        URL,
        'url = "https://evil.example/files/',
        "is on https://evil.example, which is not allowed",
    ),
    "a foreign port": (r'url = "http://127.0.0.1:\d+/files', 'url = "http://127.0.0.1:1/files', "which is not allowed"),
    "a user in front of the host": (
        r'url = "http://(127.0.0.1:\d+)/files',
        r'url = "http://\1@evil.example/files',
        "checker-1.0-py3-none-any.whl is on http://evil.example, which is not allowed",
    ),
    "a login for an allowed host": (
        r'url = "http://(127.0.0.1:\d+)/files',
        r'url = "http://evil.example${HOME}@\1/files',
        "checker-1.0-py3-none-any.whl has a login in its address: leave it to netrc",
    ),
    "an index that is not allowed": (
        r'(name = "numbers"\nversion = "1.0"\nsource = \{ registry = )"[^"]*"',
        r'\1"https://evil.example/simple"',
        "the contract does not allow https://evil.example/simple, the source of numbers 1.0",
    ),
    "another package's file": (
        r"/files/numbers-1.0",
        "/files/numberz-1.0",
        "the file numberz-1.0-py3-none-any.whl is of numberz",
    ),
    "another version's file": (
        r"/files/numbers-1.0",
        "/files/numbers-1.1",
        "the file numbers-1.1-py3-none-any.whl is of numbers 1.1",
    ),
    "an edited version": (
        r'name = "numbers"\nversion = "1.0"',
        'name = "numbers"\nversion = "1.5"',
        "numbers 1.5: the file numbers-1.0-py3-none-any.whl is of numbers 1.0",
    ),
    "no package file": (
        r"/files/numbers-1.0-py3-none-any.whl",
        "/files/install.sh",
        "'install.sh' is not a package file",
    ),
    "a repository": (
        r'(name = "numbers"\nversion = "1.0"\nsource = )\{[^}]*\}',
        r'\1{ git = "https://git.evil.example/numbers" }',
        "numbers 1.0 comes from git https://git.evil.example/numbers, not from an index",
    ),
    "a folder of the machine": (r'\{ path = "local_part', '{ path = "/tmp/local_part', "is not in wheels"),
    "a folder outside": (r'\{ path = "local_part', '{ path = "../local_part', "is not in wheels"),
    "no files": (
        r'(name = "numbers"\nversion = "1.0"\nsource = [^\n]*\n)wheels = \[.*?\n\]\n',
        r"\1",
        "numbers 1.0 is locked without a file",
    ),
}


@pytest.fixture
def lock(uv_project: Project) -> Lock:
    return Uv().read(uv_project.root)


def test_the_lock_as_it_was_made_is_trusted(lock: Lock, uv_project: Project) -> None:
    assert list(untrusted(lock, uv_project.contract.environment.indexes, lock)) == []
    assert list(untrusted(lock, None)) == [], "and it needs no contract"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_with_its_line(lock: Lock, uv_project: Project, defect: str) -> None:
    pattern, replacement, message = DEFECTS[defect]
    edited = re.sub(pattern, replacement, lock.text, count=1, flags=re.DOTALL)
    assert edited != lock.text
    found = list(untrusted(Uv().parse(edited, "uv.lock"), uv_project.contract.environment.indexes, lock))
    assert any(message in problem.message for problem in found), found
    assert all(problem.line for problem in found)


@pytest.mark.attack(
    guard="ENV004",
    tried="in `uv.lock`: an address that uv reads up to a backslash, and Python from the `@` behind it",
    said="numbers-1.0-py3-none-any.whl has a backslash, a space or a control character in its address",
)
@pytest.mark.parametrize("contract", [True, False])
def test_an_address_that_programs_read_on_different_hosts_is_refused(
    lock: Lock, uv_project: Project, contract: bool, said: str
) -> None:
    edited = re.sub(r"http://(?=127.0.0.1:\d+/files/numbers)", r"http://evil.example\\\\@", lock.text, count=1)
    allowed = uv_project.contract.environment.indexes if contract else None
    found = list(untrusted(Uv().parse(edited, "uv.lock"), allowed, lock))
    assert said in found[0].message
    assert r"evil.example\\@" in edited.splitlines()[(found[0].line or 0) - 1]


@pytest.mark.parametrize(
    "address",
    [
        r"https://evil.example\@files.lab.example/a.whl",
        r"https:\\evil.example/@https://files.lab.example/a.whl",
        "https:/\t/evil.example\\@files.lab.example/a.whl",
        "https://files.lab.example/.\t./a.whl",
        "\x01https://files.lab.example/a.whl",
        "https://files.lab.example /a.whl",
        "https://files.lab.example\n/a.whl",
        "https://[files.lab.example/a.whl",
    ],
)
def test_such_an_address_is_on_no_host(address: str) -> None:
    assert unclear(address)
    assert origin(address) == address
    assert not unclear("wheels of a folder"), "which is not a URL"


def test_two_files_with_one_hash_are_a_copy_by_hand(lock: Lock) -> None:
    first, second = re.findall(r"sha256:[0-9a-f]{64}", lock.text)[:2]
    found = list(untrusted(Uv().parse(lock.text.replace(second, first), "uv.lock"), None))
    assert "has the sha256 of" in found[0].message


def test_without_a_contract_one_host_that_is_not_the_others_is_named(lock: Lock) -> None:
    edited = re.sub(URL, 'url = "https://evil.example/files/', lock.text, count=1)
    found = list(untrusted(Uv().parse(edited, "uv.lock"), None))
    assert "is on https://evil.example" in found[0].message


def test_a_host_of_files_that_is_not_the_indexs_own_is_recorded_and_then_allowed(lock: Lock, index: Index) -> None:
    moved = Uv().parse(re.sub(URL, 'url = "https://files.lab.example/', lock.text), "uv.lock")
    assert addresses(moved) == (index.url, "wheels", "https://files.lab.example")
    assert list(untrusted(moved, addresses(moved))) == []
    assert "files.lab.example, which is not allowed" in next(untrusted(moved, addresses(lock))).message
