"""GraphiQL is made of our own files and works in a real browser with no other host in reach."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from graphql import parse, validate
from playwright.sync_api import Browser, Page, expect, sync_playwright

from schema import schema

CHROMIUM = Path("/usr/bin/chromium")
GRAPHIQL = Path(__file__).parents[2] / "server" / "graphiql"
OURS = ("index.html", "page.js", "style.css", "default.graphql")
STEPS = ["Free", "People", "Hold", "Confirm", "Booked"]
WATCH_POLICY = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""


class Server(Protocol):
    @property
    def url(self) -> str: ...


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


@pytest.fixture
def browser() -> Iterator[Browser]:
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


def test_a_browser_runs_a_default_operation_and_asks_no_other_host(browser: Browser, server: Server) -> None:
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


def test_a_browser_keeps_what_was_written(browser: Browser, server: Server) -> None:
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


def test_a_browser_without_javascript_is_told_what_to_do(browser: Browser, server: Server) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()

    page.goto(f"{server.url}/graphql")

    expect(page.locator("noscript p")).to_be_in_viewport()
