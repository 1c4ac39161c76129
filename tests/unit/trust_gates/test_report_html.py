"""The HTML report works without a network or a script, by ear, in the dark and on paper."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from report_samples import DIGEST, PICTURES, check, document, evidence, full

from trust_gates.report import HTML_FILE, MARKDOWN_FILE, render
from trust_gates.report.html import strip
from trust_gates.verdict import Interval, Outcome, Required

_VOID = {"meta", "img", "rect", "br"}


class Page(HTMLParser):
    """Elements in order, and an error where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, *tags):
        return [(tag, attributes) for tag, attributes in self.elements if tag in tags]


def html(verdict, pictures=PICTURES):
    return render(verdict, pictures)[HTML_FILE].decode()


@pytest.fixture(scope="module")
def page():
    return Page(html(full()))


def test_headings_go_down_one_level_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_a_reader_who_does_not_see_gets_language_words_for_pictures_and_table_headers(page):
    assert page.all("html") == [("html", {"lang": "en"})]
    assert [a["alt"] for _, a in page.all("img")] == ["What is left as epsilon grows.", "stray"]
    assert all(a.get("scope") in ("col", "row") for _, a in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption")) > 2
    assert all(a.get("aria-hidden") == "true" for _, a in page.all("svg"))


def test_links_stay_on_the_page_and_lead_somewhere(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for _, a in page.all("a")} <= set(ids)


def test_nothing_is_fetched_and_nothing_runs(page):
    assert not page.all("script", "link", "iframe", "object", "form")
    assert all(a["src"].startswith("data:image/png;base64,") for _, a in page.all("img"))
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert "url(" not in html(full()) and "@import" not in html(full())


def test_an_outcome_is_told_in_words_not_only_by_colour(page):
    assert "tiny: refused" in page.text
    assert "✓ passed" in page.text and "? insufficient evidence" in page.text
    assert "What to do: Judge it on about 300 samples." in page.text


def test_words_of_a_model_repository_stay_words():
    evil = "<script>alert(1)</script>"
    refused = check(outcome=Outcome.FAILED, reason=evil)
    text = html(
        document(
            evidence(refused, captions={"quality-a": evil}, notes=[evil]),
            name=evil,
            card={"purpose": evil},
        ),
        {"quality-a.png": b""},
    )
    assert not Page(text).all("script")
    assert Page(text).text.count(evil) >= 4


def test_a_remedy_is_shown_before_and_after():
    before = check(outcome=Outcome.FAILED, measured=0.6).to_json()
    previous = {"verdict": DIGEST, "remedy": "reweighing", "checks": [before]}
    page = Page(html(document(evidence(check()), previous=previous)))
    assert "Before and after reweighing" in page.text
    assert "✗ failed 0.6" in page.text and "✓ passed 0.9" in page.text
    assert "remedied" in {a.get("id") for _, a in page.elements}


def test_a_check_is_drawn_only_where_it_has_a_width():
    exact = check(name="pickle_files", interval=Interval(low=0, high=0, confidence=1.0), measured=0)
    assert not Page(html(document(evidence(exact)))).all("svg")
    assert Page(html(document(evidence(check())))).all("svg")


def _luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("text", "page"), ("soft", "page"), ("link", "page"), ("text", "raised"),
        ("text", "good-soft"), ("text", "bad-soft"),
        ("good", "good-soft"), ("bad", "bad-soft"), ("open", "open-soft"),
    ],
)  # fmt: skip
def test_text_has_the_contrast_that_wcag_aa_asks_for(theme, text, ground):
    css = files("trust_gates.report").joinpath("templates/report.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[theme]
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    light, dark = sorted((_luminance(colors[text]), _luminance(colors[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def outcomes(text, heading):
    """The outcomes below a heading, in the order in which they stand."""
    part = text.split(f'<h2 id="{heading}">')[1].split("</section>")[0]
    return re.findall(r'<span class="badge (\w+)"', part.split("</dl>")[-1])


def mixed():
    """One check of each outcome, the passed one first; and what a careless author may declare."""
    checks = [
        check("quality", outcome, name=name, reason=f"{name} is {outcome}")
        for outcome, name in (
            (Outcome.PASSED, "accuracy"),
            (Outcome.INSUFFICIENT, "auc"),
            (Outcome.FAILED, "recall"),
        )
    ]
    asked = {**full(), "checks": [one.to_json() for one in checks]}
    facts = {
        **asked["facts"],
        "parameters": {"learning_rate": 1e-07, "layers": [64, 32], "warmup": None, "bias": True},
        "training": {"optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "defence": None},
        "metrics": {"val_loss": 2.5e-05},
    }
    return {**asked, "confidence": 0.95, "facts": facts}


def test_failed_stands_before_insufficient_before_passed():
    text = html(mixed())
    assert outcomes(text, "decided") == ["failed", "insufficient"]
    assert outcomes(text, "checks") == ["failed", "insufficient", "passed"]


def test_every_outcome_and_every_check_has_its_sentence(page):
    for outcome in (Outcome.PASSED, Outcome.INSUFFICIENT):
        assert outcome.meaning in page.text
    assert Outcome.FAILED.meaning in Page(html(mixed())).text
    assert (
        "What it means: Share still right after the worst of all attacks: 0.5; 100 samples leave "
        "0.85 to 0.95 possible, but so few do not decide (at least 0.8 is required)." in page.text
    )
    assert "1 check lacks evidence; nothing speaks against the model" in page.text
    assert "tiny: refused for want of evidence" in page.text


def test_how_sure_the_verdict_is_is_said_beside_it():
    head = html(mixed()).split("</header>")[0]
    assert "Decided at a confidence of 0.95: of models that miss a threshold, at most 5 in" in head
    assert "confidence" not in html(document(evidence(check()))).split("</header>")[0]


def test_no_notation_of_a_programming_language_is_shown():
    files = render(mixed(), PICTURES)
    page = Page(files[HTML_FILE].decode()).text
    for text in (page, files[MARKDOWN_FILE].decode()):
        assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|\d[eE]-?\d|\[\'|\{\'|np\.|nan\b", text)
    assert "bias yes, layers (64, 32), learning_rate 0.0000001" in page
    assert "optimizer (betas (0.9, 0.999), name adam)" in page


def test_a_ratio_is_drawn_with_1_in_the_middle_and_half_as_far_from_it_as_double():
    fair = Required(low=0.5, high=2)
    span = Interval(low=0.8, high=1.25, confidence=0.95)
    drawn = strip(check("fairness", name="disparate_impact[sex]", measured=1, interval=span,
                        required=fair))  # fmt: skip
    assert drawn.measured == 50
    assert drawn.fair_low == pytest.approx(100 - drawn.fair_high)
    assert drawn.low == pytest.approx(100 - drawn.high)
    far = strip(check("fairness", name="disparate_impact", measured=0.0, interval=Interval(
        low=0, high=0.4, confidence=0.95), required=fair))  # fmt: skip
    assert 0 <= far.measured < far.fair_low


@pytest.mark.long
def test_it_prints_on_at_most_eight_pages():
    weasyprint = pytest.importorskip("weasyprint", reason="the extra `dev` and Pango bring it")
    assert len(weasyprint.HTML(string=html(mixed())).render().pages) <= 8


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
def test_a_real_browser_shows_it_whole_and_complains_of_nothing(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(html(full()), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [BROWSER, *options, profile, "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr  # a refused style or picture would be logged there
    assert "What was judged" in done.stdout
