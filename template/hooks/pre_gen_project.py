"""Check the answers before anything is written.

Standard library only: cookiecutter runs this without Beampermit, and `beampermit new` uses the same rules.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

SLUG = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
PACKAGE = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
EMAIL = r"[^@\s<>\"'\\#]+@[^@\s<>\"'\\#]+\.[^@\s<>\"'\\#]+"
REPOSITORY = r"[A-Za-z0-9](-?[A-Za-z0-9])*/[A-Za-z0-9._-]*[A-Za-z0-9_-]"
IMAGE = r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}"
REMOTE_SCHEMES = ("s3", "gs", "azure", "ssh", "http", "https", "webdav", "webdavs", "hdfs", "oss", "gdrive")
SEEN = re.compile(  # also emoji and ideographs that this Python's Unicode does not know yet, and emoji that are joined
    "[\U0001f000-\U0001faff\U00020000-\U0002fffd\U00030000-\U0003fffd]"
    "|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])"
)
EXAMPLES = {
    "bpm-faults": ("torch",),
    "injector-surrogate": ("torch", "xgboost"),
    "loss-anomaly": ("torch",),
    "table": ("torch", "xgboost", "scikit-learn"),
    "lume": ("torch",),
}
"""Example -> the libraries that its model is there for."""
FILLED = {
    "table": "beampermit new --from-table FILE --output NAME",
    "lume": "beampermit new --from-lume model_config.yaml",
}
"""Example that is nothing without what `beampermit new` fills in -> the command."""
USED = {  # packages that the project or its tools import, which its own package must not shadow
    "alembic", "beampermit", "celery", "code", "contract", "data", "dvc", "git", "metrics", "mlflow", "model", "models",
    "numpy", "onnxruntime", "p4p", "pandas", "pip", "pre_commit", "pyarrow", "pydantic", "pytest", "ruff",
    "safetensors", "scipy", "serving", "skl2onnx", "sklearn", "softioc", "src", "test", "tests", "torch", "xgboost", "yaml",
}  # fmt: skip


def problems(answers: dict[str, str]) -> list[str]:
    """Why answers are invalid, each as `question: reason`."""
    found = [f"{key}: {reason}" for key, rule in RULES.items() if (reason := rule(answers[key]))]
    found += [f"{key}: {reason}" for key in RULES if (reason := _one_line(answers[key]))]
    if answers["maintainer_email"].strip().lower() == answers["deputy_email"].strip().lower():
        found.append("deputy_email: this is the address of the maintainer; a model has two owners with two addresses")
    if answers["accelerator"] == "cuda" and answers["library"] != "torch":
        found.append(f"accelerator: {answers['library']} is there for cpu alone")
    libraries = EXAMPLES.get(answers["example"], ())
    if libraries and answers["library"] not in libraries:
        found.append(f"library: {answers['example']} is there for {', '.join(libraries)}, not {answers['library']}")
    return found


def _slug(value: str) -> str:
    if not re.fullmatch(SLUG, value) or len(value) > 64:
        return f"{value!r} must be lower-case words joined by hyphens, at most 64 characters, such as bpm-faults"
    return ""


def _package(value: str) -> str:
    if not re.fullmatch(PACKAGE, value) or len(value) > 64:
        return f"{value!r} is not a Python package name in lower case, such as bpm_faults"
    if keyword.iskeyword(value) or keyword.issoftkeyword(value):
        return f"{value!r} is a keyword of Python"
    if value in sys.stdlib_module_names:
        return f"{value!r} is a module of Python's standard library"
    if value in USED or importlib.util.find_spec(value) is not None:
        return f"{value!r} is the name of a library or of a folder of the project, which it would shadow"
    return ""


def _text(value: str) -> str:
    return "" if value.strip() and len(value) <= 200 else "is empty or longer than 200 characters"


def _email(value: str) -> str:
    return "" if re.fullmatch(EMAIL, value) else f"{value!r} is not an e-mail address"


def _date(value: str) -> str:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return f"{value!r} is not a date such as 2027-06-01"
    return "" if day > date.today() else f"{value} is in the past"


def _choice(*choices: str) -> Callable[[str], str]:
    return lambda value: "" if value in choices else f"{value!r} is not one of {', '.join(choices)}"


def _labels(value: str) -> str:
    if not value or re.fullmatch(r"[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*", value):
        return ""
    return f"{value!r} must be labels joined by commas, such as self-hosted,gpu"


def _image(value: str) -> str:
    return "" if re.fullmatch(IMAGE, value) else f"{value!r} must be an image with its digest, NAME:TAG@sha256:DIGEST"


def _address(value: str) -> str:
    return "" if not value or re.fullmatch(r"https?://[^\s\"'\\]+", value) else f"{value!r} is not an http(s) URL"


def _logbook(value: str) -> str:
    return _text(value) or _address(value)


def _remote(value: str) -> str:
    if not value or re.search(r"[\s'\"#;%]", value):
        return f"{value!r} must be a folder or a URL without spaces and quotes"
    scheme, separator, rest = value.partition("://")
    if separator and (scheme not in REMOTE_SCHEMES or not rest):
        return f"{value!r} must be a folder or a URL with a scheme that DVC supports: {', '.join(REMOTE_SCHEMES)}"
    if not separator and not value.startswith("/") and not value.startswith("../"):
        return f"{value!r} is inside the project; a remote must be outside, such as ../dvc-storage"
    return ""


def _repository(value: str) -> str:
    return "" if re.fullmatch(REPOSITORY, value) else f"{value!r} is not OWNER/NAME"


def _one_line(value: str) -> str:
    if not SEEN.sub("", value).isprintable():
        return "contains a line break or an invisible character"
    # Written in two parts, because this file is a template itself.
    own = next((mark for mark in ("{" "{", "{" "%", "{" "#") if mark in value), "")
    return f"contains {own}, which is template syntax" if own else ""


RULES = {
    "example": _choice(*EXAMPLES),
    "library": _choice("torch", "xgboost", "scikit-learn"),
    "project_slug": _slug,
    "package_name": _package,
    "summary": _text,
    "maintainer_name": _text,
    "maintainer_email": _email,
    "deputy_name": _text,
    "deputy_email": _email,
    "on_call": _text,
    "logbook": _logbook,
    "review_by": _date,
    "python_version": _choice("3.11", "3.12", "3.13", "3.14"),
    "environment": _choice("conda-lock", "uv"),
    "accelerator": _choice("cpu", "cuda"),
    "gpu_runner": _labels,
    "pytorch_index": _address,
    "pytorch_cuda_index": _address,
    "container_image": _image,
    "dvc_remote": _remote,
    "beampermit_repository": _repository,
}

if __name__ == "__main__":
    # cookiecutter writes this file into the folder for temporary files, whose other files are no libraries.
    own = Path(__file__)
    sys.path = [path for path in sys.path if path not in (str(own.absolute().parent), str(own.resolve().parent))]
    chosen = json.loads(r"""{{ cookiecutter | tojson }}""")
    if chosen["example"] in FILLED:
        sys.exit(f"example: {chosen['example']} is made by {FILLED[chosen['example']]}")
    wrong = problems(chosen)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        sys.exit(f"{wrong[0]}{more}")
