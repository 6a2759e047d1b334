"""How Sphinx builds these pages; with ``-t tiny`` the gallery runs in its tiny mode."""

import re
import sys
import tempfile
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import skae

sys.path.append(str(Path(__file__).parent))

project = "skae"
author = "The skae developers"
copyright = author
version = release = skae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "py:obj"
toc_object_entries_show_parents = "hide"
root_doc = "index"

html_theme = "pydata_sphinx_theme"
html_title = "skae"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = html_show_sourcelink = False
# Formulas are in the pages as MathML, which browsers draw by themselves; where the reader has a
# network, MathJax sets them more finely.
html_math_renderer = "mathml"
html_js_files = [
    ("https://cdn.jsdelivr.net/npm/mathjax@3.2.2/es5/mml-chtml.js", {"async": "async"}),
]
html_sidebars = {
    page: [] for page in ("index", "start", "moving_from_pca", "contributing", "changelog")
}
html_theme_options = {
    "logo": {"text": "skae"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_end": [],
    "show_prev_next": False,
}

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

# What is copied of a doctest is the code, without prompts and answers.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def gallery_arguments(gallery_conf, script_vars):
    """The command line of an example: figures go into the page, not beside the script."""
    name = Path(script_vars["src_file"]).stem.removeprefix("plot_")
    out = Path(tempfile.gettempdir(), f"{name}.png")
    return ["--out", str(out), *(["--tiny"] if tags.has("tiny") else [])]  # noqa: F821


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)_",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": gallery_arguments,
    "plot_gallery": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
}
suppress_warnings = ["config.cache"]  # reset_argv is a function, which has no place there


def as_rst(app, relative_path, parent_docname, content):
    """The changelog, which is written in Markdown: its headings and its code."""
    if relative_path.suffix == ".md":
        text = re.sub(r"`([^`]+)`", r"``\1``", content[0])
        heading = re.compile(r"^(#+) (.+)$", re.MULTILINE)
        content[0] = heading.sub(lambda m: f"{m[2]}\n{'=-~'[len(m[1]) - 1] * len(m[2])}", text)


def skip_inherited(app, what, name, obj, skip, options):
    """Leave what scikit-learn and torch document to them."""
    foreign = (getattr(obj, "__module__", None) or "").startswith(("sklearn.", "torch."))
    return True if foreign and name not in ("fit_transform", "get_feature_names_out") else skip


def keep_underscores(app, what, name, obj, options, lines):
    """A fitted attribute in a shape, as in (n_samples, latent_dim_), is not a link."""
    for i, line in enumerate(lines):
        before, shape, after = line.partition("of shape (")
        lines[i] = before + shape + (re.sub(r"(\w)_(?=[ ,)])", r"\1\_", after) if shape else "")


def write_math(translator, node):
    """A formula as MathML."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("include-read", as_rst)
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("autodoc-process-docstring", keep_underscores, priority=900)
