"""Two URLs name one repository however they are spelled, and two repositories stay two."""

import pytest

from touchstone.delivery.repositories import place, shown

SAME = [
    "https://git.example.org/me/model.git",
    "https://git.example.org/me/model",
    "https://git.example.org/me/model/",
    "https://git.example.org/me/model.git/",
    "https://git.example.org:443//me/./model.git",
    "http://GIT.Example.org./me/model",
    "https://rita:token@git.example.org/me/model.git",
    "ssh://git@git.example.org/me/model.git",
    "ssh://git@git.example.org:2222/me/model",
    "git@git.example.org:me/model.git",
    "git.example.org:/me/model.git",
    "git://git.example.org/me/model.git",
    "https://git.example.org/me/%6dodel.git",
    " https://git.example.org/me/model.git\n",
]
OTHERS = [
    "https://git.example.com/me/model.git",
    "https://git.example.org:8443/me/model.git",
    "https://git.example.org/me/model2.git",
    "https://git.example.org/Me/model.git",
    "https://git.example.org/me/model/more.git",
    "https://evil.org/git.example.org/me/model.git",
    "https://git.example.org@evil.org/me/model.git",
    "https://git.example.org/me/../you/model.git",
    "file:///git.example.org/me/model.git",
    "/me/model.git",
]


@pytest.mark.parametrize("url", SAME)
def test_spellings_of_one_place(url):
    assert place(url) == "git.example.org/me/model"


@pytest.mark.parametrize("url", OTHERS)
def test_other_places_stay_others(url):
    assert place(url) != place(SAME[0])


def test_a_repository_of_this_machine():
    assert place("file:///home/a/model.git") == place("/home/a/model.git/") == "/home/a/model"


def test_no_credential_is_shown():
    assert shown("https://rita:token@git.example.org/me/model.git") == SAME[0]
    assert shown("git@git.example.org:me/model.git") == "git@git.example.org:me/model.git"
