"""A laboratory in miniature: a small project with an origin, a key, and a real MLflow, for tests that promote."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from safetensors.numpy import save_file

from beampermit import __version__
from beampermit.digest import digest_json, manifest
from beampermit.git import Git
from beampermit.permit import envelope, keys
from beampermit.permit.assemble import assemble
from beampermit.permit.statement import Sha256, Statement, Subject
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import format_line
from beampermit.registry.mlflow import Registry
from beampermit.registry.operations import Result, Session, freeze, move, re_sign, retire, rollback, thaw
from beampermit.registry.promotion import Promotion
from beampermit.registry.rebuild import FetchModel, rebuild
from beampermit.registry.reconcile import reconcile
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where
from support.permits import KEY, statement
from support.shared import made_once, shared_folder

MODEL = "bpm-faults"
INTERLOCKS = ("DOC001", "ENV001")
WHY = "drifts"
SECRET = "hunter2-of-the-laboratory"
"""No command may ever print it."""
Progress = Callable[[str], None] | None
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow that hold a path."""
WHERE = Where(host="ci-1", system="Linux", python="3.11.9", run="https://ci.example/runs/7", attempt=2)


def verdicts(project: Project, ids: Sequence[str] = INTERLOCKS, where: Where | None = None) -> VerdictFile:
    """Passed verdicts for the project's commit."""
    return VerdictFile(
        checker=__version__,
        commit=project.git.head(),
        tree=project.git("rev-parse", "HEAD^{tree}"),
        base=project.base,
        base_contract=project.base_contract_digest,
        where=where or Where.here(),
        verdicts=tuple(Verdict(id=id, title=id, outcome=Outcome.PASSED, reason="looked at") for id in ids),
    )


@dataclass
class Laboratory:
    """One clone of the project, its key and its registry."""

    root: Path
    key: Path
    uri: str
    said: list[str] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return Project(self.root)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.project.git)

    @property
    def registry(self) -> Registry:
        return Registry(self.uri)

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def change(self, weight: float) -> str:
        """Commit another model on `main` and push; returns the commit."""
        model = self.model(weight)
        files = {f"model/{path}": digest for path, digest in manifest(model).items()}
        files["data/dataset/test.parquet"] = f"sha256:{'0' * 64}"
        (self.root / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": files}))
        (self.root / "metrics").mkdir(exist_ok=True)
        (self.root / "metrics/metrics.json").write_text(json.dumps({"auc": 0.97 + weight / 1000}))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"A model with weight {weight:g}")
        self.git("push", "--quiet", "origin", "main")
        return self.project.git.head()

    def model(self, weight: float) -> Path:
        """Write a model into the work tree; returns its folder."""
        folder = self.root / "model"
        folder.mkdir(exist_ok=True)
        (folder / "MLmodel").write_text("flavors: {}\n")
        save_file({"weight": np.array([weight])}, folder / "weights.safetensors")
        return folder

    def sign(self, ids: Sequence[str] = INTERLOCKS) -> envelope.Signed:
        """The permit of the commit that is checked out, with passed verdicts of `ids`."""
        project = self.project
        statement = assemble(project, [verdicts(project, ids)], ids)
        key = keys.load_signing_key(str(self.key))
        return envelope.Signed(statement, envelope.sign_statement(statement, key))

    def promote(
        self, progress: Progress = None, signed: envelope.Signed | None = None, branch: str | None = None
    ) -> Result:
        """Promote the commit that is checked out."""
        permit, said = signed or self.sign(), progress or self.said.append
        return Promotion(self.project, self.ledger, self.registry, permit, loads, said, branch).run()

    def rollback(
        self, progress: Progress = None, to: int | None = None, retired: bool = False, reason: str = WHY
    ) -> Result:
        return rollback(self._change(progress), to=to, reason=reason, retired=retired)

    def retire(self, progress: Progress = None, version: int | None = None, reason: str = WHY) -> Result:
        return retire(self._change(progress), version=version, reason=reason)

    def freeze(self, progress: Progress = None, reason: str = WHY) -> Result:
        return freeze(self._change(progress), reason=reason)

    def thaw(self, progress: Progress = None, reason: str = WHY) -> Result:
        return thaw(self._change(progress), reason=reason)

    def re_sign(self, version: int, key: Path, reason: str = WHY, progress: Progress = None) -> Result:
        return re_sign(self._change(progress), keys.load_signing_key(str(key)), version=version, reason=reason)

    def reconcile(self, progress: Progress = None) -> tuple[str, ...]:
        return reconcile(self.ledger, self.registry, MODEL, progress or self.said.append)

    def rebuild(self, recover: FetchModel, progress: Progress = None, moved: bool = False) -> tuple[str, ...]:
        """Rebuild, then reconcile. With `moved`, the ledger names this registry from then on."""
        said = progress or self.said.append
        changes = rebuild(self.ledger, self.registry, MODEL, recover, said, moved=moved)
        if moved:
            self.move()
        return changes + self.reconcile(said)

    def move(self, progress: Progress = None) -> Result | None:
        """Say in the ledger that the registry is the one at `uri`."""
        return move(self._change(progress), reason=WHY)

    def trust(self, *public: Path, prefix: str = "") -> None:
        """Make the keys in these files those of the protected branch, by a push that leaves this clone as it is."""
        publish_keys(self.project.git, prefix + "".join(file.read_text() for file in public))

    def new_key(self, name: str) -> tuple[Path, Path]:
        """A key pair that nothing trusts yet: the private and the public file."""
        return keys.generate_keys(self.root.parent / name)

    @property
    def public(self) -> Path:
        """The public half of the laboratory's key."""
        return self.key.with_name(keys.PUBLIC)

    def forge(self, *events: Event, permits: dict[str, bytes] | None = None, back: int = 0, cut: int = 0) -> None:
        """Append lines as whoever can push to the ledger's branch can, after setting it `back` by so many commits.

        `cut` takes so many lines away, by a commit on top.
        """
        git = self.project.git
        self.git("fetch", "--quiet", "origin", "+refs/heads/beampermit-ledger:refs/forged/ledger")
        head = git("rev-parse", f"refs/forged/ledger~{back}")
        lines = (git.read(head, "ledger.jsonl") or "").splitlines(keepends=True)
        text = "".join([*lines[: len(lines) - cut], *map(format_line, events)])
        env = {"GIT_INDEX_FILE": str(self.root.parent / "forged.index")}
        git("read-tree", head, env=env)
        for name, content in {"ledger.jsonl": text, **{k: v.decode() for k, v in (permits or {}).items()}}.items():
            blob = git("hash-object", "-w", "--stdin", stdin=content)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", env=env)
        commit = git("commit-tree", git("write-tree", env=env), "-p", head, "-m", "forged")
        # To the address, so that this clone does not know of it.
        origin = self.git("remote", "get-url", "origin")
        self.git("push", "--quiet", "--force", origin, f"{commit}:refs/heads/beampermit-ledger")

    def fresh_clone(self) -> Laboratory:
        """Another clone, made just now, with the same key and registry."""
        clone = self.root.parent / "fresh"
        subprocess.run(["git", "clone", "--quiet", self.root.parent / "origin.git", clone], check=True)
        return Laboratory(clone, self.key, self.uri)

    def change_the_registry(self) -> None:
        """Manual changes: another champion, tags and a digest that are not the ledger's."""
        self.registry.set_alias(MODEL, "champion", 1)
        self.registry.tag(MODEL, 1, status="champion", digest=f"sha256:{'0' * 64}")
        self.registry.tag(MODEL, 2, status="")
        self.registry.set_state(MODEL, "whatever")

    def lose_the_registry(self, database: Path) -> None:
        """Replace database and artifacts by an empty database."""
        folder = self.root.parent
        shutil.rmtree(folder / "mlartifacts")
        shutil.copy(database, folder / "mlflow.db")

    def copied(self, into: Path, seen_at: Path | None = None) -> Laboratory:
        """A copy in another folder; MLflow and git store absolute paths."""
        shutil.copytree(self.root.parent, into, dirs_exist_ok=True)
        copy = laboratory_in(into, seen_at)
        _move_places(into / "mlflow.db", self.home, copy.home)
        config = copy.root / ".git/config"  # as `git remote set-url` does it
        config.write_text(config.read_text().replace(str(self.root.parent / "origin.git"), str(into / "origin.git")))
        return copy

    @property
    def home(self) -> Path:
        """The folder of the registry, as its address has it."""
        return Path(self.uri.removeprefix("sqlite:///")).parent

    def _change(self, progress: Progress) -> Session:
        return Session(self.project.git, self.ledger, self.registry, MODEL, progress or self.said.append)

    def events(self) -> list[tuple[str, int]]:
        """Kind and version of each event in the ledger on origin."""
        ledger = self.ledger
        ledger.fetch()
        return [(event.event, event.version) for event in ledger.events()]

    def last(self) -> Event:
        ledger = self.ledger
        ledger.fetch()
        return ledger.events()[-1]

    def champion(self) -> int | None:
        """The version with alias `champion` in the registry."""
        return self.registry.alias(MODEL, "champion")

    def statuses(self) -> dict[int, str]:
        """Version in the registry -> its tag `status`."""
        return {one.number: one.tags.get("status", "") for one in self.registry.versions(MODEL)}


def publish_keys(git: Git, text: str) -> None:
    """Make `text` the keys on origin's `main`, by a push that leaves work tree, index and branches as they are."""
    blob = git("hash-object", "-w", "--stdin", stdin=text)
    found, tip = git.remote_tip("origin", "main")
    assert found.code == 0, found.err
    if tip:
        git("fetch", "--quiet", "--no-write-fetch-head", "--refmap=", "origin", "refs/heads/main")
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git("read-tree", tip or "--empty", env=env)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{keys.PUBLIC_IN_PROJECT}", env=env)
        tree = git("write-tree", env=env)
    commit = git("commit-tree", tree, *(("-p", tip) if tip else ()), "-m", "Other keys")
    git("push", "--quiet", "origin", f"{commit}:refs/heads/main")


def sign_promotion(
    event: Event, files: dict[str, str], like: Statement | None = None, key: Ed25519PrivateKey = KEY
) -> tuple[Event, bytes]:
    """The event with the digests of a model of `files` and of its permit, which else is as `like`; and that permit."""
    subject = Subject(name=event.model, digest=Sha256(sha256=digest_json(files).removeprefix("sha256:")))
    plain = like or statement()
    predicate = plain.predicate.model_copy(update={"commit": event.commit, "model": files})
    permit = plain.model_copy(update={"subject": (subject,), "predicate": predicate})
    signed = event.model_copy(update={"digest": permit.model_digest, "permit": permit.digest})
    return signed, envelope.sign_statement(permit, key)


def append_promotion(
    ledger: Ledger, event: Event, files: dict[str, str] | None = None, like: Statement | None = None
) -> Event:
    """Append a promotion without a registry, with a permit whose key is then that of origin's `main`."""
    signed, permit = sign_promotion(event, files or {"weights.safetensors": digest_json(event.version)}, like)
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    publish_keys(ledger.git, pem.decode())
    ledger.append(signed, permit=permit)
    ledger.fetch()
    return signed


def loads(model: Path) -> None:
    """A test deployment for a model that is one number; the real one is tested in `tests/unit/live`."""
    from safetensors.numpy import load_file

    assert load_file(model / "weights.safetensors")["weight"].shape == (1,)


def laboratory_in(folder: Path, seen_at: Path | None = None) -> Laboratory:
    """The laboratory in `folder`, whose registry has its address below `seen_at`, a link to `folder`."""
    address = f"sqlite:///{(seen_at or folder) / 'mlflow.db'}"
    return Laboratory(folder / "project", folder / "keys" / keys.PRIVATE, address)


def link_to(folder: Path, link: Path) -> Path:
    """`link`, which leads to `folder` from now on.

    MLflow takes a third of a second for an address that it does not know, and as long again to compile its statements:
    laboratories that follow one another are seen at one address.
    """
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    for kind in ("tracking", "model_registry"):
        if module := sys.modules.get(f"mlflow.store.{kind}.sqlalchemy_store"):
            for engine in module.SqlAlchemyStore._engine_map.values():
                engine.dispose()  # its connections are to the file that was there before
    return link


def _move_places(database: Path, before: Path, after: Path) -> None:
    if database.stat().st_size == 0:
        return  # no registry is needed there
    with closing(sqlite3.connect(database)) as base, base:
        for table, column in PLACES:
            base.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(before), str(after)))


def found_laboratory(folder: Path, contract: str, database: Path, seen_at: Path | None = None) -> Laboratory:
    """A project that was never promoted, its bare origin and its key, all in `folder`; `database` is a fresh MLflow."""
    root, origin = folder / "project", folder / "origin.git"
    # Without git's samples of hooks, which were a third of the files of each copy.
    subprocess.run(["git", "init", "--quiet", "--bare", "--template=", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", "--template=", origin, root], check=True, capture_output=True)
    (origin / "hooks").mkdir()
    _, public = keys.generate_keys(folder / "keys")
    shutil.copy(database, folder / "mlflow.db")
    (root / "contract.yaml").write_text(contract)
    (root / ".gitignore").write_text("/model\n/.beampermit/\n")
    for name in ("pyproject.toml", "uv.lock", "dvc.lock"):
        (root / name).write_text(f"# {name}\n")
    (root / ".github").mkdir()
    shutil.copy(public, root / ".github/permit.pub")
    return laboratory_in(folder, seen_at)


Step = Callable[[Laboratory], object]
BEGUN: dict[str, tuple[str, Sequence[Step]]] = {
    "first": ("", ()),
    "once": ("", (Laboratory.promote,)),
    "twice": ("once", (lambda made: made.change(2), Laboratory.promote)),
}
"""Laboratories that others are made of: since which one, and by what steps."""


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database, made once because it takes seconds."""
    folder = shared_folder(tmp_path_factory) / "mlflow"
    return made_once(folder, lambda made: Registry(f"sqlite:///{made / 'mlflow.db'}", create=True)) / "mlflow.db"


@pytest.fixture
def prepared(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, contract_text: str, database: Path
) -> Callable[..., Laboratory]:
    """A copy of the laboratory `name`, by default in `tmp_path`: with a first model and `steps`, prepared once for all
    tests, of the one that is called `since`. Of several copies in a test, the registry of the last is at hand."""
    links = tmp_path_factory.getbasetemp()

    def give(name: str, *steps: Step, since: str = "", into: Path = tmp_path) -> Laboratory:
        made = _prepared(name, since, steps) if steps else _prepared(name, *BEGUN[name])
        return made.copied(into, link_to(into, links / "registry"))

    def _prepared(name: str, since: str, steps: Sequence[Step]) -> Laboratory:
        def make(folder: Path) -> None:
            # Another address than that of the copies: a ledger that is copied does not name the registry beside it.
            link = links / "registry-of-the-first"
            if since:
                made = _prepared(since, *BEGUN[since]).copied(folder, link_to(folder, link))
            else:
                made = found_laboratory(folder, contract_text, database, link_to(folder, link))
                made.change(1)
            for step in steps:
                step(made)
            _move_places(folder / "mlflow.db", made.home, folder)

        return laboratory_in(made_once(shared_folder(tmp_path_factory) / f"laboratory-{name}", make))

    return give


@pytest.fixture
def laboratory(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with a first model that is not promoted."""
    return prepared("first")
