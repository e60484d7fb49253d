"""What of a set-up GitHub shows: variables, names of secrets, environments, runners, owners, files; organizations.

`set_up(github)` makes one in which nothing is missing; tests take something out. Importing this adds the answers.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.github_server import Answer, Asked, Refused
from support.github_stand_in import GitHub, Json, Token, route

__all__ = ["Hub", "SetUp", "of", "set_up"]
KEY = "BEAMPERMIT_SIGNING_KEY"


@dataclass
class SetUp:
    """Of one repository, as the API shows it."""

    private: bool = False
    owner_type: str = "Organization"
    variables: dict[str, str] = field(default_factory=dict)
    shared_variables: dict[str, str] = field(default_factory=dict)
    """Those of the organization that the repository gets."""
    secrets: list[str] = field(default_factory=list)
    dependabot_secrets: list[str] | None = field(default_factory=list)
    """None where the server has no such place."""
    shared_secrets: list[str] = field(default_factory=list)
    environments: dict[str, Json] = field(default_factory=dict)
    environment_secrets: dict[str, list[str]] = field(default_factory=dict)
    branches: dict[str, list[Json]] = field(default_factory=dict)
    """Environment -> the branches and tags that may use it."""
    runners: list[Json] = field(default_factory=list)
    groups: dict[int, list[Json]] = field(default_factory=dict)
    """Runner groups of the organization that the repository may use -> their runners."""
    owner_errors: list[Json] | None = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """What is on the default branch."""
    dates: dict[str, str] = field(default_factory=dict)
    """`OWNER/NAME@commit` -> its day, of other repositories."""
    login: str = "lab"

    @property
    def about(self) -> Json:
        """What the repository says of itself."""
        seen = "private" if self.private else "public"
        owner = {"login": self.login, "type": self.owner_type}
        return {"private": self.private, "archived": False, "visibility": seen, "owner": owner}


def of(github: GitHub) -> SetUp:
    """The set-up of this repository."""
    if github.set_up is None:
        github.set_up = SetUp()
    return github.set_up


def runner(*labels: str, online: bool = True) -> Json:
    """A runner, with the labels that GitHub gives it."""
    named = [{"name": name} for name in ("self-hosted", "Linux", "X64", *labels)]
    return {"name": "node", "status": "online" if online else "offline", "busy": False, "labels": named}


def environment_of(*, reviewers: bool = True, policy: Json | None = None) -> Json:
    """An environment."""
    rules: list[Json] = [{"type": "branch_policy"}]
    if reviewers:
        rules.append({"type": "required_reviewers", "reviewers": [{"type": "User", "reviewer": {"login": "ada"}}]})
    return {
        "name": "production",
        "protection_rules": rules,
        "deployment_branch_policy": policy or {"protected_branches": False, "custom_branch_policies": True},
    }


def set_up(github: GitHub, files: Mapping[str, str] | None = None) -> SetUp:
    """A set-up in which nothing is missing."""
    found = of(github)
    found.variables["MLFLOW_TRACKING_URI"] = "https://mlflow.lab.example"
    found.environments["production"] = environment_of()
    found.environment_secrets["production"] = [KEY]
    found.branches["production"] = [{"name": github.default_branch, "type": "branch"}]
    found.files.update(files or {})
    return found


@route("GET", "/repos/OWN/actions/variables", "variables:read")
def _variables(github: GitHub, asked: Asked) -> Json:
    return _listed("variables", [{"name": name, "value": value} for name, value in of(github).variables.items()])


@route("GET", "/repos/OWN/actions/organization-variables", "variables:read")
def _shared_variables(github: GitHub, asked: Asked) -> Json:
    return _listed("variables", [{"name": name, "value": value} for name, value in of(github).shared_variables.items()])


@route("GET", "/repos/OWN/actions/secrets", "secrets:read")
def _secrets(github: GitHub, asked: Asked) -> Json:
    return _listed("secrets", [{"name": name} for name in of(github).secrets])


@route("GET", "/repos/OWN/dependabot/secrets", "dependabot_secrets:read")
def _dependabot_secrets(github: GitHub, asked: Asked) -> Json:
    secrets = of(github).dependabot_secrets
    if secrets is None:
        raise Refused(404, "Not Found")
    return _listed("secrets", [{"name": name} for name in secrets])


@route("GET", "/repos/OWN/actions/organization-secrets", "secrets:read")
def _shared_secrets(github: GitHub, asked: Asked) -> Json:
    return _listed("secrets", [{"name": name} for name in of(github).shared_secrets])


@route("GET", "/repos/OWN/environments", "actions:read")
def _environments(github: GitHub, asked: Asked) -> Json:
    return _listed("environments", list(of(github).environments.values()))


@route("GET", "/repos/OWN/environments/{name}", "actions:read")
def _environment(github: GitHub, asked: Asked, name: str) -> Json:
    if name not in of(github).environments:
        raise Refused(404, "Not Found")
    return of(github).environments[name]


@route("GET", "/repos/OWN/environments/{name}/deployment-branch-policies", "actions:read")
def _branches(github: GitHub, asked: Asked, name: str) -> Json:
    return _listed("branch_policies", of(github).branches.get(name, []))


@route("GET", "/repos/OWN/environments/{name}/secrets", "environments:read")
def _environment_secrets(github: GitHub, asked: Asked, name: str) -> Json:
    if name not in of(github).environments:
        raise Refused(404, "Not Found")
    return _listed("secrets", [{"name": one} for one in of(github).environment_secrets.get(name, [])])


@route("GET", "/repos/OWN/actions/runners", "administration:read")
def _runners(github: GitHub, asked: Asked) -> Json:
    return _listed("runners", of(github).runners)


@route("GET", "/orgs/{org}/actions/runner-groups", "organization_self_hosted_runners:read")
def _groups(github: GitHub, asked: Asked, org: str) -> Json:
    return _listed("runner_groups", [{"id": id, "name": f"group {id}"} for id in of(github).groups])


@route("GET", "/orgs/{org}/actions/runner-groups/{id}/runners", "organization_self_hosted_runners:read")
def _runners_of_group(github: GitHub, asked: Asked, org: str, id: str) -> Json:
    return _listed("runners", of(github).groups[int(id)])


@route("GET", "/repos/OWN/codeowners/errors", "contents:read")
def _owner_errors(github: GitHub, asked: Asked) -> Json:
    errors = of(github).owner_errors
    if errors is None:
        raise Refused(404, "Not Found")
    return {"errors": errors}


@route("GET", "/repos/OWN/git/trees/{branch}", "contents:read")
def _tree(github: GitHub, asked: Asked, branch: str) -> Json:
    files = of(github).files
    rows = [{"path": path, "type": "blob", "sha": _sha(text), "size": len(text)} for path, text in files.items()]
    return {"sha": "0" * 40, "truncated": False, "tree": rows}


@route("GET", "/repos/OWN/git/blobs/{sha}", "contents:read")
def _blob(github: GitHub, asked: Asked, sha: str) -> Json:
    text = next((text for text in of(github).files.values() if _sha(text) == sha), None)
    if text is None:
        raise Refused(404, "Not Found")
    return {"encoding": "base64", "content": base64.encodebytes(text.encode()).decode(), "size": len(text)}


@route("GET", "/repos/{owner}/{name}/commits/{sha}", "contents:read")
def _commit(github: GitHub, asked: Asked, owner: str, name: str, sha: str) -> Json:
    day = of(github).dates.get(f"{owner}/{name}@{sha}")
    if day is None:
        raise Refused(404, "Not Found")
    return {"sha": sha, "commit": {"committer": {"date": f"{day}T00:00:00Z"}}}


@route("GET", "/orgs/{org}/rulesets", "organization_administration:write")
def _rulesets(github: GitHub, asked: Asked, org: str) -> list[Json]:
    left_out = ("rules", "conditions", "bypass_actors")
    return [{key: one for key, one in each.items() if key not in left_out} for each in _of_organization(github)]


@route("GET", "/orgs/{org}/rulesets/{id}", "organization_administration:write")
def _ruleset(github: GitHub, asked: Asked, org: str, id: str) -> Json:
    return github._one({one["id"]: one for one in _of_organization(github)}, id)


@route("POST", "/orgs/{org}/rulesets", "organization_administration:write")
def _create_ruleset(github: GitHub, asked: Asked, org: str) -> Answer:
    if any(one["name"] == asked.body["name"] for one in _of_organization(github)):
        raise Refused(422, "Name must be unique")
    return Answer(201, github.ruleset({**asked.body, "source_type": "Organization", "source": org}))


@route("PUT", "/orgs/{org}/rulesets/{id}", "organization_administration:write")
def _update_ruleset(github: GitHub, asked: Asked, org: str, id: str) -> Json:
    found = github._one({one["id"]: one for one in _of_organization(github)}, id)
    found.update({key: value for key, value in asked.body.items() if key != "id"})
    return found


@route("GET", "/orgs/{org}/repos", "metadata:read")
def _repositories(github: GitHub, asked: Asked, org: str) -> list[Json]:
    return [github._repository()]


def _of_organization(github: GitHub) -> list[Json]:
    return [one for one in github.rulesets.values() if one["source_type"] == "Organization"]


def _listed(key: str, rows: list[Any]) -> Json:
    return {"total_count": len(rows), key: rows}


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Hub(GitHub):
    """Many repositories of one organization, `of_name`; each answers for itself, and the organization for all."""

    def __init__(self, organization: str, tokens: dict[str, Token] | None = None, wait: float = 0.0):
        super().__init__(repository=f"{organization}/.github", tokens=tokens or {"s3cret": Token("ada")})
        self.organization, self.wait = organization, wait
        self.repositories: dict[str, GitHub] = {}

    def add(self, name: str, files: Mapping[str, str]) -> GitHub:
        """A repository in which nothing is missing."""
        added = GitHub(repository=f"{self.organization}/{name}", tokens=self.tokens, url=self.url)
        set_up(added, files)
        self.repositories[added.repository] = added
        return added

    def answer(self, asked: Asked) -> Answer:
        time.sleep(self.wait)
        path = asked.path.removeprefix("/api/v3")
        name = "/".join(path.split("/")[2:4]) if path.startswith("/repos/") else ""
        with self.lock:
            self.asked.append(asked)
        if name in self.repositories:
            return self.repositories[name].answer(asked)
        if path == f"/orgs/{self.organization}/repos":
            with self.lock:
                return self._paged(asked, [one._repository() for one in self.repositories.values()])
        groups = f"/orgs/{self.organization}/actions/runner-groups"
        if path == groups and (own := asked.query.get("visible_to_repository")):
            return self.repositories[f"{self.organization}/{own}"].answer(asked)
        if path.startswith(f"{groups}/"):
            id = int(path.split("/")[5])
            return next(one for one in self.repositories.values() if id in of(one).groups).answer(asked)
        return super().answer(asked)


def files_of(folder: Path, *names: str) -> dict[str, str]:
    """The text of files below a folder."""
    return {name: (folder / name).read_text() for name in names}
