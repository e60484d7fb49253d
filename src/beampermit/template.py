"""Where the template is."""

from __future__ import annotations

from pathlib import Path

from beampermit.errors import Outside

IN_WHEEL = Path(__file__).parent / "_template/template"
IN_SOURCE = Path(__file__).parents[2] / "template"
PROJECT = "{{cookiecutter.project_slug}}"
PACKAGE = "{{cookiecutter.package_name}}"
"""Folders of the template that are named in a project by its answers."""


def template_folder() -> Path:
    """The folder with the template's `cookiecutter.json`: in the installed package or in the source tree."""
    for folder in (IN_WHEEL, IN_SOURCE):
        if (folder / "cookiecutter.json").is_file():
            return folder
    raise Outside("this installation of beampermit has no template", hint="pip install --force-reinstall beampermit")
