"""GIT006: the laboratory's own interlocks that the protected branch asks for are here, and replace none of ours."""

from __future__ import annotations

from beampermit.errors import counted
from beampermit.interlocks.interlock import Finding, Interlock, bad_input_fails, passed
from beampermit.interlocks.own.lock import FILE, lock_of, parse_lock, text_here
from beampermit.project import Project


class GIT006(Interlock):
    "The laboratory's own interlocks are installed as locked"

    of_repository = True
    needs_contract = False

    def check(self, project: Project) -> Finding:
        """Run `beampermit interlocks install`. In CI, `actions/setup` does so in the jobs that need them.

        Which packages judge stands in `.github/interlocks.lock` of the **protected branch**: a pull request that
        changes that file is judged by what was there before, and the change counts once it is merged. See
        `docs/own-interlocks.md` of Beampermit.
        """
        from beampermit.interlocks.own.loading import declared

        with bad_input_fails():
            judging, here = lock_of(project), text_here(project)
            if here is not None:
                parse_lock(here, FILE)  # merged, it would judge every later pull request
            known = declared(project)
        changed = "" if (judging.text if judging else "") == (here or "") else _later(project)
        if not known.points:
            return passed(f"the protected branch asks for no interlocks of the laboratory's own{changed}")
        labels = ", ".join(package.label for package in known.packages)
        packages = [package.model_dump(mode="json") for package in known.packages]
        return passed(
            f"{counted(len(known.points), 'interlock')} of {labels}: {', '.join(known.points)}{changed}",
            packages=packages,
            interlocks=list(known.points),
        )


def _later(project: Project) -> str:
    """What is said where the lock differs from that of the base; on the protected branch there is no other."""
    return f"; this branch changes {FILE}, which counts once it is merged" if project.base else ""
