"""The templates of the pages, and what they are made of beside text: the style sheet and the scripts."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from offloadbench.report.svg import printable

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the page, and the hash that the policy allows it by."""

    text: Markup
    hash: str


def content_hash(text: str) -> str:
    """As a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def environment() -> jinja2.Environment:
    """Templates that escape everything."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )


def script(name: str) -> Script:
    """One of our own files."""
    text = own(name)
    return Script(Markup(text), content_hash(text))  # noqa: S704 our own file


def own(name: str) -> str:
    """The text of a file that lies beside the templates."""
    return (_FOLDER / name).read_text(encoding="utf-8").strip()
