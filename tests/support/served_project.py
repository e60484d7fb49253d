"""The trained project with a promoted version, and `beampermit serve` beside it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.digest import digest_folder, manifest
from beampermit.errors import Failed
from beampermit.files import write_json
from beampermit.models.packaged import PACKAGED_CONTRACT
from beampermit.permit import keys
from beampermit.permit.assemble import assemble
from beampermit.permit.envelope import Signed, sign_statement
from beampermit.project import Project
from beampermit.registry.mlflow import Registry
from beampermit.registry.promotion import Promotion
from beampermit.verdicts.evidence import Gate, Gates
from support.dvc_repositories import replace
from support.epics import Network, Place
from support.registry_project import INTERLOCKS, Laboratory, verdicts
from support.trained_project import SLUG

PATIENCE = 120.0
HOLDS = "fallback: {on_invalid: hold, hold_for: 10s, then: invalid}"
"""In the contract of the trained project."""


@dataclass
class ServedProject:
    """A checkout with an origin, a key and a registry."""

    lab: Laboratory
    state: Path

    def register_challenger(self) -> None:
        """The same model as a version that the test deployment refused: signed, in the registry, and not champion."""

        def refuse(_: Path) -> None:
            raise Failed("as deployed, it is slow")

        with suppress(Failed):
            self.promote_again(refuse)

    def promote_again(self, deploy: Callable[[Path], None] = lambda _: None) -> None:
        """The model as the next version: the same again, unless it was changed."""
        lab = self.lab
        lab.git("commit", "--quiet", "--allow-empty", "--message", "A version")
        lab.git("push", "--quiet", "origin", "main")
        Promotion(lab.project, lab.ledger, lab.registry, _signed(lab), deploy, lambda *_: None).run()

    def change_the_model(self) -> None:
        """Another one without a training: its scores are half as high, and without an answer it shows nothing."""
        root, model = self.lab.root, self.lab.root / "model"
        replace(root / CONTRACT, HOLDS, "fallback: {on_invalid: invalid}")
        shutil.copy(root / CONTRACT, model / PACKAGED_CONTRACT)
        replace(model / "code/bpm_faults/model.py", 'return {"score": scores}', 'return {"score": scores / 2}')
        kept = json.loads((root / "manifest.json").read_text())
        kept["files"] |= {f"model/{path}": digest for path, digest in manifest(model).items()}
        write_json(root / "manifest.json", kept)
        self.lab.git("add", "--all")
        self.have_the_model()

    def have_the_model(self) -> None:
        """Its bytes on this machine: that a service fetches them is shown by `promoted/test_start.py`."""
        model = self.lab.root / "model"
        shutil.copytree(model, self.state / "models" / digest_folder(model).removeprefix("sha256:"))

    @property
    def said(self) -> Path:
        """What the service logs."""
        return self.state.parent / "service.log"

    @contextmanager
    def service(
        self, network: Network, place: Place, *options: str, checkout: bool = True
    ) -> Iterator[subprocess.Popen[bytes]]:
        """`beampermit serve` with a log, in a checkout or anywhere; it must have ended by SIGTERM in order."""
        said, origin = self.said, self.lab.git("remote", "get-url", "origin")
        where = ["--project", str(self.lab.root)] if checkout else ["--model", SLUG, "--ledger", origin]
        command = [sys.executable, "-m", "beampermit.cli.main", "serve", *where]
        command += ["--state", str(self.state), "--registry", self.lab.uri, "--follow", "0.5", *options]
        with said.open("ab") as log:
            process = subprocess.Popen(command, env=network.server(place), stdout=log, stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0, said.read_text()[-3000:]
        except BaseException:
            sys.stderr.write(said.read_text()[-6000:])
            raise
        finally:
            process.kill()
            process.wait()


@contextmanager
def machine(network: Network, root: Path, devices: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """An IOC that plays the project's data, for the contract and the devices of a folder: by default, the project's."""
    with network.place() as place:
        words = str(root / "data/raw.parquet"), str(devices or root)
        command = [sys.executable, "-m", "beampermit.demo.machine", *words]
        process = subprocess.Popen(command, env=network.server(place), stdin=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def lay_out(trained: Path, database: Path, folder: Path) -> ServedProject:
    """A copy of the trained project in `folder`, with its model promoted as version 1."""
    shutil.copy(database, folder / "mlflow.db")
    for name in (SLUG, "origin.git"):
        shutil.copytree(trained / name, folder / name, symlinks=True)
    project = Project(folder / SLUG)
    project.git("remote", "set-url", "origin", str(folder / "origin.git"))
    return put_into_service(project, folder)


def put_into_service(project: Project, folder: Path) -> ServedProject:
    """Promote the project's model as version 1."""
    _, public = keys.generate_keys(folder / "keys")
    shutil.copy(public, project.root / ".github/permit.pub")
    lab = Laboratory(project.root, folder / "keys/permit.key", f"sqlite:///{folder / 'mlflow.db'}")
    Registry(lab.uri, create=True)
    lab.git("add", "--all")
    lab.git("commit", "--quiet", "--message", "A key")
    lab.git("push", "--quiet", "origin", "main")
    Promotion(lab.project, lab.ledger, lab.registry, _signed(lab), lambda _: None, lambda *_: None).run()
    return ServedProject(lab, folder / "state")


def _signed(lab: Laboratory) -> Signed:
    """A permit as if every metric were at its gate: what is proved here is what a promoted model shows."""
    ids = (*INTERLOCKS, "PRF001")
    file = verdicts(lab.project, ids)
    *others, gates = file.verdicts
    rows = [
        Gate(name=one.name, value=one.gate, gate=one.gate, better=one.better or "higher", met=True, by="checker")
        for one in lab.project.contract.metrics
    ]
    told = gates.model_copy(update={"evidence": Gates(metrics=tuple(rows))})
    statement = assemble(lab.project, [file.model_copy(update={"verdicts": (*others, told)})], ids)
    return Signed(statement, sign_statement(statement, keys.load_signing_key(str(lab.key))))
