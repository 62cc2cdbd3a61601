"""What an administrator sees of an event, in a real browser."""

import re
import shutil

import pytest

from integrations.demo_brand import LOGIN
from tests.e2e.world import PASSWORD, Arrivals, Senders

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def page(world):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(base_url=world.door)
        page.set_default_timeout(20_000)
        yield page
        browser.close()


@pytest.fixture
def logged_in(page):
    page.goto("/admin/")
    page.get_by_label("Username").fill(LOGIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name=re.compile("log in", re.IGNORECASE)).click()
    return page


def test_an_event_can_be_followed_from_the_inbound_to_the_outbound_log(world, logged_in):
    page, faults = logged_in, []
    page.on("pageerror", lambda fault: faults.append(fault))  # playwright takes no built-in
    with Senders(world, "seen", 1):
        pass
    Arrivals(world, "seen").wait_for(1)

    page.get_by_role("link", name="Inbound log").first.click()
    page.locator("#result_list tbody tr", has_text="seen-0").locator("a").first.click()
    inbound = page.locator("#content").first.inner_text()
    page.get_by_role("link", name="Outbound log").first.click()
    page.locator("#result_list tbody tr", has_text="customer-0").locator("a").first.click()
    outbound = page.locator("#content").first.inner_text()

    assert "run seen" in inbound
    assert "https://api.segment.io/v1/batch" in outbound
    assert world.write_key not in inbound + outbound
    assert faults == []
