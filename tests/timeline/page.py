#!/usr/bin/python3
"""Opens HTML reports in headless Chromium and looks at them: page.py DIRECTORY, as tests/timeline/run fills it.

Each check is a line "ok - ..." or "not ok - ..."; what is looked at is what a reader sees: pixels, the card
beside a bar, the tables.
"""
import json
import os
import re
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --force-device-scale-factor=1
    --window-size=1400,1000"""
directory = os.path.abspath(sys.argv[1])


def check(sentence, holds, detail=""):
    print(("ok" if holds else "not ok") + f" - timeline: {sentence}", flush=True)
    if not holds:
        print(f"    # {detail}", flush=True)


def equal(sentence, wanted, came):
    check(sentence, wanted == came, f"expected {wanted}, came {came}")


class Page:
    def __init__(self):
        options = Options()
        for flag in FLAGS.split():
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.execute_cdp_cmd("Network.enable", {})

    def open(self, name):
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(f"file://{directory}/{name}.html")
        self.drawn()

    def drawn(self):
        """Waits for two frames, so that what was asked for is on the canvas."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def facts(self):
        return self.js("return Object.assign({}, document.getElementById('stage').dataset)")

    def span(self):
        facts = self.facts()
        return float(facts["end"]) - float(facts["begin"])

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def card(self):
        return self.js("const card = document.getElementById('card'); return card.hidden ? '' : card.innerText")

    def mouse(self, kind, x, y, **more):
        """A real event of the browser's, at a place of the canvas."""
        box = self.js("const box = document.querySelector('canvas').getBoundingClientRect(); return [box.left, box.top]")
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": box[0] + x, "y": box[1] + y, **more})
        self.drawn()

    def pixels(self, colour, where="0, 0, canvas.width, canvas.height", near=0):
        """How many pixels of the canvas have that colour ("rgb(1 2 3)" or "#rrggbb"), each part give or take `near`."""
        return self.js("""
            const near = arguments[1], canvas = document.querySelector('canvas'), digits = arguments[0].startsWith('#')
                ? [1, 3, 5].map(at => parseInt(arguments[0].slice(at, at + 2), 16)) : arguments[0].match(/\\d+/g).map(Number);
            const { data } = canvas.getContext('2d').getImageData(%s);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                count += digits.every((digit, part) => Math.abs(data[i + part] - digit) <= near);
            return count""" % where, colour, near)

    def colour(self, name):
        return self.js("return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()", name)

    def console(self):
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self):
        urls = []
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
        return [url for url in urls if not url.startswith(("file:", "data:"))]


def handles_by_hovering(page):
    """The numbers of all handles that the card names while the pointer goes over every row."""
    return set(page.js("""
        const canvas = document.querySelector('canvas'), box = canvas.getBoundingClientRect(), numbers = [];
        const card = document.getElementById('card');
        for (let y = 130; y < box.height; y += 6)
            for (let x = 4; x < box.width; x += 3) {
                canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + x, clientY: box.top + y, bubbles: true }));
                if (!card.hidden) numbers.push(card.querySelector('h3').firstChild.textContent);
            }
        return [...new Set(numbers)]"""))


def told(name):
    """What the writer of the ledger counted: handles, busy parts, alive at most, busy at once."""
    with open(f"{directory}/{name}.told", encoding="utf-8") as file:
        return file.read().split()


def sizes(page):
    for name in ("1", "12", "60", "300", "10000"):
        handles, _, alive, busy = told(name)
        page.open(name)
        facts = page.facts()
        equal(f"{name} handles: as many bars as handles, and the peaks that were counted",
              [handles, alive, busy], [facts["bars"], facts["alive"], facts["busy"]])
        equal(f"{name} handles: nothing on the console", [], page.console())
        equal(f"{name} handles: no request but for the file itself", [], page.requests())
    size = os.path.getsize(f"{directory}/10000.html")
    check("10,000 handles with 200,000 busy parts are less than 10 MB", size < 10_000_000, f"{size} bytes")
    took = []
    for _ in range(3):
        page.open("10000")
        took.append(page.js("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    check("10,000 handles: the page is open within 2 s", min(took) < 2000, f"{took} ms")
    page.js("document.getElementById('stage').focus()")
    began = time.time()
    for _ in range(5):
        page.mouse("mouseWheel", 700, 300, deltaX=0, deltaY=-120)
    check("10,000 handles: five steps of the wheel take less than 3 s", time.time() - began < 3, time.time() - began)


def bars(page):
    page.open("12")
    equal("each handle is found under the pointer", {f"Handle {n}" for n in range(1, 13)}, handles_by_hovering(page))
    swatches = page.js("return Array.from(document.querySelectorAll('#legend i'), i => getComputedStyle(i).backgroundColor)")
    # A busy part may be narrower than a pixel.
    counts = [page.pixels(colour, near=32) for colour in swatches]
    check("the colour of every call site is on the canvas", len(counts) > 3 and min(counts) >= 4, f"{swatches}: {counts}")
    check("what leaked is marked", page.pixels(page.colour("--lost")) > 100, page.pixels(page.colour("--lost")))
    check("busy handles make a curve", page.pixels(page.colour("--busy"), "0, 0, canvas.width, 130") > 100)
    page.js("document.getElementById('stage').scrollIntoView()")
    # The handle that leaked reaches the end, where the pointer finds it.
    found = ""
    for y in range(130, int(page.js("return document.querySelector('canvas').clientHeight")), 6):
        page.mouse("mouseMoved", 1270, y)
        found = page.card()
        if "lost" in found:
            break
    for words in ("nothing points at it any more", "app/", "app@db.local:5432/shop", "SELECT id FROM products WHERE name = ?",
                  "busy", "opened"):
        check(f"the card says: {words}", words in found, repr(found))
    page.mouse("mouseMoved", 500, 60)
    equal("the card goes when the pointer does", "", page.card())


def labels(page):
    """Dense rows go without some labels rather than with unreadable ones; what leaked keeps its own."""
    page.open("12")
    facts = page.facts()
    equal("12 handles: each row has its label", "12", facts["labels"])
    page.open("60")
    facts = page.facts()
    check("60 handles: labels do not overlap", float(facts["apart"]) >= 12.9 and 20 <= int(facts["labels"]) < 60, facts)
    check("60 handles: the labels of what leaked are there", page.pixels(page.colour("--lost"), "0, 130, 300, canvas.height - 130") > 40)
    page.mouse("mouseMoved", 60, 143)
    page.drawn()
    check("60 handles: nor do they with the pointer at one", float(page.facts()["apart"]) >= 12.9, page.facts())
    ends = page.js("return Array.from(document.querySelectorAll('#marks li'), one => one.textContent)")
    equal("the ends of bars have a legend", ["lost", "never", "left"], [words.split()[0].rstrip(":") for words in ends])
    page.open("1")
    equal("which has none that do not occur", [], page.js("return Array.from(document.querySelectorAll('#marks li'))"))
    for name in ("12", "60", "300"):
        page.open(name)
        names = page.js("return Array.from(document.querySelectorAll('#legend .code'), one => one.textContent)")
        check(f"{name} handles: no two entries of the legend are alike, and none is cut",
              len(names) == len(set(names)) > 5 and page.js(
                  "return Array.from(document.querySelectorAll('#legend .code')).every(one => one.scrollWidth <= one.clientWidth + 1)"), names)
    headline = page.find("h1").text
    check("the headline says what was never finished, and does not advise", "and 13 never finished." in headline, headline)


def walking(page):
    page.open("300")
    whole = page.span()
    page.js("document.getElementById('stage').scrollIntoView()")
    top = page.js("return scrollY")
    page.mouse("mouseWheel", 700, 200, deltaX=0, deltaY=-240)
    time.sleep(.3)
    equal("the wheel leaves the timeline alone until it was clicked", whole, page.span())
    page.js("scrollTo(0, arguments[0])", top)
    page.mouse("mousePressed", 700, 60, button="left", clickCount=1)
    page.mouse("mouseReleased", 700, 60, button="left", clickCount=1)
    page.mouse("mouseWheel", 700, 200, deltaX=0, deltaY=-240)
    near = page.span()
    check("then it zooms in", near < whole * .7, f"{near} of {whole}")
    middle = float(page.facts()["begin"])
    page.mouse("mousePressed", 700, 300, button="left", clickCount=1)
    page.mouse("mouseMoved", 800, 300, button="left", buttons=1)
    page.mouse("mouseReleased", 800, 300, button="left", clickCount=1)
    check("dragging the bars moves them", float(page.facts()["begin"]) < middle and abs(page.span() - near) < 1,
          page.facts())
    stage = page.find("#stage")
    stage.send_keys("0")
    page.drawn()
    equal("0 shows it whole", whole, page.span())
    stage.send_keys("+")
    page.drawn()
    check("+ zooms in", page.span() < whole * .7, page.span())
    begin = float(page.facts()["begin"])
    stage.send_keys(Keys.ARROW_RIGHT)
    page.drawn()
    check("an arrow moves", float(page.facts()["begin"]) > begin, page.facts())
    page.find("#whole").click()
    page.drawn()
    equal("a button shows it whole", whole, page.span())
    page.mouse("mousePressed", 400, 60, button="left", clickCount=1)
    page.mouse("mouseMoved", 600, 60, button="left", buttons=1)
    page.mouse("mouseReleased", 600, 60, button="left", clickCount=1)
    share = page.span() / whole
    check("dragging across the counts shows that stretch", .1 < share < .22, share)
    page.find("#whole").click()
    row = float(page.facts()["row"])
    stage.send_keys("]")
    page.drawn()
    check("] makes rows higher", float(page.facts()["row"]) > row, page.facts())
    stage.send_keys("0", Keys.ARROW_DOWN)
    page.drawn()
    first = page.card()
    stage.send_keys(Keys.ARROW_DOWN)
    page.drawn()
    check("arrow down goes from handle to handle, with the card", first and page.card() and first != page.card(), first)
    spoken = page.js("return document.getElementById('spoken').textContent")
    check("and says it to a screen reader", re.match(r"Handle \d+, .*opened at app/", spoken), spoken)
    stage.send_keys(Keys.ENTER)
    page.drawn()
    check("Enter zooms to it", page.span() < whole, page.span())


def filters(page):
    page.open("300")
    count = int(page.js("return document.querySelector('.legend .count').textContent"))
    page.find(".legend button").click()
    page.drawn()
    equal("a call site's button shows its handles alone", str(count), page.facts()["shown"])
    page.find(".legend button").click()
    page.find("#bad").click()
    page.drawn()
    equal("what was never finished can be shown alone", str(sum(n % 23 == 5 for n in range(1, 301))), page.facts()["shown"])
    page.find("#bad").click()
    page.find("#words").send_keys("nightly")
    page.drawn()
    rows = page.js("return Array.from(document.querySelectorAll('tr[data-site]')).filter(row => !row.hidden).map(row => row.textContent)")
    check("a word filters bars and tables", 0 < int(page.facts()["shown"]) < 300 and rows and all("nightly" in row for row in rows),
          f"{page.facts()['shown']} {rows}")


def tables(page):
    page.open("300")
    column = """return Array.from(document.querySelectorAll('table'))
        .find(table => table.tHead.textContent.includes('Call site')).tBodies[0].rows"""
    read = lambda: [int(text) for text in page.js(f"{column.replace('return', 'return Array.from(')}, row => row.cells[1].textContent)")]
    names = lambda: page.js(f"{column.replace('return', 'return Array.from(')}, row => row.cells[0].textContent)")
    before = read()
    head = "Array.from(document.querySelectorAll('th')).find(one => one.textContent === '%s').querySelector('button')"
    page.js(f"{head % 'Opened'}.click(); {head % 'Opened'}.click()")
    equal("a table is sorted by numbers", sorted(before), read())
    check("and was not before", before != sorted(before), before)
    page.js(f"{head % 'Call site'}.click()")
    equal("and by words", sorted(names(), key=str.lower), names())
    equal("all handles are in the table", 300, sum(before))


def looks(page):
    page.open("12")
    light = page.js("return getComputedStyle(document.documentElement).backgroundColor")
    card = page.colour("--card")
    paper = page.pixels(card)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    page.drawn()
    dark = page.js("return getComputedStyle(document.documentElement).backgroundColor")
    brightness = lambda colour: sum(map(int, re.findall(r"\d+", colour)[:3]))
    check("it is light, and dark where the screen is", brightness(light) > 700 and brightness(dark) < 120, f"{light} {dark}")
    check("the canvas follows at once", paper > 10000 and page.pixels(page.colour("--card")) > 10000 and page.pixels(card) < 100,
          f"{paper} {page.pixels(page.colour('--card'))} {page.pixels(card)}")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": False})
    page.open("12")
    wide = page.js("return document.documentElement.scrollWidth")
    check("a narrow window does not scroll sideways", wide <= 400, wide)
    equal("and has all bars, in the pixels of a fine screen", ["12", 2.0],
          [page.facts()["bars"], page.js("const canvas = document.querySelector('canvas'); return canvas.width / canvas.clientWidth")])
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.driver.get(f"file://{directory}/12.html")
    body = page.driver.find_element(By.TAG_NAME, "body").text
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    check("without scripts the tables are there, and the page says what is missing",
          "scripts are off" in body and "app/db.py:41 in get_conn" in body and "app@db.local:5432/shop" in body, body[:400])


def strangers(page):
    page.open("hostile")
    handles_by_hovering(page)
    text = page.js("return document.body.textContent") + page.card()
    check("markup in names is text", "</script><script>window.broken=1</script>" in text and "<img src=x onerror" in text)
    equal("none of it ran", None, page.js("return window.broken ?? null"))
    equal("none of it became an element", [0, 0, 2],
          page.js("return [document.querySelectorAll('img').length, document.querySelectorAll('body b').length - 1, document.scripts.length]"))
    equal("hostile names: nothing on the console", [], page.console())
    blocked = page.driver.execute_async_script("""
        const done = arguments[0], seen = [];
        document.addEventListener('securitypolicyviolation', event => seen.push(event.effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'window.broken = 2';
        document.body.append(script);
        new Image().src = 'http://127.0.0.1:9/';
        fetch('http://127.0.0.1:9/').catch(() => setTimeout(() => done([window.broken ?? null, ...seen.sort()]), 200));""")
    equal("a script that got in would not run, and could reach nobody",
          [None, "connect-src", "img-src", "script-src-elem"], blocked)


def gaps(page):
    page.open("short")
    note = page.js("return document.querySelector('.note')?.textContent ?? ''")
    check("a table that was full is said", "77 spans found no room" in note, note)
    check("and hatched", page.pixels(page.colour("--line"), "1120, 140, 150, 300") > 500)
    page.open("300")
    equal("one that was not is not", None, page.js("return document.querySelector('.note')?.textContent ?? null"))
    page.driver.get(f"file://{directory}/untraced.html")
    body = page.driver.find_element(By.TAG_NAME, "body").text
    check("without a trace the page says how to get one, and shows its tables",
          "--trace" in body and "Call sites" in body and page.js("return document.querySelector('canvas')") is None, body[:300])


def budget(page):
    page.open("300")
    equal("without a budget no line is drawn", None, page.facts().get("budget"))
    page.open("real")
    y = int(float(page.facts()["budget"]))
    lost = page.colour("--lost")
    count = page.pixels(lost, f"0, {y}, canvas.width, 1")
    check("the budget is a line across the counts", count > 400, count)
    equal("real program: nothing on the console", [], page.console())
    equal("real program: a bar for each handle of both processes", "7", page.facts()["bars"])


def main():
    page = Page()
    try:
        for part in (sizes, bars, labels, walking, filters, tables, looks, strangers, gaps, budget):
            part(page)
    finally:
        page.driver.quit()


main()
