"""The page in headless Chromium, as readers use it: on a phone and a desk, in the light and in the dark.

Without Chromium (Debian: ``apt-get install chromium``) these tests are skipped; with REQUIRE_BROWSER=1, as .ci/run
sets it, they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import BINARY, Chromium
from report_pages import report_page

PHONE, DESK = 390, 1280
VIEWS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]
CONTRAST = """(pairs => {
  const channels = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = part => {
    for (; part; part = part.parentElement) {
      const colour = getComputedStyle(part).backgroundColor;
      if (channels(colour)[3] !== 0) return channels(colour);
    }
    return [255, 255, 255];
  };
  const light = rgb => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  return pairs.map(part => {
    const [a, b] = [light(channels(getComputedStyle(part).color)), light(behind(part))];
    return [part.outerHTML.slice(0, 60), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
})([...document.querySelectorAll('h1, h2, p, a, th, td, em, code, b, li, button, summary')])"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if not BINARY:
        reason = "no Chromium here (Debian: apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_page(tmp_path_factory.mktemp("report"))


@pytest.fixture(autouse=True)
def _no_errors_on_the_console(request: pytest.FixtureRequest) -> Iterator[None]:
    browser: Chromium = request.getfixturevalue("browser")
    browser.errors.clear()
    yield
    assert browser.errors == []


def test_errors_on_the_console_are_seen(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.run("console.error('one'); setTimeout(() => { throw new Error('two') })")
    browser.wait("true")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert len(browser.errors) == 2
    browser.errors.clear()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_fits_the_window(browser: Chromium, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    browser.run("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_text_is_readable_in_both_schemes(browser: Chromium, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    background = browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128")
    assert background == (scheme == "dark")
    weak = [(part, ratio) for part, ratio in browser.run(CONTRAST) if ratio < 4.5]  # WCAG 2, level AA
    assert weak == []


def test_charts_have_a_light_frame_in_the_dark(browser: Chromium, page: Path) -> None:
    framed = []
    for scheme in ("light", "dark"):
        browser.open(page, DESK, scheme)
        framed.append(browser.run("parseFloat(getComputedStyle(document.querySelector('p > img')).padding) > 0"))
    assert framed == [False, True]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_navigation_opens_a_section_and_scrolls_to_it(browser: Chromium, page: Path, width: int) -> None:
    browser.open(page, width)
    assert browser.run("document.querySelector('#music').open") is False
    if width == PHONE:
        assert browser.run("document.querySelector('#menu').offsetHeight") == 0
        browser.click("nav button")
    browser.click('nav a[href="#music"]')
    browser.wait("document.querySelector('#music').open")
    browser.wait("Math.abs(document.querySelector('#music').getBoundingClientRect().top) < 100")
    assert browser.run("document.querySelector('nav a[aria-current]').hash") == "#music"
    if width == PHONE:
        assert browser.run("document.querySelector('#menu').offsetHeight") == 0


def test_a_link_opens_the_section_again_after_it_was_closed(browser: Chromium, page: Path) -> None:
    browser.open(page)
    for _ in range(2):
        browser.click('#overview a[href="#music--scores"]')
        browser.wait("document.querySelector('#music').open")
        browser.run("document.querySelector('#music').open = false")


def test_the_address_opens_what_it_names(browser: Chromium, page: Path) -> None:
    browser.open(page, fragment="#music--listen")
    browser.wait("document.querySelector('#music').open")
    assert browser.run("document.querySelector('#overview').open")
    top = browser.run("document.getElementById('music--listen').getBoundingClientRect().top")
    assert 0 <= top < 844  # at the end of the page it cannot come up to the window's top
    browser.open(page, fragment="#no-such-part")


def test_a_clip_plays_and_stops_the_one_before(browser: Chromium, page: Path) -> None:
    browser.open(page, fragment="#music--listen")
    browser.run("clips = [...document.querySelectorAll('audio')]; clips[0].play()")
    browser.wait("clips[0].currentTime > 0.2")
    browser.run("clips[1].play()")
    browser.wait("clips[1].currentTime > 0.2 && clips[0].paused")
    assert browser.run("clips.map(clip => clip.duration)") == pytest.approx([2.0, 2.0], abs=0.01)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_first_column_stays_in_sight_while_a_table_scrolls(browser: Chromium, page: Path, width: int) -> None:
    browser.open(page, width, fragment="#music--scores")
    browser.run("frame = document.querySelector('#music .scroller'); wide = frame.parentElement.classList")
    if width == DESK:
        browser.run("frame.style.width = '400px'")
    browser.wait("wide.contains('over') && wide.contains('more')")
    assert "more columns" in browser.run("getComputedStyle(frame.parentElement, '::before').content")
    browser.run("frame.scrollLeft = 1e6")
    browser.wait("frame.scrollLeft > 0 && !wide.contains('more')")
    left, edge = browser.run(
        "[frame.querySelector('td').getBoundingClientRect().left, frame.getBoundingClientRect().left]"
    )
    assert left == pytest.approx(edge, abs=1)
    assert browser.run("document.elementFromPoint(frame.getBoundingClientRect().left + 5,"
                       " frame.querySelector('td').getBoundingClientRect().top + 5).cellIndex") == 0  # fmt: skip


def test_tables_of_text_are_cards_on_a_phone(browser: Chromium, page: Path) -> None:
    browser.open(page, PHONE)
    inside = "[...document.querySelectorAll('.cards td')].every(c => c.getBoundingClientRect().right <= innerWidth)"
    assert browser.run(inside)
    label = "getComputedStyle(document.querySelector('.cards td:nth-child(2)'), '::before').content"
    assert browser.run(label) == '"what the records say"'
    browser.open(page, DESK)
    assert browser.run("getComputedStyle(document.querySelector('.cards td')).display") == "table-cell"


def test_tables_sort_with_mouse_and_keyboard(browser: Chromium, page: Path) -> None:
    browser.open(page, fragment="#music--scores")
    rows = "[...document.querySelectorAll('#music tbody tr')].map(row => row.cells[0].textContent || '+').join('')"
    assert browser.run(rows) == "ba+c"
    orders = []
    for column in (2, 2, 1):
        browser.click(f"#music th:nth-child({column}) button")
        orders.append(browser.run(rows))
    assert orders == ["a+bc", "ba+c", "a+bc"]
    browser.run("document.querySelector('#music th:nth-child(2) button').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r", windowsVirtualKeyCode=13)
    browser.wait("document.querySelector('#music th:nth-child(2)').ariaSort === 'ascending'")


def test_pictures_zoom_until_a_click_or_escape(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.click("p > img")
    assert (
        browser.run("document.querySelector('.zoom').open && document.querySelector('.zoom img').naturalWidth") == 800
    )
    browser.click(".zoom")
    assert browser.run("document.querySelector('.zoom').open") is False
    browser.run("document.querySelector('p > img').focus()")
    for key, code, opened in (("Enter", 13, True), ("Escape", 27, False)):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code)
        browser.wait(f"document.querySelector('.zoom').open === {str(opened).lower()}")


def test_focus_can_be_seen(browser: Chromium, page: Path) -> None:
    browser.open(page)
    for _ in range(3):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", windowsVirtualKeyCode=9)
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert browser.run("document.activeElement.matches('nav a')")


def test_paper_shows_everything(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details[open]').length") == 1
