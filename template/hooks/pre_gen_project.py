"""Check the answers before anything is written.

Standard library only: cookiecutter runs this without Beampermit, and `beampermit new` uses the same rules.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path

SLUG = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
PACKAGE = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
EMAIL = r"[^@\s<>\"'\\#]+@[^@\s<>\"'\\#]+\.[^@\s<>\"'\\#]+"
ACCOUNT = r"@[A-Za-z0-9](?:[A-Za-z0-9_-]*)(?:/[A-Za-z0-9._-]+)?"
REPOSITORY = r"[A-Za-z0-9](-?[A-Za-z0-9])*/[A-Za-z0-9._-]*[A-Za-z0-9_-]"
IMAGE = r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}"
REMOTE_SCHEMES = ("s3", "gs", "azure", "ssh", "http", "https", "webdav", "webdavs", "hdfs", "oss", "gdrive")
SEEN = re.compile(  # what Python calls not printable, and is seen or changes what is seen
    "[\u0600-\u0605\u06dd\u08e2]"  # signs of Arabic
    "|(?<=[\u0600-\u1aff\ufb50-\ufdff\ufe70-\ufefc])[\u200c\u200d]"  # joins or parts letters, as in Persian and Sinhala
    "|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])"  # joins emoji
    "|(?<=[\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007f]"  # flags of countries within a country
)
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode. Signs that this Python's Unicode does not know yet are of none of them."""
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


def reason(question: str, answers: dict[str, str]) -> str:
    """Why the answer to `question` cannot be used beside the others that are there already; empty where it can."""
    value = answers[question]
    if why := RULES[question](value) or _one_line(value):
        return why
    for names, rule in BETWEEN.items():
        if question in names and all(name in answers for name in names):
            why = why or rule(*(answers[name] for name in names))
    return why


def problems(answers: dict[str, str]) -> list[str]:
    """Why answers are invalid, each as `question: reason`."""
    found = [f"{key}: {why}" for key, rule in RULES.items() if (why := rule(answers[key]))]
    found += [f"{key}: {why}" for key in RULES if (why := _one_line(answers[key]))]
    for names, rule in BETWEEN.items():
        if why := rule(*(answers[name] for name in names)):
            found.append(f"{names[0]}: {why}")
    return found


def _two_addresses(deputy: str, maintainer: str) -> str:
    if deputy.strip().lower() != maintainer.strip().lower():
        return ""
    return "maintainer and deputy have the same address; a model has two owners with two addresses"


def _runs_there(accelerator: str, library: str) -> str:
    return f"{library} is there for cpu alone" if accelerator == "cuda" and library != "torch" else ""


def _is_there(library: str, example: str) -> str:
    libraries = EXAMPLES.get(example, ())
    if not libraries or library in libraries:
        return ""
    return f"{example} is there for {', '.join(libraries)}, not {library}"


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


def _code_owners(value: str) -> str:
    owners = value.split(" ")
    wrong = [owner for owner in owners if not re.fullmatch(f"{EMAIL}|{ACCOUNT}", owner) or owner.endswith((",", ";"))]
    if not wrong:
        return ""
    return f"{wrong[0]!r} is neither @login, @organization/team nor an e-mail address; one space stands between two"


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


def unseen(value: str) -> list[str]:
    """Line ends, controls, and letters that nobody sees or that no file can hold."""
    return [letter for letter in SEEN.sub("", value) if unicodedata.category(letter) in UNSEEN or _is_none(ord(letter))]


def _is_none(number: int) -> bool:
    """Whether Unicode has said that this number is never a character."""
    return number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF


def _one_line(value: str) -> str:
    if letters := unseen(value):
        return f"contains a line break or an invisible character, U+{ord(letters[0]):04X}"
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
    "code_owners": _code_owners,
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

BETWEEN: dict[tuple[str, ...], Callable[..., str]] = {
    ("deputy_email", "maintainer_email"): _two_addresses,
    ("accelerator", "library"): _runs_there,
    ("library", "example"): _is_there,
}
"""What must fit together, and why it does not; the first question is the one to answer again."""
MATTERS: dict[str, Callable[[dict[str, str]], bool]] = {
    "gpu_runner": lambda answers: answers["accelerator"] == "cuda",
    "pytorch_index": lambda answers: answers["environment"] == "uv" and answers["library"] == "torch",
    "pytorch_cuda_index": lambda answers: answers["environment"] == "uv" and answers["accelerator"] == "cuda",
}
"""Question that other answers may make void -> whether it matters beside them."""

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
