"""Makes docs/images/demo.png from a demo's report: ``python tools/make_images.py runs/demo/report.html``.

Needs playwright (in the extra ``dev``) and a Chromium on the PATH.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent.parent / "docs" / "images" / "demo.png"


def main(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1080, "height": 900}, device_scale_factor=1.5, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("body[data-ready=yes]")
        page.add_style_tag(content=".figures { grid-template-columns: 1fr 1fr; } .figure:nth-child(n+3) { display: none; }")
        page.evaluate("document.querySelectorAll('.figure').forEach(f => Plotly.Plots.resize(f))")
        page.wait_for_timeout(500)
        page.locator(".figures").first.screenshot(path=OUT)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
