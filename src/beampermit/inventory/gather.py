"""Makes an inventory: asks all at once, within bounds, and goes on where one project fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from beampermit.errors import BadInput, BeampermitError
from beampermit.inventory.entries import entry_of, unread_entry
from beampermit.inventory.failures import failure, guarded
from beampermit.inventory.judging import findings_of
from beampermit.inventory.listing import Listing, Place
from beampermit.inventory.projects import Projects, read_projects
from beampermit.inventory.registries import Answers, ask_registry, is_named, open_registry, with_registry
from beampermit.inventory.schedules import ask_schedules, clients_of
from beampermit.inventory.seen import Seen, Site
from beampermit.inventory.services import ask_servers, ask_services, prefix_of, with_address, with_service
from beampermit.inventory.shared_pvs import shared_pvs
from beampermit.inventory.site_files import read_alarm_trees, read_archived, read_people
from beampermit.inventory.strangers import strangers, suspects
from beampermit.inventory.vulnerabilities import Vulnerabilities
from beampermit.progress import Progress, silent
from beampermit.registry.mlflow import Registry
from beampermit.verdicts.inventory import LEVELS, Finding, Inventory


@dataclass(frozen=True)
class Options:
    """Whether the services' network and GitHub are asked; an answer of a service may take `timeout` s."""

    services: bool = True
    schedules: bool = True
    timeout: float = 3.0


class _Making:
    """One inventory that is being made."""

    def __init__(self, listing: Listing, options: Options, progress: Progress):
        self.listing, self.options, self.progress = listing, options, progress
        self.seen: tuple[Seen, ...] = ()
        self.findings: list[Finding] = []
        self.unasked: list[str] = []

    def site(self) -> Site:
        listing = self.listing
        given = {
            "alarm tree": bool(listing.alarm_trees),
            "archiver": bool(listing.archived),
            "people": listing.people is not None,
        }
        self.unasked += [f"{what}: no file is given" for what, there in given.items() if not there]
        return Site.now(
            key_ends_within=listing.key_ends_within,
            tree=read_alarm_trees(listing.alarm_trees) if listing.alarm_trees else None,
            archived=read_archived(listing.archived) if listing.archived else None,
            people=read_people(listing.people) if listing.people else None,
        )

    def projects(self) -> Projects:
        projects = read_projects(self.listing.places, self.progress)
        self.seen = tuple(map(with_address, projects.seen))
        self.findings += projects.findings
        return projects

    def vulnerabilities(self, known: Vulnerabilities | None) -> None:
        if known is None:
            self.unasked.append("vulnerabilities: no records of OSV are given")
            return
        self.seen = tuple(replace(one, known=known.of(one.model.packages)) for one in self.seen)

    def services(self, site: Site, projects: Projects) -> None:
        if not self.options.services:
            self.unasked.append("services: not asked, by --no-services")
            return
        self.progress("ask the services")
        own = dict.fromkeys(one.address for one in self.seen if one.address)
        known = {*own, *map(prefix_of, self.seen)}
        others = [name for name in (*self.listing.services, *suspects(site)) if name not in known]
        with ThreadPoolExecutor(1) as pool:  # both of them wait, most of the time
            searched = pool.submit(ask_servers, self.seen)
            answers = ask_services([*own, *others], self.options.timeout)
            servers = searched.result()
        self.seen = tuple(with_service(one, answers, servers) for one in self.seen)
        models = {one.model.name for one in self.seen}
        self.findings += strangers({name: answers[name] for name in others}, models, len(projects.unread))

    @property
    def registered(self) -> list[str]:
        """The models whose ledger names a registry."""
        return sorted({one.model.name for one in self.seen if one.model.home})

    def open_registry(self) -> Registry | BeampermitError | None:
        """None where none is named."""
        uri = self.listing.registry
        return guarded(lambda: open_registry(uri)) if is_named(uri) else None

    def ask_registry(self, opened: Registry | BeampermitError | None) -> Answers | BeampermitError | None:
        """None where there is nothing to ask."""
        models = self.registered
        if not models or opened is None:
            return None
        if isinstance(opened, BeampermitError):
            return opened
        return guarded(lambda: ask_registry(opened, models))

    def registry(self, answers: Answers | BeampermitError | None) -> None:
        """Raises `BadInput` for what is no address."""
        if isinstance(answers, BadInput):
            raise answers
        if isinstance(answers, BeampermitError):
            self.findings.append(failure("", answers))
        elif answers:
            self.seen = tuple(with_registry(one, answers) for one in self.seen)
            elsewhere = [one.model.name for one in self.seen if one.model.home and not one.shown]
            if elsewhere:
                self.unasked.append(f"registry of {', '.join(elsewhere)}: their ledgers name another one")
        elif self.registered:
            self.unasked.append("registry: none is named; MLFLOW_TRACKING_URI or `registry` names it")

    def schedules(self, places: tuple[Place, ...]) -> None:
        clients = clients_of(places) if self.options.schedules else {}
        if not clients:
            why = "GITHUB_TOKEN is not set, or nothing is on GitHub" if self.options.schedules else "by --no-schedules"
            self.unasked.append(f"schedules: not asked, {why}")
            return
        self.progress("ask GitHub for schedules")
        self.findings += ask_schedules(clients)
        if others := [place.repository.name for place in places if place not in clients]:
            self.unasked.append(f"schedules of {', '.join(others)}: not on a known GitHub")


def make_inventory(listing: Listing, options: Options | None = None, progress: Progress = silent) -> Inventory:
    """Raises `BadInput` for a file of the site that cannot be read, and where services cannot be asked here."""
    making = _Making(listing, options or Options(), progress)
    site = making.site()
    known = Vulnerabilities(listing.vulnerabilities) if listing.vulnerabilities else None
    with ThreadPoolExecutor(1) as pool:  # MLflow takes seconds to import, while git reads the repositories
        opened = pool.submit(making.open_registry)
        projects = making.projects()
        making.vulnerabilities(known)
        asked = pool.submit(lambda: making.ask_registry(opened.result()))
        making.services(site, projects)
        making.registry(asked.result())
    making.schedules(projects.read)
    judged = (finding for one in making.seen for finding in findings_of(one, site))
    entries = (*(entry_of(one, site.at) for one in making.seen), *map(unread_entry, projects.unread))
    return Inventory(
        at=site.at.timestamp(),
        entries=tuple(sorted(entries, key=lambda entry: (entry.project, entry.folder, entry.model))),
        findings=tuple(sorted((*making.findings, *judged, *shared_pvs(making.seen)), key=_order)),
        unasked=tuple(making.unasked),
    )


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return LEVELS.index(finding.level), finding.project, finding.model, finding.id
