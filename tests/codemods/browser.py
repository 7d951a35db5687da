"""A headless Chromium driven over its own pipe: no driver, no port, no package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page:
    """One page.  `run` evaluates JavaScript in it, `press` and `click` are a person's."""

    def __init__(self, requests: int, answers: int, folder: Path) -> None:
        self._requests, self._answers = requests, answers
        self._folder = folder
        self._rest = b""
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        self.requests: list[str] = []

    def open(self, path: Path, *, dark: bool = False, size: tuple[int, int] = (1280, 900)) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **metrics)
        self._ask("Page.navigate", url=path.as_uri())
        while self.run("document.readyState") != "complete":
            pass

    def run(self, script: str) -> object:
        """The value of a JavaScript expression."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        for key in keys:
            code = codes.get(key, ord(key[0].upper()) if key.isalnum() else 0)
            event = {"key": key, "windowsVirtualKeyCode": code}
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            self._ask("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
            self._ask("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, selector: str) -> None:
        """The middle of an element, scrolled into view, with the mouse."""
        quoted = json.dumps(selector)
        self.run(f"document.querySelector({quoted}).scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({quoted}).getBoundingClientRect())"
        )
        assert isinstance(box, list)
        for kind in ("mousePressed", "mouseReleased"):
            self._ask(
                "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                clickCount=1,
            )  # fmt: skip

    def screenshot(self, name: str, *, whole: bool = False) -> Path:
        picture = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path = self._folder / name
        path.write_bytes(base64.b64decode(picture))
        return path

    def _ask(self, method: str, **parameters: object) -> dict:
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._requests, json.dumps(request).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 20)
            assert piece, "the browser went away"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A page in a browser that ends with the block.  folder: for its profile and screenshots."""
    assert EXECUTABLE is not None
    (for_browser, requests), (answers, from_browser) = os.pipe(), os.pipe()

    def as_three_and_four() -> None:
        # Out of the way first: either end may have one of the two numbers.
        first, second = os.dup(for_browser), os.dup(from_browser)
        high, higher = os.dup2(first, 103), os.dup2(second, 104)
        os.dup2(high, 3)
        os.dup2(higher, 4)

    process = subprocess.Popen(
        [
            EXECUTABLE,
            "--headless=new",
            "--no-sandbox",  # the tests may run as root
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder / 'profile'}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=as_three_and_four,
    )
    os.close(for_browser)
    os.close(from_browser)
    try:
        yield Page(requests, answers, folder)
    finally:
        process.kill()
        process.wait()
        os.close(requests)
        os.close(answers)
