"""GitHub's REST API on 127.0.0.1, as far as Beampermit and CML ask it: it remembers, counts, and fails on demand.

`github.url` is what `GITHUB_API_URL` holds; the same answers stand under `/api/v3`, as on GitHub Enterprise Server.
What a person or GitHub itself does is done by calling `pull()`, `comment()`, `artifact()`, `ruleset()`; what a program
does arrives by HTTP and is in `github.asked`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from support.github_server import Answer, Asked, Fault, Refused, serving

BOT = "github-actions[bot]"
Json = dict[str, Any]
Route = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], str, Route]] = []


def route(method: str, path: str, right: str = "") -> Callable[[Route], Route]:
    """`right` is what a token needs: `pull-requests:write`; nothing where being known is enough."""
    within = {"branch": ".+?", "tag": ".+?"}  # may hold a slash
    pattern = re.compile(re.sub(r"\{(\w+)\}", lambda name: f"(?P<{name[1]}>{within.get(name[1], '[^/]+')})", path))

    def registered(function: Route) -> Route:
        ROUTES.append((method, pattern, right, function))
        return function

    return registered


@dataclass(frozen=True)
class Token:
    """Whom a token stands for, and what it may do: None is everything."""

    login: str = BOT
    rights: frozenset[str] | None = None

    def may(self, right: str) -> bool:
        if not right or self.rights is None or right in self.rights:
            return True
        return right.endswith(":read") and right.replace(":read", ":write") in self.rights


@dataclass
class GitHub:
    """One repository and what stands in it, as the API shows it."""

    repository: str = "lab/faults"
    default_branch: str = "main"
    url: str = ""
    most: int = 100
    """So many things are on a page, whatever is asked for."""
    tokens: dict[str, Token] = field(default_factory=lambda: {"s3cret": Token()})
    asked: list[Asked] = field(default_factory=list)
    pulls: dict[int, Json] = field(default_factory=dict)
    issues: dict[int, Json] = field(default_factory=dict)
    """By numbers that no pull request has."""
    comments: dict[int, Json] = field(default_factory=dict)
    runs: dict[int, Json] = field(default_factory=dict)
    artifacts: dict[int, Json] = field(default_factory=dict)
    blobs: dict[int, bytes] = field(default_factory=dict)
    rulesets: dict[int, Json] = field(default_factory=dict)
    protections: dict[str, Json] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    statuses: list[Json] = field(default_factory=list)
    releases: dict[int, Json] = field(default_factory=dict)
    trees: dict[str, Json] = field(default_factory=dict)
    """Of branches that programs make: sha -> what was posted."""
    commits: dict[str, Json] = field(default_factory=dict)
    dispatched: list[Json] = field(default_factory=list)
    """Workflows that were started, each with the body of the request."""
    workflows: dict[str, str] = field(default_factory=dict)
    """File of a workflow -> its state, such as `active`."""
    set_up: Any = None
    """What `support.github_setup` shows: variables, secrets, environments, runners."""
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: Iterator[int] = field(default_factory=lambda: count(1001))
    clock: Callable[[], float] = time.time
    """Of what is said."""

    def next(self, *faults: Fault, of: str = "") -> None:
        """Do these to the next requests; `of` is what must be in `METHOD /path` for one to count."""
        self.faults += [(of, fault) for fault in faults]

    def count(self, of: str = "") -> int:
        """How often the API was asked for something with `of` in its `METHOD /path`."""
        return sum(of in str(one) for one in self.asked)

    # What people do, and GitHub itself.

    def pull(self, head: str, *, branch: str = "change", fork: str = "", base: str = "main", **more: Any) -> Json:
        """Open a pull request of `branch`, of the repository `fork` if one is named."""
        number = len(self.pulls) + 1
        self.pulls[number] = {
            "number": number,
            "state": "open",
            "locked": False,
            "html_url": f"https://git.example/{self.repository}/pull/{number}",
            "head": {"sha": head, "ref": branch, "repo": self._repository(fork or self.repository)},
            "base": {"sha": self.branches.get(base, ""), "ref": base, "repo": self._repository()},
            **more,
        }
        head_of = self.pulls[number]["head"]
        head_of["label"] = f"{head_of['repo']['owner']['login']}:{branch}"
        return self.pulls[number]

    def comment(self, number: int, body: str, login: str = "ada") -> Json:
        """Say something below an issue or a pull request."""
        id = next(self.ids)
        self.comments[id] = {
            "id": id,
            "body": body,
            "user": {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"},
            "issue_url": f"{self.url}/repos/{self.repository}/issues/{number}",
            "html_url": f"https://git.example/{self.repository}/pull/{number}#issuecomment-{id}",
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.clock())),
        }
        return self.comments[id]

    def issue(self, title: str, body: str = "", login: str = "ada", association: str = "NONE", **more: Any) -> Json:
        """Open an issue."""
        number = next(self.ids)
        self.issues[number] = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "locked": False,
            "user": {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"},
            "author_association": association,
            "updated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "html_url": f"https://git.example/{self.repository}/issues/{number}",
            **more,
        }
        return self.issues[number]

    def run(self, head: str, *, branch: str = "change", fork: str = "", **more: Any) -> Json:
        """A run of the pull request's workflow; `pull_requests` is empty for forks, as on GitHub."""
        id = next(self.ids)
        mine = [pull for pull in self.pulls.values() if not fork and pull["head"]["sha"] == head]
        self.runs[id] = {
            "id": id,
            "name": "Pull request",
            "path": ".github/workflows/pull-request.yml",
            "event": "pull_request",
            "run_number": len(self.runs) + 1,
            "run_attempt": 1,
            "status": "completed",
            "conclusion": "success",
            "head_sha": head,
            "head_branch": branch,
            "head_repository": self._repository(fork or self.repository),
            "html_url": f"https://git.example/{self.repository}/actions/runs/{id}",
            "pull_requests": [{"number": pull["number"], "head": {"sha": head}} for pull in mine],
            **more,
        }
        return self.runs[id]

    def artifact(self, run: int, name: str, content: bytes, **more: Any) -> Json:
        """What a job of the run uploaded."""
        id = next(self.ids)
        self.blobs[id] = content
        self.artifacts[id] = {
            "id": id,
            "name": name,
            "size_in_bytes": len(content),
            "expired": False,
            "archive_download_url": f"{self.url}/repos/{self.repository}/actions/artifacts/{id}/zip",
            "workflow_run": {"id": run, "head_sha": self.runs[run]["head_sha"]},
            **more,
        }
        return self.artifacts[id]

    def ruleset(self, body: Json) -> Json:
        """Set a rule."""
        id = next(self.ids)
        self.rulesets[id] = {
            "source_type": "Repository",
            "source": self.repository,
            "target": "branch",
            "conditions": {},
            "bypass_actors": [],
            "rules": [],
            **body,
            "id": id,
        }
        return self.rulesets[id]

    def release(self, tag: str, body: str = "Documents") -> Json:
        """Publish one."""
        content = json.dumps({"tag_name": tag, "body": body}).encode()
        return self.create_release(Asked("POST", "", {}, "", content, "")).body

    # What programs ask.

    def answer(self, asked: Asked) -> Answer:
        """What GitHub says to this."""
        with self.lock:
            self.asked.append(asked)
            try:
                return self._answer(asked)
            except Refused as refused:
                return Answer(refused.status, {"message": refused.message}, refused.headers)

    def _answer(self, asked: Asked) -> Answer:
        token = self.tokens.get(asked.token)
        if token is None:
            raise Refused(401, "Bad credentials" if asked.token else "Requires authentication")
        path = asked.path.removeprefix("/api/v3")
        for method, pattern, right, function in ROUTES:
            found = pattern.fullmatch(path.replace(f"/repos/{self.repository}", "/repos/OWN"))
            if method == asked.method and found:
                if not token.may(right):
                    raise Refused(403, "Resource not accessible by integration")
                asked.login = token.login
                result = function(self, asked, **{name: unquote(value) for name, value in found.groupdict().items()})
                return result if isinstance(result, Answer) else self._paged(asked, result)
        raise Refused(404, "Not Found")

    def _paged(self, asked: Asked, result: Any) -> Answer:
        key = next((key for key in ("artifacts", "workflow_runs") if isinstance(result, dict) and key in result), "")
        rows = result[key] if key else result
        if not isinstance(rows, list):
            return Answer(200, result)
        size = min(int(asked.query.get("per_page", "30")), self.most)
        page, last = int(asked.query.get("page", "1")), max(1, -(-len(rows) // size))
        near = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        links = [
            f'<{self.url}{asked.path.removeprefix("/api/v3")}?{asked.words(page=number)}>; rel="{name}"'
            for name, number in near.items()
            if 1 <= number <= last and number != page
        ]
        rows = rows[(page - 1) * size : page * size]
        body = {**result, key: rows} if key else rows
        return Answer(200, body, {"Link": ", ".join(links)} if links else {})

    def _repository(self, name: str = "") -> Json:
        owner, _, short = (name or self.repository).partition("/")
        return {
            "full_name": f"{owner}/{short}",
            "name": short,
            "owner": {"login": owner},
            "fork": bool(name) and name != self.repository,
            "default_branch": self.default_branch,
        }

    @route("GET", "/repos/OWN", "metadata:read")
    def get_repository(self, asked: Asked) -> Json:
        return {**self._repository(), **(self.set_up.about if self.set_up else {})}

    @route("GET", "/user")
    def get_user(self, asked: Asked) -> Json:
        if asked.login.endswith("[bot]"):
            raise Refused(403, "Resource not accessible by integration")
        return {"login": asked.login, "type": "User"}

    @route("GET", "/repos/OWN/pulls", "pull-requests:read")
    def list_pulls(self, asked: Asked) -> list[Json]:
        state, head, base = (asked.query.get(key, "") for key in ("state", "head", "base"))
        return [
            pull
            for pull in self.pulls.values()
            if state in ("all", pull["state"]) or (not state and pull["state"] == "open")
            if head in ("", pull["head"]["label"])
            if base in ("", pull["base"]["ref"])
        ]

    @route("POST", "/repos/OWN/pulls", "pull-requests:write")
    def create_pull(self, asked: Asked) -> Answer:
        owner, _, branch = asked.body["head"].rpartition(":")
        label = f"{owner or self.repository.split('/')[0]}:{branch}"
        if any(one["head"]["label"] == label and one["state"] == "open" for one in self.pulls.values()):
            raise Refused(422, "Validation Failed")
        made = self.pull(self.branches.get(branch, ""), branch=branch, base=asked.body["base"])
        made.update(title=asked.body["title"], body=asked.body.get("body", ""))
        return Answer(201, made)

    @route("GET", "/repos/OWN/pulls/{number}", "pull-requests:read")
    def get_pull(self, asked: Asked, number: str) -> Json:
        return self._one(self.pulls, number)

    @route("PATCH", "/repos/OWN/pulls/{number}", "pull-requests:write")
    def update_pull(self, asked: Asked, number: str) -> Json:
        pull = self._one(self.pulls, number)
        pull.update({key: asked.body[key] for key in ("title", "body", "state") if key in asked.body})
        return pull

    @route("GET", "/repos/OWN/commits/{sha}/pulls", "pull-requests:read")
    def pulls_of_commit(self, asked: Asked, sha: str) -> list[Json]:
        return [pull for pull in self.pulls.values() if pull["head"]["sha"] == sha]

    @route("GET", "/repos/OWN/issues/{number}/comments", "pull-requests:read")
    def list_comments(self, asked: Asked, number: str) -> list[Json]:
        self._one({**self.pulls, **self.issues}, number)
        return [one for one in self.comments.values() if one["issue_url"].endswith(f"/issues/{number}")]

    @route("POST", "/repos/OWN/issues/{number}/comments", "pull-requests:write")
    def create_comment(self, asked: Asked, number: str) -> Answer:
        self._may_say(self._one({**self.pulls, **self.issues}, number), asked.body["body"])
        return Answer(201, self.comment(int(number), asked.body["body"], asked.login))

    @route("GET", "/repos/OWN/issues/comments/{id}", "pull-requests:read")
    def get_comment(self, asked: Asked, id: str) -> Json:
        return self._one(self.comments, id)

    @route("PATCH", "/repos/OWN/issues/comments/{id}", "pull-requests:write")
    def update_comment(self, asked: Asked, id: str) -> Json:
        found = self._own_comment(asked, id)
        self._may_say(self.pulls[int(found["issue_url"].rpartition("/")[2])], asked.body["body"])
        found["body"] = asked.body["body"]
        return found

    @route("DELETE", "/repos/OWN/issues/comments/{id}", "pull-requests:write")
    def delete_comment(self, asked: Asked, id: str) -> Answer:
        del self.comments[self._own_comment(asked, id)["id"]]
        return Answer(204)

    @route("GET", "/repos/OWN/issues", "issues:read")
    def list_issues(self, asked: Asked) -> list[Json]:
        state, since = asked.query.get("state", "open"), asked.query.get("since", "")
        pulls = [{**pull, "pull_request": {}, "title": "", "body": ""} for pull in self.pulls.values()]
        found = [one for one in (*self.issues.values(), *pulls) if state in ("all", one["state"])]
        recent = [one for one in found if one.get("updated_at", "9") >= since]
        return sorted(recent, key=lambda one: one.get("updated_at", ""), reverse=True)

    @route("POST", "/repos/OWN/issues", "issues:write")
    def create_issue(self, asked: Asked) -> Answer:
        self._may_say({"locked": False}, asked.body["body"])
        return Answer(201, self.issue(asked.body["title"], asked.body["body"], asked.login))

    @route("GET", "/repos/OWN/issues/{number}", "issues:read")
    def get_issue(self, asked: Asked, number: str) -> Json:
        return self._one(self.issues, number)

    @route("PATCH", "/repos/OWN/issues/{number}", "issues:write")
    def update_issue(self, asked: Asked, number: str) -> Json:
        issue = self._one(self.issues, number)
        issue.update({key: asked.body[key] for key in ("title", "body", "state") if key in asked.body})
        issue["updated_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return issue

    @route("GET", "/repos/OWN/git/commits/{sha}", "contents:read")
    def get_commit(self, asked: Asked, sha: str) -> Json:
        return {"sha": sha, "tree": {"sha": self.commits.get(sha, {}).get("tree", "0" * 40)}}

    @route("POST", "/repos/OWN/git/trees", "contents:write")
    def create_tree(self, asked: Asked) -> Answer:
        sha = hashlib.sha1(asked.content, usedforsecurity=False).hexdigest()
        self.trees[sha] = asked.body
        return Answer(201, {"sha": sha})

    @route("POST", "/repos/OWN/git/commits", "contents:write")
    def create_commit(self, asked: Asked) -> Answer:
        sha = hashlib.sha1(asked.content, usedforsecurity=False).hexdigest()
        self.commits[sha] = asked.body
        return Answer(201, {"sha": sha})

    @route("POST", "/repos/OWN/git/refs", "contents:write")
    def create_ref(self, asked: Asked) -> Answer:
        branch = asked.body["ref"].removeprefix("refs/heads/")
        if branch in self.branches:
            raise Refused(422, "Reference already exists")
        self.branches[branch] = asked.body["sha"]
        return Answer(201, {"ref": asked.body["ref"], "object": {"sha": asked.body["sha"]}})

    @route("GET", "/repos/OWN/actions/workflows", "actions:read")
    def list_workflows(self, asked: Asked) -> Json:
        rows = [
            {"name": file, "path": f".github/workflows/{file}", "state": is_} for file, is_ in self.workflows.items()
        ]
        return {"total_count": len(rows), "workflows": rows}

    @route("POST", "/repos/OWN/actions/workflows/{name}/dispatches", "actions:write")
    def dispatch(self, asked: Asked, name: str) -> Answer:
        self.dispatched.append({"workflow": name, **asked.body})
        title = " ".join(map(str, asked.body.get("inputs", {}).values()))
        self.run("0" * 40, event="workflow_dispatch", path=f".github/workflows/{name}", display_title=title)
        return Answer(204)

    @route("GET", "/repos/OWN/actions/workflows/{name}/runs", "actions:read")
    def runs_of_workflow(self, asked: Asked, name: str) -> Json:
        runs = [one for one in self.runs.values() if one["path"].endswith(f"/{name}")]
        found = [one for one in runs if asked.query.get("event", one["event"]) == one["event"]]
        return {"total_count": len(found), "workflow_runs": found}

    @route("GET", "/repos/OWN/actions/runs/{id}", "actions:read")
    def get_run(self, asked: Asked, id: str) -> Json:
        return self._one(self.runs, id)

    @route("GET", "/repos/OWN/actions/runs/{id}/artifacts", "actions:read")
    def list_artifacts(self, asked: Asked, id: str) -> Json:
        self._one(self.runs, id)
        name = asked.query.get("name", "")
        of_run = [one for one in self.artifacts.values() if one["workflow_run"]["id"] == int(id)]
        found = [one for one in of_run if name in ("", one["name"])]
        return {"total_count": len(found), "artifacts": found}

    @route("GET", "/repos/OWN/actions/artifacts/{id}/zip", "actions:read")
    def download_artifact(self, asked: Asked, id: str) -> Answer:
        if self._one(self.artifacts, id)["expired"]:
            raise Refused(410, "Artifact has expired")
        return Answer(302, headers={"Location": f"{asked.blobs}/{id}"})

    @route("GET", "/repos/OWN/rules/branches/{branch}", "metadata:read")
    def rules_of_branch(self, asked: Asked, branch: str) -> list[Json]:
        told = ("source", "source_type")
        return [
            {**rule, "ruleset_id": ruleset["id"], **{f"ruleset_{key}": ruleset[key] for key in told}}
            for ruleset in self.rulesets.values()
            if ruleset["enforcement"] == "active" and ruleset["target"] == "branch" and self._covers(ruleset, branch)
            for rule in ruleset["rules"]
        ]

    @route("GET", "/repos/OWN/rulesets", "metadata:read")
    def list_rulesets(self, asked: Asked) -> list[Json]:
        left_out, own = ("rules", "conditions", "bypass_actors"), asked.query.get("includes_parents") == "false"
        shown = [one for one in self.rulesets.values() if not own or one["source_type"] == "Repository"]
        return [{key: one for key, one in ruleset.items() if key not in left_out} for ruleset in shown]

    @route("GET", "/repos/OWN/rulesets/{id}", "metadata:read")
    def get_ruleset(self, asked: Asked, id: str) -> Json:
        found = dict(self._one(self.rulesets, id))
        if not self.tokens[asked.token].may("administration:write"):
            del found["bypass_actors"]
        return found

    @route("POST", "/repos/OWN/rulesets", "administration:write")
    def create_ruleset(self, asked: Asked) -> Answer:
        own = [one for one in self.rulesets.values() if one["source_type"] == "Repository"]
        if any(one["name"] == asked.body["name"] for one in own):
            raise Refused(422, "Name must be unique")
        return Answer(201, self.ruleset(asked.body))

    @route("PUT", "/repos/OWN/rulesets/{id}", "administration:write")
    def update_ruleset(self, asked: Asked, id: str) -> Json:
        found = self._one(self.rulesets, id)
        found.update({key: value for key, value in asked.body.items() if key != "id"})
        return found

    @route("GET", "/repos/OWN/branches/{branch}/protection", "administration:read")
    def get_protection(self, asked: Asked, branch: str) -> Json:
        if branch not in self.protections:
            raise Refused(404, "Branch not protected")
        return self.protections[branch]

    @route("GET", "/repos/OWN/branches/{branch}", "contents:read")
    def get_branch(self, asked: Asked, branch: str) -> Json:
        if branch not in self.branches:
            raise Refused(404, "Branch not found")
        return {"name": branch, "commit": {"sha": self.branches[branch]}, "protected": branch in self.protections}

    @route("POST", "/repos/OWN/statuses/{sha}", "statuses:write")
    def create_status(self, asked: Asked, sha: str) -> Answer:
        self.statuses.append({**asked.body, "sha": sha, "creator": {"login": asked.login}})
        return Answer(201, self.statuses[-1])

    @route("GET", "/repos/OWN/commits/{sha}/statuses", "statuses:read")
    def list_statuses(self, asked: Asked, sha: str) -> list[Json]:
        return [status for status in reversed(self.statuses) if status["sha"] == sha]

    @route("GET", "/repos/OWN/releases/tags/{tag}", "contents:read")
    def release_of_tag(self, asked: Asked, tag: str) -> Json:
        found = next((one for one in self.releases.values() if one["tag_name"] == tag and not one.get("draft")), None)
        if found is None:
            raise Refused(404, "Not Found")
        return found

    @route("GET", "/repos/OWN/releases", "contents:read")
    def list_releases(self, asked: Asked) -> list[Json]:
        return list(self.releases.values())

    @route("GET", "/repos/OWN/releases/{id}", "contents:read")
    def get_release(self, asked: Asked, id: str) -> Json:
        return self._one(self.releases, id)

    @route("GET", "/repos/OWN/commits/tags/{tag}", "contents:read")
    def commit_of_tag(self, asked: Asked, tag: str) -> Json:
        found = next((one for one in self.releases.values() if one["tag_name"] == tag and not one["draft"]), None)
        if found is None:
            raise Refused(422, f"No commit found for SHA: tags/{tag}")
        return {"sha": found["target_commitish"]}

    @route("POST", "/repos/OWN/releases", "contents:write")
    def create_release(self, asked: Asked) -> Answer:
        if any(one["tag_name"] == asked.body["tag_name"] and not one.get("draft") for one in self.releases.values()):
            raise Refused(422, "Validation Failed")
        id = next(self.ids)
        address = f"https://git.example/{self.repository}/releases/tag/{asked.body['tag_name']}"
        upload = f"{self.url}/repos/{self.repository}/releases/{id}/assets{{?name,label}}"
        self.releases[id] = {
            "draft": False,
            **asked.body,
            "id": id,
            "assets": [],
            "upload_url": upload,
            "html_url": address,
        }
        return Answer(201, self.releases[id])

    @route("PATCH", "/repos/OWN/releases/{id}", "contents:write")
    def update_release(self, asked: Asked, id: str) -> Json:
        self._one(self.releases, id).update(asked.body)
        return self.releases[int(id)]

    @route("POST", "/repos/OWN/releases/{id}/assets", "contents:write")
    def upload_asset(self, asked: Asked, id: str) -> Answer:
        release, name = self._one(self.releases, id), asked.query["name"]
        if any(asset["name"] == name for asset in release["assets"]):
            raise Refused(422, "Validation Failed")
        digest = f"sha256:{hashlib.sha256(asked.content).hexdigest()}"
        asset = {
            "id": next(self.ids),
            "name": name,
            "size": len(asked.content),
            "state": "uploaded",
            "digest": digest,
        }
        self.blobs[asset["id"]] = asked.content
        release["assets"].append(asset)
        return Answer(201, asset)

    @route("DELETE", "/repos/OWN/releases/assets/{id}", "contents:write")
    def delete_asset(self, asked: Asked, id: str) -> Answer:
        for release in self.releases.values():
            release["assets"] = [asset for asset in release["assets"] if asset["id"] != int(id)]
        return Answer(204)

    def _one(self, things: Mapping[int, Json], id: str) -> Json:
        if not id.isdecimal() or int(id) not in things:
            raise Refused(404, "Not Found")
        return things[int(id)]

    def _own_comment(self, asked: Asked, id: str) -> Json:
        found = self._one(self.comments, id)
        if asked.login.endswith("[bot]") and found["user"]["login"] != asked.login:
            raise Refused(403, "Resource not accessible by integration")
        return found

    def _may_say(self, pull: Json, body: str) -> None:
        if pull["locked"]:
            raise Refused(403, "Unable to create comment because issue is locked.")
        if len(body) > 65536:
            raise Refused(422, "Validation Failed: Body is too long (maximum is 65536 characters)")

    def _covers(self, ruleset: Json, branch: str) -> bool:
        names = ruleset["conditions"].get("ref_name", {})

        def named(patterns: list[str]) -> bool:
            ref = f"refs/heads/{branch}"
            for pattern in patterns:
                default = pattern == "~DEFAULT_BRANCH" and branch == self.default_branch
                if default or pattern == "~ALL" or fnmatchcase(ref, pattern):
                    return True
            return False

        return named(names.get("include", [])) and not named(names.get("exclude", []))


@contextmanager
def stand_in(*, certificate: Path | None = None, **more: Any) -> Iterator[GitHub]:
    """A GitHub that answers until the block ends; with `certificate` (a PEM of key and certificate) over HTTPS."""
    github = GitHub(**more)
    with serving(github, certificate) as url:
        github.url = url
        yield github


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A GitHub on a port of its own; its only token is `s3cret`, the workflow's own."""
    with stand_in() as found:
        yield found


def environment(github: GitHub, **more: str) -> dict[str, str]:
    """What a job's commands find in their environment."""
    return {
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": github.repository,
        "GITHUB_TOKEN": "s3cret",
        **more,
    }


def as_json(value: Any) -> bytes:
    """What an artifact would hold."""
    return json.dumps(value).encode()
