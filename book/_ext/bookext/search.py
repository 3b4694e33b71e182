"""Search finds words whose stem is a word that it leaves out: "one", which becomes "on".

It works from a folder too, where a browser lets no page read another: there without excerpts.
"""

from __future__ import annotations

from sphinx.search.en import SearchEnglish

_KEPT = """
Stemmer = (function (Inner) {
  return function () {
    const inner = new Inner();
    // As the index does it: such a word stands there as it is written.
    this.stemWord = (word) => {
      const stem = inner.stemWord(word);
      return stopwords.includes(stem) ? word : stem;
    };
  };
})(Stemmer);
"""
_WITHOUT_EXCERPTS = """
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
"""


class English(SearchEnglish):
    """Sphinx's English, with a stemmer in the browser that agrees with the one of the index."""

    js_stemmer_code = SearchEnglish.js_stemmer_code + _KEPT + _WITHOUT_EXCERPTS


def setup(app) -> dict[str, bool]:
    """Take the place of Sphinx's own English."""
    app.add_search_language(English)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
