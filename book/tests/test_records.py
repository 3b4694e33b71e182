"""A figure's record: its numbers as a file, and the line that tells where they come from."""

import re

import matplotlib.pyplot as plt
import pytest

from bookext.explorable import numbers_of
from bookext.node import find_node
from bookext.records import Record, numbers_in
from prompt_attention import plotting
from prompt_attention.plotting.numbers import as_csv


@pytest.fixture
def record():
    return Record(
        facts={"commit": "abc", "seeds": "", "parameters": "a < b"},
        code="x = 1 < 2",
        numbers="panel,x\none,1\n",
        name="page, fig-one",
    )


def test_the_file_begins_with_what_is_known(record):
    assert record.csv() == (
        "# figure: page, fig-one\n# commit: abc\n# parameters: a < b\npanel,x\none,1\n"
    )


def test_the_line_has_a_link_of_its_own_name_and_the_code(record):
    html = record.html("numbers/page-fig-one.csv")
    assert '<a href="numbers/page-fig-one.csv" download>' in html
    assert "of page, fig-one" in html
    assert "<dt>commit</dt><dd>abc</dd>" in html
    assert "seeds" not in html
    assert "x = 1 &lt; 2" in html


def test_numbers_come_back_out_of_a_picture(tmp_path):
    with plt.rc_context({"backend": "agg"}):
        plotting.use_style()
        figure, ax = plt.subplots()
        ax.plot([1, 2], [3, 4])
        figure.savefig(tmp_path / "a.svg")
        plt.close(figure)
    assert numbers_in((tmp_path / "a.svg").read_text("utf-8")) == as_csv(figure)
    assert numbers_in('<svg xmlns="http://www.w3.org/2000/svg"/>') is None


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_an_explorable_has_the_numbers_of_its_first_picture():
    state, table = numbers_of("attention")
    header, *rows = table.splitlines()
    assert header == "series,mark,x,y"
    relevant = [row for row in rows if row.startswith("relevant tokens,dot,")]
    assert len(relevant) == round(state["sparsity"] * state["tokens"])
    weights = [
        float(row.split(",")[3]) for row in rows if re.match(r"(ir)?relevant tokens,dot", row)
    ]
    assert sum(weights) == pytest.approx(1)
