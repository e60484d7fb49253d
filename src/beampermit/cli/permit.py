"""`beampermit permit`: make keys; assemble a permit from verdicts, sign it, verify it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, KeyFile, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Assemble, sign and verify the permit of a model.")
Trust = Annotated[
    Path | None,
    typer.Option(
        help="ClientTrustConfig of your own Sigstore.",
        show_default="the project's .github/permit.trust.json, else the public one",
    ),
]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="Folder for permit.key and permit.pub; existing files are kept.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Last day on which it is valid, such as 2027-12-31.", show_default="no end"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the key pair that signs permits (Ed25519).

    permit.key signs and stays secret; permit.pub is committed to the project.
    """
    from beampermit.permit import keys

    private, public = keys.generate_keys(out, until)

    def text() -> None:
        console().print(
            f"private key: {private}  keep it secret; `permit sign` reads it from {keys.VARIABLE}",
        )
        console().print(f"public key:  {public}  commit it as {keys.PUBLIC_IN_PROJECT}")

    show({"private": str(private), "public": str(public)}, text, as_json)


@app.command()
def assemble(
    verdicts: Annotated[Path, typer.Option(help="Folder of the files that `check --out` wrote.")],
    out: Annotated[Path, typer.Option(help="The permit to write.")] = Path("permit.json"),
    software: Annotated[
        Path | None, typer.Option(help="Bill of materials that the permit binds, from `env sbom`.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Revision whose contract the interlocks were judged by.", show_default="the pull request's base"
        ),
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make the permit for this commit.

    Refused unless every interlock passed for exactly this commit and tree, in this run, by the base's contract.
    """
    from beampermit.files import write_text
    from beampermit.interlocks import runner
    from beampermit.interlocks.families import load_interlocks
    from beampermit.interlocks.own.loading import declared
    from beampermit.permit import assemble as permits
    from beampermit.project import Project

    repository = Project.find(project.resolve(), base)
    own = declared(repository)
    permit = permits.assemble(
        repository,
        permits.read_verdict_files(verdicts),
        (*load_interlocks(), *own.points),
        later=runner.put_off(repository),
        software=software,
        packages=own.packages,
    )
    write_text(out, permit.text)
    summary = f"permit of {permit.name} at {permit.predicate.commit[:12]}: all interlocks passed; {out}"
    show(permit.model_dump(mode="json"), lambda: console().print(summary), as_json)


@app.command()
def sign(
    permit: Annotated[
        Path, typer.Argument(help="The permit to sign; with --keyless also one that a key has signed.")
    ] = Path("permit.json"),
    out: Annotated[
        Path | None, typer.Option(help="The signed permit to write.", show_default="NAME.dsse.json beside it")
    ] = None,
    keyless: Annotated[
        bool, typer.Option("--keyless", help="Sign with the workflow's identity and Sigstore: NAME.sigstore.json.")
    ] = False,
    trust: Trust = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Sign a permit with a key, or as a workflow.

    BEAMPERMIT_SIGNING_KEY is the private key as PEM text, or its path.
    """
    import os

    from beampermit.files import write_bytes
    from beampermit.git import find_top
    from beampermit.permit import envelope, keys
    from beampermit.permit.statement import read_statement

    if keyless:
        from beampermit.permit.keyless import sign_keyless
        from beampermit.permit.sigstore import find_trust

        statement = envelope.read_permit(permit, project.resolve())
        bundle = sign_keyless(statement, trust or find_trust(project.resolve()))
        name = permit.name.removesuffix(".json").removesuffix(".dsse")
        target, by = out or permit.with_name(f"{name}.sigstore.json"), {"identity": bundle.identity}
        write_bytes(target, bundle.content)
    else:
        statement = read_statement(permit)
        key = keys.load_signing_key(os.environ.get(keys.VARIABLE))
        keys.require_matching_key(key, find_top(project.resolve()) / keys.PUBLIC_IN_PROJECT)
        target, by = out or permit.with_suffix(".dsse.json"), {"key": keys.key_id(key.public_key())}
        write_bytes(target, envelope.sign_statement(statement, key))
    summary = {"signed": str(target), "permit": statement.digest, **by}
    show(
        summary,
        lambda: console().print(
            f"signed: {target}, permit {statement.digest[:19]}" + (f", as {by['identity']}" if keyless else ""),
        ),
        as_json,
    )


@app.command()
def verify(
    envelope: Annotated[Path, typer.Argument(help="The signed permit.")],
    model: Annotated[Path | None, typer.Option(help="Compare with the saved model in this folder.")] = None,
    name: Annotated[str | None, typer.Option(help="Compare with this model name.")] = None,
    software: Annotated[Path | None, typer.Option(help="Compare with this bill of materials.")] = None,
    key: KeyFile = None,
    identity: Annotated[
        str | None, typer.Option(help="Workflow that signed a Sigstore bundle: URL of its file, @, ref.")
    ] = None,
    issuer: Annotated[
        str, typer.Option(help="OIDC issuer of the identity.")
    ] = "https://token.actions.githubusercontent.com",
    caller: Annotated[str, typer.Option(help="Workflow that called a reusable one: URL of its file, @, ref.")] = "",
    trust: Trust = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Verify a signed permit and print what it covers.

    Exit code 1: another key, another workflow, a changed byte or another model.
    """
    from beampermit.documents.screen import format_fields
    from beampermit.git import find_top
    from beampermit.permit import keys, verification
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.public_keys import read_public_keys

    _require_one_signer(identity, key, with_identity=caller or trust)
    if identity is not None:
        from beampermit.permit.bundle import Signer, read_bundle
        from beampermit.permit.sigstore import find_trust

        signer = Signer(identity, issuer, caller)
        permit, by = read_bundle(envelope, signer, trust or find_trust(project.resolve())), {"identity": identity}
    else:
        trusted = read_public_keys(key or find_top(project.resolve()) / keys.PUBLIC_IN_PROJECT)
        signed = read_envelope(envelope, trusted)
        permit, by = signed.statement, {"key": signed.key}
    if name:
        verification.verify_name(permit, name)
    if model:
        verification.verify_model(permit, model, _root_in_git(project))
    if software:
        verification.verify_software(permit, software)
    show(
        {"permit": permit.digest, **by, "statement": permit.model_dump(mode="json")},
        lambda: console().print(format_fields(verification.describe_permit(permit, model))),
        as_json,
    )


def _root_in_git(project: Path) -> Path | None:
    """The project's root; None where there is no git, as on a host that has the model alone."""
    from beampermit.errors import BeampermitError
    from beampermit.project import find_root

    try:
        return find_root(project)
    except BeampermitError:
        return None


def _require_one_signer(identity: str | None, key: Path | None, *, with_identity: object) -> None:
    """Raise `BadInput` for options that would have no effect: a user would think that they were compared."""
    from beampermit.errors import BadInput

    if identity is None and with_identity:
        raise BadInput("--caller and --trust need --identity: they apply to a Sigstore bundle")
    if identity is not None and (key or not identity):
        raise BadInput("--identity must name a workflow, and excludes --key")
