"""GraphiQL is made of our own files and works in a real browser with no other host in reach."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from graphql import Lexer, OperationDefinitionNode, Source, TokenKind, parse, validate
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from models.business import DEFAULT_BUSINESS
from schema import schema
from tests.conftest import Running, fresh_database, running
from tests.listening import relaying

Sql = Callable[..., list[tuple[Any, ...]]]

CHROMIUM = Path("/usr/bin/chromium")
GRAPHIQL = Path(__file__).parents[2] / "server" / "graphiql"
OURS = ("index.html", "page.js", "style.css", "default.graphql")
STEPS = ["Free", "People", "Hold", "Confirm", "Booked"]
MANAGER = "secret-of-a-manager"
PUBLISH = """WITH ada AS (INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING id)
INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT %s, id, '2027-05-03 07:00Z'::timestamptz + %s * interval '00:15:00',
       '2027-05-03 07:15Z'::timestamptz + %s * interval '00:15:00' FROM ada"""
WATCH_POLICY = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""


class Witness:
    """What a page asked for and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.add_init_script(WATCH_POLICY)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"{request.failure} {request.url}"))
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )


class Stage:
    """A page in a mode, whose server knows one token; everything else is asked of the real server, without the token."""

    def __init__(self, page: Page, url: str, mode: str = "development") -> None:
        self.page = page
        self.mode = mode
        self.known = {MANAGER: ("key:reception", "MANAGER")}
        self.sent: list[tuple[str, str | None]] = []
        page.route(f"{url}/graphql", self.answer)
        page.goto(f"{url}/graphql")
        expect(page.locator(".graphiql-query-editor .CodeMirror-code")).to_contain_text("query Free")
        expect(self.viewer).to_have_text("anonymous as ADMIN")

    @property
    def token(self) -> Locator:
        return self.page.get_by_label("Token", exact=True)

    @property
    def viewer(self) -> Locator:
        return self.page.locator("#viewer")

    def answer(self, route: Route) -> None:
        if route.request.method == "GET":
            answer = route.fetch()
            html = re.sub(r"<html [^>]*>", f'<html lang="en" data-mode="{self.mode}">', answer.text())
            route.fulfill(response=answer, body=html)
            return
        question = json.loads(route.request.post_data or "")
        given = route.request.header_value("authorization")
        asks_who = "principal" in question["query"]
        self.sent.append(("who" if asks_who else question.get("operationName"), given))
        named = ("anonymous", "ADMIN") if given is None else self.known.get(given.removeprefix("Bearer "))
        if named is None:
            route.fulfill(status=401, json={"errors": [{"message": "The token is not valid."}]})
        elif asks_who:
            route.fulfill(json={"data": {"viewer": dict(zip(("principal", "role"), named, strict=True))}})
        else:
            route.continue_(headers={k: v for k, v in route.request.headers.items() if k != "authorization"})

    def stored(self, name: str) -> str:
        return str(self.page.evaluate(f"JSON.stringify({name})"))

    def headers(self, text: str) -> None:
        self.page.get_by_role("button", name="Headers").click()
        self.page.locator(".graphiql-editor-tool .CodeMirror:visible").click()
        self.page.keyboard.insert_text(text)

    def run(self, operation: str) -> None:
        self.page.get_by_role("button", name="Execute query").click()
        self.page.get_by_role("menuitem", name=operation).click()
        expect(self.page.locator(".graphiql-response .CodeMirror-code")).to_contain_text("{")


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url:
        yield url


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of this file."""
    with running(tmp_path_factory.mktemp("server") / "server.log", DATABASE_URL=database) as process:
        yield process


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser, in which every page that is opened has cookies and storage of its own."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing; Debian's package chromium brings it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_every_vendored_file_is_the_one_we_checked() -> None:
    vendor = GRAPHIQL / "vendor"
    lines = (vendor / "SHA256SUMS").read_text().splitlines()

    kept = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir()}
    del kept["SHA256SUMS"]

    assert kept == {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_the_page_refers_only_to_files_that_exist() -> None:
    linked = re.findall(r"(?:src|href)=\"([^\"]+)\"", (GRAPHIQL / "index.html").read_text())
    fetched = re.findall(r"\"(/graphiql/[^\"]+)\"", (GRAPHIQL / "page.js").read_text())

    files = [address.removeprefix("/graphiql/") for address in (*linked, *fetched) if address != "data:,"]

    assert "page.js" in files
    assert "default.graphql" in files
    assert [name for name in files if not (GRAPHIQL / name).is_file()] == []


@pytest.mark.parametrize("name", OURS)
def test_our_files_name_no_host(name: str) -> None:
    text = (GRAPHIQL / name).read_text()

    assert re.findall(r"(?:\w+:)?//[\w.-]+", text) == []


@pytest.mark.parametrize("name", ["graphiql.min.css", "plugin-explorer.css"])
def test_vendored_styles_load_nothing(name: str) -> None:
    text = (GRAPHIQL / "vendor" / name).read_text()

    assert "@import" not in text
    assert [address for address in re.findall(r"url\(\W*(\w+:|[^)]{1,40})", text) if address != "data:"] == []


def test_the_page_has_no_inline_script() -> None:
    html = (GRAPHIQL / "index.html").read_text()

    scripts = re.findall(r"<script\b[^>]*>(.*?)</script>", html, re.DOTALL)

    assert set(scripts) == {""}
    assert re.findall(r"\son\w+=", html) == []


def test_the_default_operations_are_valid() -> None:
    document = parse((GRAPHIQL / "default.graphql").read_text())

    errors = validate(schema._schema, document)

    assert [error.message for error in errors] == []


def test_the_default_operations_are_within_the_limits_of_a_document() -> None:
    text = (GRAPHIQL / "default.graphql").read_text()

    lexer, tokens = Lexer(Source(text)), 0
    while lexer.advance().kind is not TokenKind.EOF:
        tokens += 1
    operations = [part for part in parse(text).definitions if isinstance(part, OperationDefinitionNode)]

    assert [operation.name and operation.name.value for operation in operations] == STEPS
    assert len(operations) < 10
    assert 0 < tokens < 2_000
    assert len(text.encode()) < 20_000


def test_a_browser_runs_a_default_operation_and_asks_no_other_host(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    witness = Witness(page)

    answer = page.goto(f"{server.url}/graphql")
    expect(page.locator(".graphiql-query-editor .CodeMirror-code")).to_contain_text("query Free")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.get_by_role("link", name="Query", exact=True)).to_be_visible()
    page.get_by_role("button", name="Execute query").click()
    expect(page.get_by_role("menuitem")).to_have_text(STEPS)
    page.get_by_role("menuitem", name="Free").click()
    result = page.locator(".graphiql-response .CodeMirror-code")
    expect(result).to_contain_text("availableAppointments")
    page.get_by_role("button", name="Show GraphiQL Explorer").click()
    expect(page.locator("#query-Free")).to_be_visible()

    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe-eval" not in answer.headers["content-security-policy"]
    assert page.title() == "Holdfast"
    expect(result).to_contain_text("totalCount")
    expect(result).not_to_contain_text("errors")
    assert witness.hosts == {urlsplit(server.url).netloc}
    assert witness.complaints == []
    assert page.evaluate("window.violations") == []


def test_a_browser_listens_to_a_subscription(browser: Browser, server: Running, database: str, sql: Sql) -> None:
    page = browser.new_page()
    witness = Witness(page)
    page.goto(f"{server.url}/graphql")
    editor = page.locator(".graphiql-query-editor .CodeMirror-code")
    expect(editor).to_contain_text("query Free")
    page.locator(".graphiql-query-editor .CodeMirror").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text("subscription { availabilityChanged { reason } }")
    expect(page.locator("#viewer")).to_have_text("anonymous as ADMIN")
    page.wait_for_timeout(1500)  # until GraphiQL has understood what was written

    with relaying(database):
        with page.expect_websocket():
            page.get_by_role("button", name="Execute query").click()
        response = page.locator(".graphiql-response .CodeMirror-code")
        for n in range(40):  # until it is heard: nothing tells that a subscription has begun
            sql(PUBLISH, DEFAULT_BUSINESS, DEFAULT_BUSINESS, n, n)
            page.wait_for_timeout(250)
            if "PUBLISHED" in response.inner_text():
                break

    expect(response).to_contain_text("PUBLISHED")
    assert witness.hosts == {urlsplit(server.url).netloc}
    assert witness.complaints == []
    assert page.evaluate("violations") == []


def test_a_browser_keeps_what_was_written(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/graphql")
    expect(page.locator(".graphiql-query-editor .CodeMirror-code")).to_contain_text("query Free")

    page.get_by_role("button", name="Add tab").click()
    page.locator(".graphiql-query-editor .CodeMirror").click()
    page.keyboard.insert_text("query Mine { __typename }")
    expect(page.get_by_role("tab", name="Mine")).to_be_visible()
    for _ in range(100):  # wait_for_function would need eval, which the policy refuses
        if "query Mine" in page.evaluate("localStorage['holdfast:graphiql:tabState'] ?? ''"):
            break
        page.wait_for_timeout(50)
    page.reload()

    expect(page.get_by_role("tab", name="Mine")).to_be_visible()
    expect(page.locator(".graphiql-query-editor .CodeMirror-code")).to_contain_text("query Mine")


def test_a_browser_without_javascript_is_told_what_to_do(browser: Browser, server: Running) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()

    page.goto(f"{server.url}/graphql")

    expect(page.locator("noscript p")).to_be_in_viewport()


def test_the_bar_says_who_one_is(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    witness = Witness(page)

    page.goto(f"{server.url}/graphql")

    viewer = page.locator("#viewer")
    expect(viewer).not_to_have_attribute("data-state", "asking")
    expect(viewer).not_to_have_text("")
    expect(viewer).not_to_contain_text("undefined")
    assert witness.complaints == []


def test_a_token_goes_with_every_request(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    witness = Witness(page)
    stage = Stage(page, server.url)
    before = list(stage.sent)

    stage.token.press_sequentially(MANAGER)
    typed = list(stage.sent)
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("key:reception as MANAGER")
    stage.run("Free")
    stage.token.blur()

    assert set(before) == {("who", None), ("IntrospectionQuery", None)}
    assert typed == before
    bearer = f"Bearer {MANAGER}"
    after = stage.sent[len(before) :]
    assert sorted(after) == [("Free", bearer), ("IntrospectionQuery", bearer), ("who", bearer)]
    assert witness.hosts == {urlsplit(server.url).netloc}
    assert witness.complaints == []
    assert page.evaluate("window.violations") == []


def test_the_schema_is_fetched_again_for_another_token(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)
    stage.known["of-somebody-else"] = ("key:somebody", "CLIENT")

    for token in (MANAGER, "of-somebody-else", ""):
        with stage.page.expect_response(lambda answer: "IntrospectionQuery" in (answer.request.post_data or "")):
            stage.token.fill(token)
            stage.token.blur()

    expect(stage.viewer).to_have_text("anonymous as ADMIN")
    schemas = [given for asked, given in stage.sent if asked == "IntrospectionQuery"]
    assert schemas[-3:] == [f"Bearer {MANAGER}", "Bearer of-somebody-else", None]


@pytest.mark.parametrize("pasted", [f"  {MANAGER} ", f"Bearer {MANAGER}", f"Authorization: bearer  {MANAGER}\n"])
def test_a_token_may_be_pasted_with_what_stands_around_it(browser: Browser, server: Running, pasted: str) -> None:
    stage = Stage(browser.new_page(), server.url)

    stage.token.fill(pasted)
    stage.token.press("Enter")

    expect(stage.viewer).to_have_text("key:reception as MANAGER")
    expect(stage.token).to_have_value(MANAGER)


def test_a_token_is_forgotten_with_its_tab(browser: Browser, server: Running) -> None:
    context = browser.new_context()
    stage = Stage(context.new_page(), server.url)
    stage.token.fill(MANAGER)
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("key:reception as MANAGER")
    stage.run("Free")
    stage.page.wait_for_timeout(1_000)  # GraphiQL writes its tabs half a second late

    stage.page.reload()
    expect(stage.viewer).to_have_text("key:reception as MANAGER")

    assert MANAGER in stage.stored("sessionStorage")
    assert "query Free" in stage.stored("localStorage")
    assert MANAGER not in stage.stored("localStorage")
    other = Stage(context.new_page(), server.url)
    expect(other.token).to_have_value("")
    stage.token.fill("")
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("anonymous as ADMIN")
    assert MANAGER not in stage.stored("sessionStorage")


def test_the_editor_of_headers_has_the_last_word_and_is_not_kept(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)
    stage.known["of-somebody-else"] = ("key:somebody", "CLIENT")
    stage.token.fill(MANAGER)
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("key:reception as MANAGER")

    stage.headers('{"authorization": "Bearer of-somebody-else", "X-Mine": "1"}')
    stage.run("Free")
    stage.page.wait_for_timeout(1_000)  # GraphiQL writes its tabs half a second late

    assert stage.sent[-1] == ("Free", "Bearer of-somebody-else")
    assert "query Free" in stage.stored("localStorage")
    assert "of-somebody-else" not in stage.stored("localStorage")
    stage.page.get_by_role("button", name="Open settings dialog").click()
    expect(stage.page.get_by_text("Theme", exact=True)).to_be_visible()
    expect(stage.page.get_by_text("Persist headers")).to_have_count(0)


def test_a_refused_token_is_told(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    witness = Witness(page)
    stage = Stage(page, server.url)

    stage.token.fill("of-nobody")
    stage.token.press("Enter")

    expect(stage.viewer).to_have_text("The token is not valid.")
    expect(stage.viewer).to_have_attribute("data-state", "refused")
    # The browser itself notes each answer of 401.
    assert [text for text in witness.complaints if "status of 401" not in text] == []


@pytest.mark.parametrize("broken", ["two words", "nul\0", "bell\a", "dash\u2013", "zero\u200bwidth", "\U0001f511"])
def test_a_token_that_no_header_carries_is_told_and_not_sent(browser: Browser, server: Running, broken: str) -> None:
    page = browser.new_page()
    witness = Witness(page)
    stage = Stage(page, server.url)
    stage.token.fill(MANAGER)
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("key:reception as MANAGER")

    stage.token.fill(broken)
    stage.token.press("Enter")
    expect(stage.viewer).to_contain_text("None is sent.")
    stage.run("Free")

    expect(stage.token).to_have_attribute("aria-invalid", "true")
    assert stage.sent[-1] == ("Free", None)
    assert stage.page.evaluate("sessionStorage.length") == 0
    assert witness.complaints == []


def test_an_unreachable_server_is_told(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)
    stage.page.route(f"{server.url}/graphql", lambda route: route.abort())

    stage.token.press("Enter")

    expect(stage.viewer).to_have_text("The server is out of reach.")


def test_an_answer_that_is_not_json_is_told(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)
    stage.page.route(f"{server.url}/graphql", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))

    stage.token.press("Enter")

    expect(stage.viewer).to_have_text("The server answered with status 502.")


def test_a_late_answer_does_not_name_the_token_before(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)
    held: list[Route] = []

    def hold(route: Route) -> None:
        is_late = route.request.headers.get("authorization") == "Bearer late"
        held.append(route) if is_late and "principal" in (route.request.post_data or "") else route.fallback()

    stage.known["late"] = ("key:late", "CLIENT")
    stage.page.route(f"{server.url}/graphql", hold)
    stage.token.fill("late")
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("Asking who you are …")
    stage.token.fill(MANAGER)
    stage.token.press("Enter")
    expect(stage.viewer).to_have_text("key:reception as MANAGER")

    with stage.page.expect_response(lambda answer: answer.request.headers.get("authorization") == "Bearer late"):
        held[0].fulfill(json={"data": {"viewer": {"principal": "key:late", "role": "CLIENT"}}})
    stage.page.wait_for_timeout(100)

    expect(stage.viewer).to_have_text("key:reception as MANAGER")


def test_the_keyboard_shows_and_hides_the_token(browser: Browser, server: Running) -> None:
    stage = Stage(browser.new_page(), server.url)

    expect(stage.token).to_have_attribute("type", "password")
    expect(stage.token).to_have_attribute("autocomplete", "off")
    expect(stage.token).to_have_attribute("spellcheck", "false")
    stage.token.focus()
    stage.page.keyboard.press("Tab")
    show = stage.page.get_by_role("button", name="Show token")
    expect(show).to_be_focused()
    assert show.evaluate("(button) => getComputedStyle(button).outlineWidth") == "2px"
    stage.page.keyboard.press("Space")
    expect(stage.token).to_have_attribute("type", "text")
    stage.page.get_by_role("button", name="Hide token").press("Enter")

    expect(stage.token).to_have_attribute("type", "password")


def test_the_mode_of_development_is_told_and_that_of_production_is_not(browser: Browser, server: Running) -> None:
    development = Stage(browser.new_page(), server.url, "development").page
    production = Stage(browser.new_page(), server.url, "production").page

    warning = "Development: whoever is not named acts as ADMIN of the default business."
    expect(development.get_by_role("status").filter(has_text=warning)).to_be_visible()
    expect(production.locator("#bar")).to_be_visible()
    expect(production.get_by_text(warning)).to_be_hidden()


def test_a_page_that_names_no_mode_is_one_of_production(browser: Browser, server: Running) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/graphql")

    page.evaluate("delete document.documentElement.dataset.mode")

    expect(page.locator("#bar")).to_be_visible()
    expect(page.locator("#mode")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_bar_fits_its_window(browser: Browser, server: Running, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 700})
    stage = Stage(page, server.url)
    stage.known[MANAGER] = (f"oidc:{'a-long-name-' * 8}", "MANAGER")
    stage.token.fill(MANAGER)
    stage.token.press("Enter")
    expect(stage.viewer).to_contain_text("MANAGER")

    parts = [page.locator(name).bounding_box() for name in ("#mode", "#token", "#reveal", "#viewer", "#graphiql")]

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") == 700
    for part in parts:
        assert part is not None
        assert part["x"] >= 0
        assert part["x"] + part["width"] <= width
    last = parts[-1]
    assert last is not None
    assert last["height"] > 500
