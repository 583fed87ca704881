"""The viewer's pages in headless Chromium: readable in both themes, nothing asked elsewhere, nothing of a model's text run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.support.figure_texts import faults, hovered, overlaps, texts
from tests.support.view_runs import EVIL, evaluation, make_run, rollout, some_rollouts, study
from tests.support.view_server import go, served, watched
from tests.support.widget_page import _CONTRASTS
from tests.view.test_train_review import Training, reviews
from thinklab.run.lock import FolderLock

pytest.importorskip("starlette", reason="needs the extra view")
pytestmark = pytest.mark.browser

PAGES = {
    "#/": ".tl-runs tbody tr",
    "#/run/one/curves": ".tl-figures[data-drawn]",
    "#/run/one/rollouts": ".tl-rollouts tbody tr",
    "#/run/one/rollout/0-0": ".tl-run .teacher",
    "#/run/one/rollout/1-1": ".tl-group ins, .tl-said ins",
    "#/run/one/guidance": "[data-loaded] .tl-card",
    "#/run/one/probe": ".tl-answers tbody tr",
    "#/run/one/config": ".tl-config",
    "#/compare?a=one&b=two": ".tl-figures[data-drawn]",
    "#/grids": ".tl-list li",
    "#/grid/losses": ".tl-tint",
    "#/grid/grid": ".tl-tint",
    "#/review": ".tl-review-box, .tl-who",
}


@pytest.fixture
def root(tmp_path):
    evil = [rollout(9, 9, 0, "edited", text=f"{EVIL} 1", question=f"{EVIL}?", edited=f"{EVIL} edited", verdict=True)]
    make_run(tmp_path / "runs" / "one", [*some_rollouts(12), *evil])
    make_run(tmp_path / "runs" / "two", some_rollouts(2), method="luffy", name="other")
    study(tmp_path / "runs" / "losses")
    evaluation(tmp_path / "runs" / "grid")
    return tmp_path / "runs"


@pytest.mark.parametrize("width", [1400, 900])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_readable_fits_and_stays_on_this_machine(chromium, root, theme, width):
    with served(root) as url, watched(chromium, theme, width) as page:
        for address, shown in PAGES.items():
            go(page, url, address, shown)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            low = [(round(r, 2), what) for r, what in page.evaluate(_CONTRASTS.replace("#here", "#app")) if r < 4.5]
            assert not low, (address, low)
            drawn = page.locator(".tl-figure")
            if drawn.count():
                page.set_viewport_size({"width": width, "height": page.evaluate("document.documentElement.scrollHeight + 100")})
                page.wait_for_timeout(300)  # plotly fits its figures to the window
                found = texts(drawn)
                assert len(found) > 50 and faults(found) == [], (address, faults(found))
                told = hovered(drawn.first, drawn.first.locator(".points path").last)
                assert [t for t in told if t.ratio < 4.5] == [] and overlaps(told) == [], address
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert page.evaluate("window.evil") is None and page.evaluate("window.wrong") == [], address
            assert page.evaluate("document.querySelectorAll('#app script, #app img').length") == 0
        base = url.split("?")[0]
        assert len(page.asked) > 20 and [a for a in page.asked if not a.startswith((base, "data:"))] == []


def test_the_token_is_not_left_in_the_address_and_no_script_reads_it(chromium, root):
    with served(root) as url, watched(chromium) as page:
        page.goto(url)
        page.wait_for_selector(".tl-runs tbody tr")
        assert "token" not in page.url and page.evaluate("document.cookie") == ""
        assert url.split("=")[1] not in page.content()


def test_the_table_is_sorted_filtered_and_compared(chromium, root):
    with served(root) as url, watched(chromium) as page:
        go(page, url, "#/", ".tl-runs tbody tr")

        def names() -> list[str]:
            return page.locator(".tl-runs tbody tr").evaluate_all("rows => rows.map(r => r.dataset.run)")

        page.locator(".tl-runs thead button").first.click()
        assert names() == ["one", "two"] and page.locator("th[aria-sort=ascending]").inner_text().startswith("Run")
        page.locator(".tl-runs thead button").first.click()
        assert names() == ["two", "one"]
        page.get_by_label("method").select_option("luffy")
        assert names() == ["two"]
        page.get_by_label("method").select_option("")
        page.get_by_role("searchbox").fill("one")
        page.wait_for_function("() => document.querySelectorAll('.tl-runs tbody tr').length === 1")
        page.get_by_role("searchbox").fill("")
        page.wait_for_function("() => document.querySelectorAll('.tl-runs tbody tr').length === 2")
        page.get_by_label("compare one").check()
        page.get_by_label("compare two").check()
        page.get_by_role("button", name="Compare two runs").click()
        page.wait_for_selector(".tl-figures[data-drawn]")
        assert "loss.method" in page.locator(".tl-config").inner_text()


def test_a_run_is_followed_while_it_trains(chromium, root):
    run = make_run(root / "live", some_rollouts(1), steps=8)
    (run.path / "probe.json").unlink()
    with FolderLock(run.path), served(root) as url, watched(chromium) as page:
        go(page, url, "#/", "tr[data-run=live]")
        assert "running" in page.locator("tr[data-run=live]").inner_text()
        run.append("metrics", [{"step": 5, "own/accuracy": 1.0, "reward": 1.0}])
        page.wait_for_function("() => document.querySelector('tr[data-run=live]').innerText.includes('5 / 8')", timeout=8000)
        go(page, url, "#/run/live/rollouts", ".tl-rollouts tbody tr")
        run.append("rollouts", [rollout(3, 77)])
        run.append("metrics", [{"step": 6, "own/accuracy": 1.0, "reward": 1.0}])
        page.wait_for_selector("tr[data-id='77-3']", timeout=10000)


def test_rollouts_are_found_filtered_and_opened(chromium, root):
    with served(root) as url, watched(chromium) as page:
        go(page, url, "#/run/one/rollouts", ".tl-rollouts tbody tr")
        assert page.locator(".tl-rollouts tbody tr").count() == 50 and "of 97" in page.locator(".tl-pager").inner_text()
        page.get_by_role("button", name="Next").click()
        page.wait_for_function("() => document.querySelectorAll('.tl-rollouts tbody tr').length === 47")
        page.get_by_label("status").select_option("edited")
        page.wait_for_function("() => document.querySelector('.tl-pager').innerText.trim().endsWith('of 25')")
        page.get_by_label("verdict").select_option("incorrect")
        page.wait_for_function("() => document.querySelector('.tl-pager').innerText.trim().endsWith('of 24')")
        page.get_by_role("searchbox").fill("LOOK again 11.")
        page.wait_for_function("() => document.querySelector('.tl-pager').innerText.trim().endsWith('of 2')")
        assert "text=LOOK" in page.url and "status=edited" in page.url
        page.reload()  # the address holds what was asked for
        page.wait_for_function("() => document.querySelector('.tl-pager')?.innerText?.trim().endsWith('of 2')")
        page.locator(".tl-rollouts tbody tr").first.click()
        page.wait_for_selector(".tl-group")
        assert page.locator(".tl-group tbody tr").count() == 4 and page.locator(".tl-said del").count() >= 1
        page.get_by_text("next of the group").click()
        page.wait_for_function("() => location.hash.includes('11-6')")


def test_rollouts_by_behavior_and_reward_guidance_raw_and_edited_and_a_probe_with_its_intervals(chromium, root):
    make_run(root / "mixed", [rollout(k, 0, reward=k / 4, behavior="my-ending" if k % 2 else "self-check") for k in range(8)])
    with served(root) as url, watched(chromium) as page:
        go(page, url, "#/run/mixed/rollouts", ".tl-rollouts tbody tr")

        def found() -> list[str]:
            return page.locator(".tl-rollouts tbody tr").evaluate_all("rows => rows.map(r => r.dataset.id).sort()")

        def fits(number: int) -> None:
            page.wait_for_function("n => document.querySelector('.tl-pager').innerText.trim().endsWith(`of ${n}`)", arg=number)

        page.get_by_label("behavior").select_option("my-ending")
        fits(4)
        assert found() == ["0-1", "0-3", "0-5", "0-7"]
        for label, value, number in (("least reward", "0.7", 3), ("most reward", "1.3", 2)):
            page.get_by_label(label).fill(value)
            page.keyboard.press("Enter")
            fits(number)
        assert found() == ["0-3", "0-5"]

        go(page, url, "#/run/one/guidance?status=edited", "[data-loaded] .tl-card")
        card = page.locator(".tl-card").last
        assert "<phrase>" in card.locator(".tl-raw").inner_text()  # as the teacher said it
        after, before = card.locator(".tl-taught").inner_text(), "".join(card.locator(".tl-diff").evaluate(
            "d => [...d.childNodes].filter(n => n.nodeName !== 'INS').map(n => n.textContent)"
        ))  # fmt: skip
        assert after.startswith("I look again") and after != before and card.locator("del, ins").count()

        go(page, url, "#/run/one/probe", ".tl-rates tbody tr")
        line = page.locator(".tl-rates").first.locator("tr", has_text="self-check")
        assert "75.0" in line.inner_text() and "[30" in line.inner_text() and "95" in line.inner_text()
        assert "0" in line.inner_text() and line.locator("svg, .tl-interval, i").count() >= 2


def test_an_exported_folder_opens_from_disk_and_holds_no_token(chromium, root, tmp_path):
    from thinklab.view.export import export_folder

    index = export_folder(root, tmp_path / "share", 60)
    address = index.as_uri()
    with watched(chromium, "dark") as page:
        for place, shown in PAGES.items():
            if "review" in place or "rollout/" in place:
                continue
            page.goto(f"{address}{place}")
            page.reload()
            page.wait_for_selector(shown)
            assert page.evaluate("window.wrong") == [] and page.evaluate("window.evil") is None, place
        page.goto(f"{address}#/run/one/rollouts?status=edited")
        page.reload()
        page.wait_for_function("() => document.querySelector('.tl-pager')?.innerText?.trim().endsWith('of 16')")
        assert "newest 60 of 97" in page.locator(".tl-notice").inner_text()
        page.get_by_role("searchbox").fill("look again 7")
        page.wait_for_function("() => document.querySelector('.tl-pager').innerText.trim().endsWith('of 2')")
        page.locator(".tl-rollouts tbody tr").first.click()
        page.wait_for_selector(".tl-group")
        assert not [a for a in page.asked if not a.startswith(("file:", "data:"))]


def test_an_export_replaces_an_export_and_nothing_else(root, tmp_path):
    from thinklab.errors import ConfigError, RunError
    from thinklab.view.export import export_folder

    export_folder(root, tmp_path / "share", 5)
    (root / "one" / "review.json").write_text('{"url": "http://127.0.0.1:1/?token=hidden"}')
    with FolderLock(root / "one"):
        export_folder(root, tmp_path / "share", 5)
    assert not any(b"token=hidden" in f.read_bytes() for f in (tmp_path / "share").rglob("*") if f.is_file())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="not empty"):
        export_folder(root, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    with pytest.raises(RunError, match="contains no run"):
        export_folder(tmp_path / "mine", tmp_path / "other")


def test_what_a_killed_export_has_left_goes_with_the_next_one_and_nothing_else(root, tmp_path):
    """Killed by the system, so that no ``finally`` runs; what another export is writing, and what others own, stays."""
    from thinklab.view.export import export_folder

    folder = tmp_path / "out"
    killed = "import os; from pathlib import Path; from thinklab.view.export import export_folder as e; "
    killed += f"e(Path({str(root)!r}), Path({str(folder / 'share')!r}), 5, lambda text: os.kill(os.getpid(), 9))"
    assert subprocess.run([sys.executable, "-c", killed], cwd=ROOT).returncode == -9
    (left,) = folder.iterdir()
    assert re.fullmatch(r"share\.[0-9a-f]{8}\.part", left.name) and (left / "data").is_dir()
    left.with_suffix(".old").mkdir()
    kept = ["share.0123abcd.part", "share.4567abcd.part", "share.x.part", "other.0123abcd.part"]
    for name in kept:
        (folder / name).mkdir()
    for name in kept[2:]:
        (folder / name / "run.lock").touch()
    with FolderLock(folder / kept[0]):  # another export at work; the second is about to be put in place
        export_folder(root, folder / "share", 5)
    assert sorted(p.name for p in folder.iterdir()) == sorted(["share", *kept])
    assert not list((folder / "share").rglob("run.lock"))


def test_exports_at_the_same_time_into_one_folder_leave_one_whole_export(root, tmp_path):
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from thinklab.view.export import export_folder

    together, out = Barrier(4), tmp_path / "out" / "share"
    out.parent.mkdir()

    def export(_):
        for _ in range(3):
            together.wait()
            export_folder(root, out, 5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(export, range(4)))
    assert [p.name for p in out.parent.iterdir()] == ["share"]
    store = (out / "assets" / "store.js").read_text()
    numbers = json.loads(store.rpartition("thinklabExport.index = ")[2].rstrip().rstrip(";")).values()
    assert len(numbers) > 10 and {p.name for p in (out / "data").iterdir()} == {f"{n}.js" for n in numbers}


# ---- a batch of a training that really runs, reviewed by two people


def name(page, who: str) -> None:
    page.wait_for_selector(".tl-who")
    page.get_by_label("your name").fill(who)
    page.keyboard.press("Enter")
    page.wait_for_selector(".tl-review")


def settled(page) -> None:
    page.wait_for_function("() => document.querySelector('.tl-saved').textContent === 'all saved'")


@pytest.mark.slow
def test_two_people_review_a_batch_of_a_running_training_in_the_browser(chromium, tmp_path):
    t = Training(tmp_path, "review.grace_s=1")
    try:
        url = t.url()
        with watched(chromium) as ann, watched(chromium, "dark") as bob:
            ann.goto(url)
            name(ann, "Ann")
            bob.goto(url)
            name(bob, "Bob")
            ids = [i["id"] for i in ann.evaluate("fetch('/api/review').then(r => r.json())")["items"]]
            ann.keyboard.press("a")  # the pane has the keys at once
            settled(ann)
            bob.wait_for_function("() => document.querySelector('.tl-review .tl-progress').textContent.startsWith('1 of 4')")
            bob.wait_for_function(
                "() => document.querySelector('.tl-chip').textContent === 'accepted by Ann'"
            )  # he looks at the same one
            bob.keyboard.press("j")
            bob.keyboard.press("e")
            bob.keyboard.press("Home")
            bob.keyboard.type("Well. ")
            bob.keyboard.press("Control+Enter")
            settled(bob)
            ann.wait_for_function("() => document.querySelector('.tl-review .tl-progress').textContent.startsWith('2 of 4')")
            people = ann.locator(".tl-people").inner_text()
            assert "Ann" in people and "Bob" in people
            for page in (ann, bob):
                low = [(round(r, 2), w) for r, w in page.evaluate(_CONTRASTS.replace("#here", "#app")) if r < 4.5]
                assert not low, low
            bob.keyboard.press("x")
            settled(bob)
            bob.keyboard.press("Backspace")  # his own last decision
            settled(bob)
            ann.wait_for_function("() => document.querySelector('.tl-review .tl-progress').textContent.startsWith('2 of 4')")
            ann.get_by_role("button", name="Train on this batch").click()
            assert "2 are undecided" in ann.locator(".tl-confirm").inner_text()
            ann.get_by_role("button", name="Continue").click()
            ann.wait_for_function("() => document.querySelector('h1').textContent.includes('step 1')", timeout=60000)
            bob.wait_for_function("() => document.querySelector('h1').textContent.includes('step 1')", timeout=60000)
            bob.wait_for_selector(".tl-review")
            assert ann.evaluate("window.wrong") == [] == bob.evaluate("window.wrong")
            lines = [(r["who"], r["action"], r["rollout"]) for r in reviews(t.run) if r["action"] != "draft"]
            assert lines[:4] == [
                ("Ann", "accept", ids[0]),
                ("Bob", "edit", ids[1]),
                ("Bob", "reject", ids[2]),
                ("Bob", "undo", ids[2]),
            ]
            assert {w for w, _, _ in lines[4:]} == {"auto: accept_if_detected"} and len(lines) == 6
            used = {r["id"]: r for r in t.run.read("rollouts")}
            assert used[ids[1]]["guidance"]["edited"].startswith("Well. ") and "Well. " in used[ids[1]]["text"]
            t.process.kill()
            ann.wait_for_selector(".tl-banner:visible", timeout=10000)
            assert "on disk" in ann.locator(".tl-banner").inner_text()
            assert "does not respond" in ann.locator(".tl-banner").inner_text()
            assert ann.locator(".tl-review button:enabled:not(.tl-copy)").count() == 0
    finally:
        t.process.kill()
        t.process.communicate()


@pytest.mark.slow
def test_the_viewer_of_a_folder_links_to_the_training_that_waits(chromium, tmp_path):
    t = Training(tmp_path)
    try:
        t.url()
        with served(tmp_path) as url, watched(chromium) as page:
            go(page, url, "#/", "tr[data-run=run]")
            page.wait_for_selector("tr[data-run=run] >> text=in review")
            page.get_by_text("open review").click()
            page.wait_for_selector(".tl-who")
            assert "token" not in page.url and not page.url.startswith(url.split("?")[0])
    finally:
        t.process.kill()
        t.process.communicate()


def test_ten_thousand_rollouts_page_quickly_in_the_browser(chromium, root):
    run = make_run(root / "large", [])
    line = json.dumps(rollout(0, 0, 0, "accepted"))
    with open(run.path / "rollouts.jsonl", "w") as out:
        for k in range(10_000):
            out.write(line.replace('"id": "0-0"', f'"id": "{k}-0"').replace('"generation": 0', f'"generation": {k}') + "\n")
    with served(root) as url, watched(chromium) as page:
        go(page, url, "#/run/large/rollouts", ".tl-tab[data-complete=true]")
        times = []
        for k in range(5):
            begin = time.perf_counter()
            page.get_by_role("button", name="Next").click()
            page.wait_for_function("n => document.querySelector('.tl-pager').innerText.includes(`${n} to`)", arg=50 * (k + 1) + 1)
            times.append(time.perf_counter() - begin)
        assert sorted(times)[2] < 1.0, times  # benchmarks/view_pages.py measures; this only notices that paging broke
