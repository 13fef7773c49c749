"""The documentation's site in a real browser: on a desk and on a phone, in the light and in the dark."""

import functools
import http.server
import shutil
import threading

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the site's tools are not installed: pip install -r requirements-docs.txt"
)
# Below the line that skips: without the site's tools that module cannot be imported.
from tests.test_site import built  # noqa: E402, F401 (a fixture)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

PAGES = [
    "index.html",
    "quickstart.html",
    "command.html",
    "plugins.html",
    "theory.html",
    "quality.html",
    "performance.html",
    "reference/command.html",
    "reference/zoo_core.html",
    "reference/losses.html",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(built):  # noqa: F811
    """Where the built site is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        # The sandbox of Chromium refuses to run as root, which containers do; the pages are our own.
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")], ids="{0[0]}-{0[1]}".format)
def page(request, browser, address):
    """A page of that width and colour scheme; at the end nothing may have gone wrong or to another host."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, wrong, asked = context.new_page(), [], []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # What a page was still loading when the next one was opened is no failure.
    page.on("requestfailed", lambda failed: wrong.append(failed.url) if failed.failure != "net::ERR_ABORTED" else None)
    page.on("request", lambda sent: asked.append(sent.url))
    yield page
    context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def luminance(page, selector, attribute):
    """Relative luminance of a colour as the browser draws it: 0 is black, 1 white (WCAG 2)."""
    colour = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{attribute}")
    channels = [float(value) / 255 for value in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_pages_fit_their_width_and_can_be_read(page, address):
    for name in PAGES:
        page.goto(f"{address}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        body, text = luminance(page, "body", "backgroundColor"), luminance(page, ".md-typeset p", "color")
        assert (max(body, text) + 0.05) / (min(body, text) + 0.05) >= 4.5, name  # what WCAG asks of text


def test_the_colours_follow_the_system(page, address):
    page.goto(address + "/index.html")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (luminance(page, "body", "backgroundColor") < 0.2) == dark


def test_every_picture_is_drawn(page, address):
    for name in PAGES:
        page.goto(f"{address}/{name}")
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name


def test_formulas_have_a_size_and_scroll_by_themselves(page, address):
    page.goto(address + "/theory.html")
    boxes = page.evaluate(
        "[...document.querySelectorAll('.formula')].map(div => [div.clientWidth, div.querySelector('math').clientHeight,"
        " getComputedStyle(div).overflowX])"
    )
    assert boxes
    for width, height, overflow in boxes:
        assert width <= page.viewport_size["width"]
        assert height > 10
        assert overflow == "auto"


def test_the_search_finds_a_setting(page, address):
    page.goto(address + "/index.html")
    if page.viewport_size["width"] < 1000:
        page.locator("label[for=__search].md-header__button").click()
    page.locator("input.md-search__input").press_sequentially("r1_gamma")
    page.locator(".md-search-result__link").first.wait_for()
    links = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    assert any("command.html" in link for link in links)


def test_a_phone_has_the_navigation_behind_a_button(page, address):
    page.goto(address + "/index.html")
    link = page.locator(".md-nav--primary").get_by_role("link", name="Theory", exact=True)
    if page.viewport_size["width"] < 1000:
        page.locator("label[for=__drawer].md-header__button").click()
    link.click()
    page.wait_for_url("**/theory.html")
    assert page.locator("h1").inner_text().startswith("Theory")
