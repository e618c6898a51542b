#!/usr/bin/python3
"""One function opens all handles: does every format say who asked it? wrapper.py BUILD SCRATCH.

And of a process that still runs: do all formats tell the same? Prints a line for each test.
"""
import json
import os
import re
import subprocess
import sys

import junitparser

build, scratch = sys.argv[1:3]
FORMATS = ["text", "json", "junit", "sarif", "github", "html"]
environment = dict(os.environ, LD_LIBRARY_PATH=build + "/fake", GITHUB_STEP_SUMMARY=scratch + "/step.md")


def test(what):
    def run(body):
        try:
            body()
            print("ok - formats/wrapper: " + what)
        except Exception as wrong:  # whatever a reader makes of it, it is this test that failed
            print("not ok - formats/wrapper: " + what)
            print("\n".join("#   " + line[:300] for line in f"{type(wrong).__name__}: {wrong}".splitlines()[:20]))
    return run


def same(is_, expected):
    assert is_ == expected, f"is {is_!r}, expected {expected!r}"


def reports(name):
    return [f"--report={kind}={scratch}/{name}.{kind}" for kind in FORMATS]


def report(name, kind):
    with open(f"{scratch}/{name}.{kind}", encoding="utf-8") as file:
        return file.read()


def plain(name):
    """A page's text, without its script, without tags and entities."""
    page = re.sub(r"<(script|style).*?</\1>", "", report(name, "html"), flags=re.S)
    return re.sub(r"<[^>]*>", "", re.sub(r"</?(td|tr|dt|dd|div|h1|p|li|br)\b[^>]*>", "\n", page)).replace("&lt;", "<")


def functions(text):
    """wrapper.c:41 (find_user) < ... as the functions alone."""
    return re.findall(r"wrapper\.c:\d+ \((\w+)\)", text)


def findings(name, *kinds):
    return [one for one in json.loads(report(name, "json"))["check"]["findings"] if one["kind"] in kinds]


# --- a check
done = subprocess.run([build + "/pqone", "check", "--log", "none", *reports("check"), "--", build + "/fake/wrapper"],
                      env=environment, capture_output=True, text=True)
with open(scratch + "/step.md", encoding="utf-8") as file:
    summary = file.read()
LEAKS = [["db_open", "find_user"], ["db_open", "pooled", "audit"], ["db_open", "list_orders"]]


@test("the check fails for six handles of three callers")
def _():
    same(done.returncode, 23)
    same([one["count"] for one in findings("check", "lost", "held")], [3, 2, 1])


@test("json, sarif and the page name the caller that makes the difference")
def _():
    same([functions(one["opened"]["text"]) for one in findings("check", "lost", "held")], LEAKS)
    run, = json.loads(report("check", "sarif"))["runs"]
    texts = [one["message"]["text"] for one in run["results"] if one["ruleId"] in ("lost", "held")]
    same([functions(text) for text in texts], LEAKS)
    rows = re.findall(r"<tr data-site><td class=\"word (?:lost|held)\">.*?</tr>", report("check", "html"), re.S)
    same([functions(re.search(r"<summary[^>]*>(.*?)</summary>", row)[1]) for row in rows], LEAKS)


@test("junit has a case for each caller, and in each the findings of that one alone")
def _():
    suite, = junitparser.JUnitXml.fromstring(report("check", "junit").encode())
    names = {case.name: case for case in suite}
    same(len(names), 4)
    same(suite.failures, 4)
    for name, case in names.items():
        assert re.match(r"db_open:\d+ < ", name), name
        caller = functions(name)[-1]
        failure, = [one for one in case.result if isinstance(one, junitparser.Failure)]
        others = {"find_user", "audit", "list_orders", "send_mail"} - {caller}
        assert f"({caller})" in failure.text and not any(f"({other})" in failure.text for other in others), failure.text
    same({functions(name)[-1] for name in names}, {"find_user", "audit", "list_orders", "send_mail"})


@test("github: annotations of one line have titles and messages of their own")
def _():
    errors = [line for line in report("check", "github").splitlines() if line.startswith("::error")]
    same(len(errors), 4)
    titles = [re.search(r"title=([^:]*)::", line)[1].replace("%3A", ":") for line in errors]
    same(len(set(titles)), 4)
    same([functions(title) for title in titles[:3]], [names[1:] for names in LEAKS])
    lines = {re.search(r"file=([^,]*),line=(\d+)", line).groups() for line in errors[:3]}
    same(len(lines), 1)  # the innermost
    for line, names in zip(errors, LEAKS):
        same(functions(line.split("::")[2].split(": never finished")[0]), names)


@test("github: the step's summary has no two rows alike, and no place twice")
def _():
    text = re.sub(r"&#(\d+);", lambda code: chr(int(code[1])), summary)
    rows = [line for line in text.splitlines() if line.startswith(("| fails", "| warning"))]
    same(len(rows), len(json.loads(report("check", "json"))["check"]["findings"]))
    places = [(row.split(" | ")[1], row.split(" | ")[3]) for row in rows]
    same(len(set(places)), len(places))
    for _, place in places:
        same(place.count("<code>"), 1)
        same(len(set(functions(place))), len(functions(place)))
    same([functions(place) for _, place in places[:3]], LEAKS)


@test("html: the headline says what was never finished, and does not advise")
def _():
    headline = re.search(r"<h1>(.*?)</h1>", report("check", "html"))[1]
    assert "and 6 never finished" in headline and "would have done" not in headline, headline
    assert re.search(r"PQexec at\s+wrapper|PQexec at .*wrapper", plain("check")), "no space before the place"


# --- a process that still runs
checked = subprocess.Popen([build + "/pqone", "check", "--log", "none", "--quiet", "--", build + "/fake/wrapper", "wait"],
                           env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
pid = checked.stdout.readline().split()[1]
told = subprocess.run([build + "/pqone", "report", *reports("live"), pid], env=environment, capture_output=True, text=True)
checked.stdin.close()
checked.stdout.close()
checked.wait()

if told.stderr:
    print("skip - formats/wrapper: a process that runs: nobody may look into it here: " + told.stderr.strip()[:200])
else:
    @test("live: the text report, and its status")
    def _():
        same(told.returncode, 0)
        text = report("live", "text")
        same(sum(map(int, re.findall(r"(\d+) lost", text))), 5)
        assert "1 still held" in text and "6 not finished yet" in text, text

    @test("live: the JSON report says five lost and one open in both of its parts")
    def _():
        document = json.loads(report("live", "json"))
        summary = document["check"]["summary"]
        same({word: summary[word] for word in ("lost", "held", "unknown", "open")},
             {"lost": 5, "held": 0, "unknown": 0, "open": 1})
        handles = document["processes"][0]["handles"]
        same(sorted(one["verdict"] for one in handles), ["held"] + 5 * ["lost"])
        same([(one["kind"], one["count"]) for one in findings("live", "lost", "held", "unknown")], [("lost", 3), ("lost", 2)])
        same(document["check"]["running"][0]["handles"], 1)

    @test("live: every format says that it runs, what is lost and what is open, and none that nothing is")
    def _():
        step = re.sub(r"&#(\d+);", lambda code: chr(int(code[1])), open(scratch + "/step.md", encoding="utf-8").read())
        for kind in "json", "junit", "sarif", "github":
            text = report("live", kind)
            for words in f"Process {pid} is still running", "5 leaked (5 lost)", "1 open, still running":
                assert words in text and words in step, (kind, words, text[:600])
            assert "None leaked" not in text, kind
        page = plain("live")
        headline = re.search(r"<h1>(.*?)</h1>", report("live", "html"))[1]
        assert headline.startswith("Still running: ") and headline.endswith("6 open now, 5 of them lost."), headline
        assert "never finished" not in page.split("Findings")[0], page.split("Findings")[0]
        assert re.search(r"lost\s+5\b", page) and re.search(r"open, still running\s+1\b", page), page[:800]

    @test("live: what is lost is a result in SARIF, an annotation, and said in a case")
    def _():
        run, = json.loads(report("live", "sarif"))["runs"]
        same([one["occurrenceCount"] for one in run["results"] if one["ruleId"] == "lost"], [3, 2])
        same(len(re.findall(r"^::\w+ .*title=pqone%3A lost", report("live", "github"), re.M)), 2)
        same(report("live", "junit").count("\nlost: "), 2)
