"""Log in to the object store that has the project's data, with the identity that GitHub gives this job.

It runs before anything of the project does, and uses the standard library alone. STORE_LOGIN says as whom:

    aws ROLE [REGION]          the job's token, which is valid for five minutes, is exchanged at once for keys of 1 h
    google PROVIDER [ACCOUNT]  Google's library is told where it gets tokens, again and again
    azure CLIENT TENANT        Azure's library is told the file that has a token
"""

import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NoReturn

TIMEOUT = 20
AWS_NAMES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "SessionToken": "AWS_SESSION_TOKEN",
}
SPACES = "{https://sts.amazonaws.com/doc/2011-06-15/}"
REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
NONE, GRANT = "this job has no identity", "the workflow that calls this one must grant `permissions: id-token: write`"


def main() -> None:
    kind, *words = os.environ.get("STORE_LOGIN", "").split() or [""]
    known = {"aws": (aws, 1, 2), "google": (google, 1, 2), "azure": (azure, 2, 2)}
    if kind not in known or not known[kind][1] <= len(words) <= known[kind][2]:
        end("STORE_LOGIN must be `aws ROLE [REGION]`, `google PROVIDER [ACCOUNT]` or `azure CLIENT TENANT`")
    if {"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"} <= os.environ.keys():
        known[kind][0](*words)
    elif of_a_fork():
        # Its verdicts say what cannot be read.
        say("notice", f"{NONE} to log in to the object store with, as for a fork")
    elif os.environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        # GitHub takes its pull requests for a fork's, and has not always given them what the workflow grants.
        say("notice", f"{NONE} to log in to the object store with, as for Dependabot; {GRANT}")
    else:
        end(f"{NONE}; {GRANT}")


def of_a_fork() -> bool:
    """Whether the job is for a pull request from another repository, which may be gone by now."""
    if os.environ.get("GITHUB_EVENT_NAME") != "pull_request":
        return False
    try:
        pull = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())["pull_request"]
        head, here = pull["head"]["repo"], pull["base"]["repo"]["full_name"]
        return head is None or head["full_name"] != here
    except (OSError, ValueError, LookupError, TypeError) as error:
        end(f"the event of this pull request cannot be read: {error!r}")


def aws(role: str, region: str = "us-east-1") -> None:
    """Exchange the job's token for keys of `role`."""
    if not REGION.fullmatch(region):
        end(f"STORE_LOGIN names the region {region!r}, which has the form of none, such as eu-central-1")
    address = os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
    words = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        # Seen in the logs of AWS.
        "RoleSessionName": f"beampermit-{os.environ.get('GITHUB_RUN_ID', '0')}",
        "DurationSeconds": "3600",
        "WebIdentityToken": token("sts.amazonaws.com"),
    }
    answer = ask(address, f"AWS, for the role {role},", data=urllib.parse.urlencode(words).encode())
    try:
        found = ET.fromstring(answer).find(f".//{SPACES}Credentials")  # noqa: S314 - AWS's own answer, over TLS
    except (ET.ParseError, ValueError, LookupError):  # not well formed; of an encoding that is none
        end(f"{address} answers the login as no AWS does; is the region {region} right?")
    if found is None:
        end(f"AWS gave no keys for the role {role}")
    for name, variable in AWS_NAMES.items():
        value = found.findtext(f"{SPACES}{name}") or end(f"AWS gave no {name} for the role {role}")
        mask(value)
        append(f"{variable}={value}")
    append(f"AWS_REGION={region}")
    append(f"AWS_DEFAULT_REGION={region}")


def google(provider: str, account: str = "") -> None:
    """Write what Google's library logs in with: it asks GitHub for a token whenever it needs one."""
    audience = f"//iam.googleapis.com/{provider}"
    content = {
        "type": "external_account",
        "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {
            "url": token_address(f"https:{audience}"),
            "headers": {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        },
    }
    if account:
        place = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        content["service_account_impersonation_url"] = place
    append(f"GOOGLE_APPLICATION_CREDENTIALS={written('google.json', json.dumps(content))}")


def azure(client: str, tenant: str) -> None:
    """Write the token that Azure's library reads."""
    append(f"AZURE_FEDERATED_TOKEN_FILE={written('azure.token', token('api://AzureADTokenExchange'))}")
    append(f"AZURE_CLIENT_ID={client}")
    append(f"AZURE_TENANT_ID={tenant}")


def token(audience: str) -> str:
    """What GitHub says of this job, signed, for one `audience`."""
    words = {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    value = value_in(ask(token_address(audience), "GitHub", headers=words))
    # What GitHub calls a token is letters, digits and dots.
    if not isinstance(value, str) or not (value and value.isascii() and value.isprintable()):
        end("GitHub answers without a token of this job; run it again")
    mask(value)
    return value


def value_in(answer: bytes) -> Any:
    try:
        return json.loads(answer)["value"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def token_address(audience: str) -> str:
    return f"{os.environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={urllib.parse.quote(audience, safe='')}"


def ask(address: str, who: str, data: "bytes | None" = None, headers: "dict[str, str] | None" = None) -> bytes:
    try:
        request = urllib.request.Request(address, data, headers or {})  # noqa: S310 - the runner names the address
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.read(1_000_000)
    except urllib.error.HTTPError as error:
        end(f"{who} refuses the login: {error.code} {reason(error)}")
    # ValueError: an address that is none.
    except (OSError, http.client.HTTPException, ValueError) as error:
        end(f"{who} does not answer: {error}")


def reason(error: urllib.error.HTTPError) -> str:
    """What a refusal says, as far as it comes."""
    try:
        return error.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


def written(name: str, text: str) -> Path:
    """A file of this job that no other user reads, and that is gone with the job."""
    path = Path(os.environ["RUNNER_TEMP"], f"beampermit-{name}")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    return path


def append(line: str) -> None:
    """Pass a variable to the following steps. What a server said may not add another one."""
    if not line.isprintable():
        end("an answer holds what no variable can have")
    with Path(os.environ["GITHUB_ENV"]).open("a") as stream:
        stream.write(f"{line}\n")


def mask(value: str) -> None:
    """GitHub shows stars in its place from now on."""
    if value.isprintable():
        sys.stdout.write(f"::add-mask::{value}\n")
        sys.stdout.flush()


def say(kind: str, text: str) -> None:
    sys.stdout.write(f"::{kind}::{' '.join(text.split())[:1000]}\n")


def end(text: str) -> NoReturn:
    say("error", text)
    sys.exit(1)


if __name__ == "__main__":
    main()
