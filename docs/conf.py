"""The documentation site: `make docs`. Nothing is fetched while it is built."""

import re
from importlib.metadata import version as version_of
from typing import Any

project = "hitherto"
author = "the authors of hitherto"
version = release = version_of("hitherto")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["decisions/README.md"]  # the same list for readers of the folder
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
toc_object_entries = False  # hundreds of them would take half of the time of a build
suppress_warnings = ["ref.python"]  # a name of hitherto and of hitherto.sync
default_role = "py:obj"  # in docstrings a name between single backticks is a name of ours

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_custom_sections = [("Args of the class statement", "params_style")]
napoleon_use_ivar = True
napoleon_use_rtype = False

nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # a docstring also puts arguments between backticks
    ("py:.*", r"(?!hitherto\.).*"),  # nothing is fetched, so other packages are not known
    ("py:.*", r"hitherto\..*\.([A-Z]|_\w+|get_store|Definition)"),  # type variables, and our own
]

html_theme = "furo"
html_title = f"hitherto {version}"
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False


def _without_outside(_app: Any, _name: str, source: list[str]) -> None:
    """The site has no pages from outside this folder: a link to one is shown as its path."""
    source[0] = re.sub(r"\[[^\]]*\]\(\.\./\.\./([^)]*\.md)\)", r"`\1`", source[0])


def _without_brackets(*arguments: Any) -> None:
    """Napoleon knows no heading of a section that has brackets."""
    lines = arguments[-1]
    lines[:] = [
        line.replace("(of the class statement):", "of the class statement:") for line in lines
    ]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _without_brackets, priority=400)  # before napoleon
    app.connect("source-read", _without_outside)
