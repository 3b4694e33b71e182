from pathlib import Path
from types import SimpleNamespace

import pydata_sphinx_theme

from bookext.page import THEME_SCRIPT, measure_no_more, mend, mend_head, without_search


def test_a_folded_proof_has_a_title_and_no_id():
    body = '<div class="proof dropdown admonition" id="proof">\n<p>Proof. Step 1.</p></div>'
    assert mend(body) == (
        '<div class="proof dropdown admonition">\n<p class="admonition-title">Proof</p>\n'
        "<p>Step 1.</p></div>"
    )


def test_an_open_proof_keeps_its_word():
    body = '<div class="proof admonition" id="proof">\n<p>Proof. Step 1.</p></div>'
    assert mend(body) == body.replace(' id="proof"', "")


def test_lines_of_a_signature_are_no_definitions():
    body = "<dt>f(<dl>\n<dd>a,</dd>\n<dd>b,</dd>\n</dl>\n)</dt><dd><p>Text.</p></dd>"
    mended = mend(body)
    assert "<dl>" not in mended
    assert mended.count('<span class="sig-line">') == 2
    assert mended.endswith("<dd><p>Text.</p></dd>")


def test_lists_of_definitions_stay():
    body = "<dl>\n<dt>a</dt>\n<dd>b</dd>\n</dl>"
    assert mend(body) == body


def test_a_summary_holds_no_paragraph():
    body = (
        '<summary aria-label="Toggle hidden content">\n'
        '<p class="collapsed admonition-title">Show</p></summary>'
    )
    assert mend(body) == (
        '<summary>\n<span class="collapsed admonition-title">Show</span></summary>'
    )


def test_the_icon_script_goes_and_other_scripts_stay():
    head = '<script defer src="_static/scripts/fontawesome.js?d=1"></script><script src="a.js">'
    assert mend_head(head) == '<script src="a.js">'


def test_the_search_scripts_go_and_other_scripts_stay():
    head = '<script src="../_static/searchtools.js"></script><script src="a.js"></script>'
    head += '<script src="../searchindex.js"></script><link rel="search" href="../search.html">'
    assert without_search(head) == (
        '<script src="a.js"></script><link rel="search" href="../search.html">'
    )


def test_the_theme_measures_boxes_no_more(tmp_path):
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
    copy = tmp_path / THEME_SCRIPT
    copy.parent.mkdir(parents=True)
    copy.write_bytes((theme / THEME_SCRIPT.relative_to("_static")).read_bytes())
    before = copy.read_text("utf8")
    measure_no_more(SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(name="html")), None)
    assert 0 < len(before) - len(copy.read_text("utf8")) < 100
