"""One setting for the repository, and every address that follows from it."""

import pytest

from bookext.repository import Publication


def publication(repository="", base_url="", **environ):
    return Publication.from_settings(repository, base_url, environ)


@pytest.mark.parametrize(
    ("configured", "environ", "chosen"),
    [
        ("", {}, ""),
        ("owner/book", {}, "owner/book"),
        ("https://github.com/owner/book.git", {}, "owner/book"),
        ("owner/book", {"GITHUB_REPOSITORY": "fork/book"}, "fork/book"),
        ("owner/book", {"GITHUB_REPOSITORY": "a/b", "BOOK_REPOSITORY": "c/d"}, "c/d"),
        ("owner/book", {"GITHUB_REPOSITORY": ""}, "owner/book"),
    ],
)
def test_the_nearest_setting_counts(configured, environ, chosen):
    assert publication(configured, **environ).repository == chosen


@pytest.mark.parametrize("wrong", ["owner", "https://host.example/owner/book", "a/b/c", "a b/c"])
def test_what_is_no_repository_is_refused(wrong):
    with pytest.raises(ValueError, match="expected owner/name"):
        publication(wrong)


@pytest.mark.parametrize("wrong", ["book.example/", "https://", "https://a.example/b?c"])
def test_what_is_no_address_is_refused(wrong):
    with pytest.raises(ValueError, match="expected https://host/folder/"):
        publication("o/n", wrong)


def test_every_address_follows_from_the_repository():
    book = publication("Owner/book")
    assert book.base_url == "https://owner.github.io/book/"
    assert book.path == "/book/"
    assert book.source_url == "https://github.com/Owner/book"
    assert book.page_url("data") == "https://owner.github.io/book/data.html"
    assert book.colab_url("data", "0.1.0-abc") == (
        "https://colab.research.google.com/github/Owner/book/blob/notebooks/0.1.0-abc/data.ipynb"
    )
    assert book.wheel_url("a-1+b.whl") == (
        "https://raw.githubusercontent.com/Owner/book/notebooks/wheels/a-1%2Bb.whl"
    )


def test_a_site_of_its_owner_lies_at_the_root():
    assert publication("owner/Owner.github.io").base_url == "https://owner.github.io/"


def test_an_address_alone_is_enough_for_a_site():
    book = publication("", "https://a.example/b")
    assert book.page_url("data") == "https://a.example/b/data.html"
    assert book.wheel_url("a.whl") == "https://a.example/b/notebooks/wheels/a.whl"
    assert book.colab_url("data", "e") == ""
    assert book.source_url == ""


def test_an_address_goes_before_the_one_that_follows_from_the_repository():
    book = publication("o/n", "https://a.example/", BOOK_BASE_URL="https://b.example/c/")
    assert book.base_url == "https://b.example/c/"
    assert book.source_url == "https://github.com/o/n"


def test_without_a_setting_there_is_no_address():
    book = publication()
    assert {book.source_url, book.base_url, book.page_url("a"), book.wheel_url("a.whl")} == {""}
    assert book.colab_url("a", "e") == ""
    assert book.path == "/"
