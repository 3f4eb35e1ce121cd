"""A reader in headless Chromium: what hands and eyes do, and what the page holds."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from playwright.sync_api import JSHandle, Page, Response, sync_playwright

CHROMIUM = os.environ.get("MEMA_CHROMIUM", "/usr/bin/chromium")
SLOW_MS = 120_000
ACCEPT = "bottombar-accept-suggestions-button"
REJECT = "bottombar-reject-suggestions-button"
SUBMIT = "bottombar-submit-button"
AUTO_ANNOTATION = "bottombar-auto-annotation-toggle"
# The task on the screen, or "" as long as its picture, which Konva draws on, is not there.
SHOWN = """() => {
  const task = window.Htx?.task, picture = document.querySelector('.picture img');
  const drawn = document.querySelector('.picture .konvajs-content canvas');
  return task && picture?.naturalWidth && picture.complete && drawn && !Htx.isLoading
    ? JSON.parse(task.data).key : '';
}"""


@contextmanager
def chromium(width_px: int = 1280, height_px: int = 800) -> Iterator[Page]:
    """Open a window of a fresh profile; it may speak to loopback only."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width_px, "height": height_px})
        page.set_default_timeout(SLOW_MS)
        try:
            yield page
        finally:
            browser.close()


@dataclass
class Reader:
    """A reader before the screen."""

    page: Page
    url: str
    artefacts: Path
    strangers: list[str] = field(default_factory=list)  # requests to other hosts than the server
    clicks_seconds: list[float] = field(default_factory=list)
    opening_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.url, f"blob:{self.url}", "data:")):
            self.strangers.append(url)

    def log_in(self, email: str, password: str) -> None:
        self.page.goto(f"{self.url}/user/login/", wait_until="commit")
        self.page.fill("input[name=email]", email)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "login" not in url, wait_until="commit")

    def open_project(self, title: str) -> None:
        """Go from the list of projects to the first picture, and close the instructions."""
        self.page.goto(f"{self.url}/projects", wait_until="commit")
        self.page.get_by_text(title, exact=True).first.click()
        self.page.get_by_role("button", name="Label All Tasks").click()
        self.page.locator(".mema-help").wait_for()
        self.wait_for_task()
        self.screenshot("instructions")
        self.page.keyboard.press("Escape")
        self.page.locator(".mema-help").wait_for(state="hidden")

    def _until(self, expression: str, arg: object = None) -> JSHandle:
        """Wait until a JavaScript expression is true, looking 20 times a second: at each frame costs frames."""
        return self.page.wait_for_function(expression, arg=arg, polling=50)

    def wait_for_task(self, after: str = "") -> str:
        """Return the key of the task on the screen, once it is another than `after`."""
        found = self._until(
            f"(last) => {{ const key = ({SHOWN})(); return key && key !== last ? key : null }}", arg=after
        )
        return str(found.json_value())

    @property
    def key(self) -> str:
        return str(self.page.evaluate(SHOWN))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def submit(self) -> None:
        """Submit by hot key, and wait for the next picture; the time is kept."""
        key, start = self.key, time.perf_counter()
        self.press("Control+Enter")
        self.wait_for_task(after=key)
        self.opening_seconds.append(time.perf_counter() - start)

    def submit_in_vain(self, *, by_mouse: bool = False) -> str:
        """Try to submit, and return the words that refuse it; the picture stays."""
        key = self.key
        if by_mouse:
            self.page.get_by_test_id(SUBMIT).click()
        else:
            self.press("Control+Enter")
        refusal = self.page.locator("#mema-banner", has_text="Not submitted")
        refusal.wait_for()
        self.page.wait_for_timeout(1500)
        assert self.key == key
        return refusal.inner_text()

    def submit_last(self) -> None:
        self.press("Control+Enter")
        self.page.get_by_text("All tasks in the queue have been completed").wait_for()

    def switch_on_auto_annotation(self) -> None:
        toggle = self.page.get_by_test_id(AUTO_ANNOTATION)
        toggle.dispatch_event("click")
        self._until("Htx.autoAnnotation")

    def at(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return where on the screen the centre of an image's pixel lies."""
        picture = self.page.locator(".picture img")
        box = picture.bounding_box()
        assert box is not None
        width, height = picture.evaluate("img => [img.naturalWidth, img.naturalHeight]")
        return box["x"] + (x_px + 0.5) / width * box["width"], box["y"] + (y_px + 0.5) / height * box["height"]

    def click(self, x_px: float, y_px: float) -> None:
        self.page.mouse.click(*self.at(x_px, y_px))

    def ask(self, x_px: float, y_px: float) -> None:
        """Click with the smart tool, and wait until the mask is on the screen; the time is kept."""
        start = time.perf_counter()
        self.click(x_px, y_px)
        self.page.get_by_test_id(ACCEPT).wait_for()
        self._wait_for_mask("suggestions")
        self.clicks_seconds.append(time.perf_counter() - start)

    def ask_in_vain(self, x_px: float, y_px: float) -> Response:
        """Click with the smart tool while nobody answers; return what the server says."""
        with self.page.expect_response(lambda answer: "interactive-annotating" in answer.url) as waiting:
            self.click(x_px, y_px)
        self._until("!Htx.awaitingSuggestions")
        return waiting.value

    def draw_box(self, left_px: float, top_px: float, right_px: float, bottom_px: float) -> None:
        self.stroke((left_px, top_px), (right_px, bottom_px))
        self.page.get_by_test_id(ACCEPT).wait_for()
        self._wait_for_mask("suggestions")

    def take(self) -> None:
        """Take the proposed outline by key."""
        self.press("Enter")
        self.page.get_by_test_id(ACCEPT).wait_for(state="hidden")
        self._wait_for_mask("areas")

    def drop(self) -> None:
        """Drop it by key."""
        self.press("Escape")
        self.page.get_by_test_id(ACCEPT).wait_for(state="hidden")

    def accept(self) -> None:
        self.page.get_by_test_id(ACCEPT).click()
        self.page.get_by_test_id(ACCEPT).wait_for(state="hidden")
        self._wait_for_mask("areas")

    def reject_mask(self) -> None:
        self.page.get_by_test_id(REJECT).click()
        self.page.get_by_test_id(REJECT).wait_for(state="hidden")

    def _wait_for_mask(self, where: str) -> None:
        """Wait until a brush region is drawn: Label Studio caches its pixels after the first drawing."""
        self._until(
            f"[...Htx.annotationStore.selected.{where}.values()]"
            ".some(area => area.type === 'brushregion' && area.imageData)"
        )

    def stroke(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line between the centres of two pixels with the tool that is in the hand."""
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        mouse.down()
        mouse.move(*self.at(*end), steps=8)
        mouse.up()
        self._until("!Htx.annotationStore.selected.isDrawing")

    def select_mask(self, x_px: float, y_px: float) -> None:
        self.press("v")
        self.click(x_px, y_px)
        self._until("Htx.annotationStore.selected.selectedRegions.length === 1")

    def masks(self) -> list[np.ndarray]:
        """Return the brush regions that the page holds, as it would submit them now."""
        regions = self.page.evaluate(
            "Htx.annotationStore.selected.serializeAnnotation().filter(item => item.type === 'brushlabels')"
        )
        return [pixels(region) for region in regions]

    def screenshot(self, name: str) -> None:
        self.artefacts.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.artefacts / f"annotate_{name}.png")


def pixels(region: dict) -> np.ndarray:
    """Return a brush region's mask by the SDK's own decoder: half covered pixels and more belong to it."""
    rgba = decode_rle(region["value"]["rle"])
    return rgba.reshape(region["original_height"], region["original_width"], 4)[:, :, 3] >= 128
