"""The page: what it says, that it needs nothing else, and how it is used with keys and mouse."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import EXECUTABLE, Page, chromium
from hypothesis import given
from hypothesis import strategies as st
from test_reports import LEFT_HERE, MIXED, file_of, outcome_of
from trees import CODES, ELSEWHERE, LEFT, NEW, OLD, old_to_new, plant

from codemods.findings import UNREADABLE, Bucket, Finding, Severity
from codemods.outcomes import FileOutcome, RunOutcome, Texts
from codemods.reports import html_report
from codemods.run import RunOptions, run

NASTY = "</td><script>alert(1)</script>&amp;\"'`<img src=x onerror=alert(2)>"
VOID = {"meta", "input", "col", "br"}


class Checker(HTMLParser):
    """Every element is closed where it should be; collects ids, texts and what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.text += " "
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("aria-labelledby", "for"):
            if name in values:
                self.targets.append(values[name])
        if values.get("href", "").startswith("#"):
            self.targets.append(values["href"][1:])
        self.fetched += [v for k, v in attrs if k in ("src", "href") and not v.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def parsed(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def changed(path: str, before: str | None, after: str) -> FileOutcome:
    texts = Texts(path, None if before is None else before.encode(), after.encode())
    status = "created" if before is None else "rewritten"
    return replace(file_of(path, status), texts=texts)


@pytest.mark.parametrize("outcome", [MIXED, outcome_of(), outcome_of(written=False)])
def test_the_page_is_whole_and_needs_nothing_else(outcome: RunOutcome):
    page = html_report.render(outcome)
    checker = parsed(page)
    assert checker.fetched == []
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.targets) <= set(checker.ids)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_the_run_did_and_what_is_left():
    text = " ".join(parsed(html_report.render(MIXED)).text.split())
    for part in (
        "The changes were written.",
        "files searched 10",
        "places left for a person 2",
        "4 mentions of old names: 1 changed, 1 for a person, 2 comment or docstring. 0.25 s.",
        "TKM903 error 1 1 file cannot be read",
        "src/a.py 1 place line 3 TKM004 warning stays Do it.",
    ):
        assert part in text
    assert text.index("src/b.py") < text.index("src/a.py")  # what failed comes first
    assert (
        "A preview: nothing was written."
        in parsed(html_report.render(replace(MIXED, written=False))).text
    )


def test_a_change_shows_old_beside_new_with_the_words_that_differ():
    page = html_report.render(outcome_of(changed("a.py", f"x = 1\n{OLD}", f"x = 1\n{NEW}")))
    assert '<td class="no old">2</td>' in page
    assert "triton_kernels.<del>routing</del> import RoutingData</td>" in page
    assert "triton_kernels.<ins>matmul_ogs</ins> import RoutingData</td>" in page
    assert page.count("x = 1</td>") == 2


def test_lines_far_from_a_change_are_left_out():
    lines = [f"line {n}\n" for n in range(100)]
    after = [*lines[:50], "new\n", *lines[51:]]
    page = html_report.render(outcome_of(changed("a.py", "".join(lines), "".join(after))))
    assert "from line 48, now line 48" in page
    assert ">line 46<" not in page
    assert ">line 47<" in page


def test_a_new_file_has_nothing_on_the_left():
    page = html_report.render(outcome_of(changed("a.py", None, "x = 1\ny = 2\n")))
    assert "a new file" in page
    assert page.count('<td class="no void"></td>') == 2


@given(text=st.text(max_size=60), path=st.binary(min_size=1, max_size=20))
def test_whatever_a_line_or_a_name_holds_is_text(text, path):
    name = path.decode("utf-8", "surrogateescape")
    data = (text + NASTY).encode("utf-8", "surrogatepass")
    message = Finding(1, 1, "TKM004", Severity.WARNING, text + NASTY, NASTY, Bucket.FOR_A_PERSON)
    file = FileOutcome(name, ".", name, "rewritten", (message,), Texts(name, data, data + b"\n+"))
    page = html_report.render(outcome_of(file))
    checker = parsed(page)
    page.encode("utf-8", "strict")
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert checker.text.count("</script>") >= 3


def test_ten_thousand_findings_make_a_page():
    files = [file_of(f"{n:04}.py", "rewritten", *[LEFT_HERE] * 10) for n in range(1000)]
    page = html_report.render(outcome_of(*files))
    assert len(page) < 5_000_000
    assert '<td class="count">10,000</td><td class="count">1,000</td>' in page


# Contrast, by the formula of WCAG 2: 4.5 to 1 for text

STYLE = (Path(html_report.__file__).parent / "page.css").read_text()
SCHEMES = {
    "light": dict(re.findall(r"--([\w-]+): (#\w{6})", STYLE.partition("@media")[0])),
    "dark": dict(re.findall(r"--([\w-]+): (#\w{6})", STYLE.partition("@media")[2])),
}
PAIRS = [
    *((ink, ground) for ink in ("text", "quiet", "link") for ground in ("ground", "raised")),
    *((ink, "ground") for ink in ("error", "warning", "info", "good", "focus")),
    *(("text", ground) for ground in ("old", "old-word", "new", "new-word", "void")),
    ("quiet", "old"),
    ("quiet", "new"),
]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(scheme, ink, ground):
    colours = SCHEMES[scheme]
    dark, light = sorted(luminance(colours[name]) for name in (ink, ground))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_both_schemes_name_the_same_colours():
    assert SCHEMES["light"].keys() == SCHEMES["dark"].keys()


# In a browser


needs_browser = pytest.mark.skipif(EXECUTABLE is None, reason="needs chromium, none is installed")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The report of a real run with changes, places left and a file that failed."""
    body = "\n".join(f"value_{n} = {n}" for n in range(20)) + "\n"
    plant(
        tmp_path / "tree",
        {
            "pkg/experts.py": f'"""Experts."""\n\n{OLD}{body}{LEFT}{body}{OLD}',
            "pkg/layers/moe.py": OLD + ELSEWHERE + LEFT * 3,
            "pkg/layers/router.py": ELSEWHERE + OLD + f"x = {NASTY!r}\n",
            "tests/test_moe.py": LEFT,
        },
    )
    options = RunOptions(codes=CODES, write=False, keep_texts=True)
    outcome = run([str(tmp_path / "tree")], options, transform=old_to_new)
    failed = UNREADABLE.finding("cannot be read: Permission denied")
    new = replace(changed("pkg/_helper.py", None, "def f():\n\treturn 1\n"), shown="pkg/_helper.py")
    summary = replace(outcome.summary, created=1, failed=1)
    files = (*outcome.files, new, FileOutcome("z.py", ".", "src/z.py", "failed", (failed,)))
    path = tmp_path / "report.html"
    path.write_text(html_report.render(replace(outcome, files=files, summary=summary)))
    return path


@pytest.fixture
def page(tmp_path: Path):
    with chromium(tmp_path) as page:
        yield page


def is_open(page: Page) -> list[bool]:
    return page.run("[...document.querySelectorAll('#changes ~ details')].map(d => d.open)")


def focused(page: Page) -> str:
    return page.run("document.activeElement.textContent.trim().split(/\\s/)[0]")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_used_with_keys_and_mouse(report, page, dark):
    page.open(report, dark=dark)
    assert page.requests == [report.as_uri()]
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 22, 27)" if dark else "rgb(255, 255, 255)")

    # Keys: the first stop is the way past the sums, n and p go from file to file.
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Skip to what is left"
    page.press("Enter")
    assert page.run("location.hash") == "#left"
    page.press("c")
    assert is_open(page) == [False] * 4
    page.press("n", "n")
    shown = page.run("document.activeElement.closest('details').dataset.path")
    assert page.run("document.activeElement.closest('details').open") is True
    page.press("n", "p")
    assert page.run("document.activeElement.closest('details').dataset.path") == shown
    assert page.run("said.textContent").startswith("File 2 of ")
    page.press("Enter")  # the browser's own way to close what has the focus
    assert page.run("document.activeElement.closest('details').open") is False
    page.press("o")
    assert all(is_open(page))

    # Mouse: buttons do what the keys do, a summary opens and closes its file.
    page.click("button[data-key=c]")
    assert not any(is_open(page))
    page.click("#changes ~ details summary")
    assert is_open(page) == [True, False, False, False]

    # The filter: typing there is typing, not a command; Escape ends it.
    page.press("/", "m", "o", "e", ".", "p")
    assert page.run("filter.value") == "moe.p"
    assert page.run("files().map(f => f.dataset.path.split('/').pop())") == [
        "moe.py",
        "test_moe.py",
        "moe.py",
    ]
    page.press("Escape")
    assert page.run("files().length") == 8
    assert focused(page) != "filter"
    assert page.complaints == []
    page.press("o")
    page.run("scrollTo(0, 0)")
    assert page.screenshot(f"{'dark' if dark else 'light'}.png").stat().st_size > 20_000


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_never_wider_than_its_window(report, page, width):
    page.open(report, size=(width, 800))
    assert page.run("document.documentElement.scrollWidth") <= width


@needs_browser
def test_what_a_line_of_code_says_does_not_run(report, page):
    page.open(report)
    assert "alert(1)" in page.run("document.body.textContent")
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.complaints == []
