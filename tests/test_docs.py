"""Blocks to copy run as they stand, and what is public is documented.

Blocks with prompts are doctests, which pytest runs by itself; those here are the others.
"""

import csv
import importlib
import re
import textwrap
from pathlib import Path

import pytest
from independent import IndependentAutoencoder  # docs/independent.py
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

import skae
import skae.displays

ROOT = Path(__file__).parents[1]
RST_BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", re.MULTILINE)
MD_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.rst"), *ROOT.glob("docs/guide/*.rst")]


def blocks_without_prompts():
    found = []
    for page in PAGES:
        pattern = MD_BLOCK if page.suffix == ".md" else RST_BLOCK
        for number, block in enumerate(pattern.findall(page.read_text())):
            if ">>>" not in block:
                name = f"{page.relative_to(ROOT)}-{number}"
                found.append(pytest.param(textwrap.dedent(block), id=name))
    return found


@pytest.mark.parametrize("block", blocks_without_prompts())
def test_block_runs(block, capsys):
    exec(compile(block, "block", "exec"), {})
    assert capsys.readouterr().out


def test_front_pages_have_the_same_block():
    (readme, *_), (index, *_) = (
        pattern.findall((ROOT / page).read_text())
        for pattern, page in ((MD_BLOCK, "README.md"), (RST_BLOCK, "docs/index.rst"))
    )
    assert readme.strip() == textwrap.dedent(index).strip()


@parametrize_with_checks([IndependentAutoencoder(max_epochs=2)])
def test_variant_in_one_file_passes_the_checks(estimator, check):
    check(estimator)


def overridden():
    """Private names that a class of an estimator defines and a base of it, too."""
    found = set()
    for name in set(skae.__all__) - {"__version__"}:
        classes = [c for c in getattr(skae, name).__mro__ if c.__module__.startswith("skae.")]
        for number, cls in enumerate(classes):
            of_bases = {name for base in classes[number + 1 :] for name in vars(base)}
            found |= {name for name in vars(cls).keys() & of_bases if re.match("_[a-z]", name)}
    return {name for name in found if not name.startswith("_sklearn")}


def test_hooks_that_are_overridden_are_documented():
    page = (ROOT / "docs" / "contributing.rst").read_text()
    table = page[
        page.index("What else a variant may override") : page.index("A likelihood in one file")
    ]
    rows = re.findall(r"^   \* - (``.*)$", table, re.MULTILINE)
    assert {hook for row in rows for hook in re.findall("``(_[a-z_]+)``", row)} == overridden()


@pytest.mark.parametrize("name", [name for name in skae.__all__ if not name.startswith("_")])
def test_diagram_links_to_the_page_of_the_class(name):
    estimator = getattr(skae, name)()
    page = f'href="https://skae.readthedocs.io/en/stable/generated/skae.{name}.html"'
    assert page in estimator_html_repr(make_pipeline(StandardScaler(), estimator))
    assert re.search(rf"^   {name}$", (ROOT / "docs/api.rst").read_text(), re.MULTILINE)


def test_diagram_of_someone_elses_subclass_has_no_link():
    class Own(skae.AutoencoderTransformer):
        __doc__ = skae.AutoencoderTransformer.__doc__

    assert "readthedocs" not in estimator_html_repr(Own())


def test_reference_lists_what_there_is():
    """Every name under a module in the reference exists, and no display is forgotten."""
    module, listed = None, {}
    for line in (ROOT / "docs/api.rst").read_text().splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = importlib.import_module(found[1])
        elif found := re.fullmatch(r"   (\w+)", line):
            listed.setdefault(module, set()).add(getattr(module, found[1]).__name__)
    displays = {name for name in vars(skae.displays) if name.endswith("Display")}
    assert listed[skae.displays] == displays


def test_where_pca_wins_says_what_was_measured():
    page = (ROOT / "docs/where_pca_wins.rst").read_text()
    with open(ROOT / "docs/results/where_pca_wins.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [float(row["ratio"]) for row in rows if row["part"] == "fit time"]
    assert len(times) == 12
    for ratio in times:
        assert f"{ratio:,.0f} times" in page
    for row in rows:
        if row["part"] == "interpretability":
            value = float(row["estimator_value"])
            assert f"     - {value:,.0f}\n" in page or f"     - {value:.2f}\n" in page
    for size in (30, 60, 120):
        here = [row for row in rows if row["case"].startswith(f"{size} rows")]
        for estimator in ("AutoencoderTransformer", "VAETransformer"):
            epochs = [int(row["epoch"]) for row in here if row["estimator"] == estimator]
            assert f"     - {epochs.count(0)} of {len(epochs)}" in page
        ratios = [float(row["ratio"]) for row in here if row["estimator"].startswith("textbook")]
        worse = sum(ratio > 1 for ratio in ratios)
        said = f"{min(ratios):.2f} to {max(ratios):.2f}; above 1 in {worse} of {len(ratios)}"
        assert said in page
    linear = [row for row in rows if row["part"] == "linear data"]
    assert {row["epoch"] for row in linear} == {"0"}
