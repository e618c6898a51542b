#!/usr/bin/python3
"""Reads every report format as others would: read.py DIRECTORY MANUAL [SARIF-SCHEMA].

DIRECTORY holds SCENARIO.FORMAT as tests/formats/sample writes them. The JSON of a scenario says what the other
formats of it must hold. Prints a line for each test.
"""
import json
import os
import re
import sys
from xml.etree import ElementTree
from xml.etree import ElementTree

import junitparser

where, manual = sys.argv[1:3]
schema = sys.argv[3] if len(sys.argv) > 3 else None
SCENARIOS = ["empty", "clean", "unable", "plain", "hostile", "many"]


def test(what):
    def run(body):
        try:
            body()
            print("ok - formats/" + what)
        except Exception as wrong:  # whatever a reader makes of it, it is this test that failed
            print("not ok - formats/" + what)
            text = f"{type(wrong).__name__}: {wrong}"[:600]
            print("\n".join("#   " + line for line in text.splitlines()))
    return run


def raw(scenario, kind):
    with open(os.path.join(where, scenario + "." + kind), "rb") as file:
        return file.read()


def document(scenario):
    return json.loads(raw(scenario, "json").decode("utf-8", "strict"))


def check(scenario):
    return document(scenario)["check"]


def rule(finding):
    return finding["kind"] + ("/" + finding["misuse"] if finding["misuse"] else "")


def same(is_, expected):
    assert is_ == expected, f"is {is_!r}, expected {expected!r}"


def printable(text):
    """What formats without an escape for control characters show of a text."""
    return "".join("\ufffd" if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 or c in "\ufffe\uffff" else c
                   for c in text)


# --- JSON

def members(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner)


@test("json: every scenario is a document, and its counts agree")
def _():
    for scenario in SCENARIOS:
        found = check(scenario)
        same(found["version"], 1)
        same(found["summary"]["findings"], len(found["findings"]))
        same(found["summary"]["failing"], sum(one["fails"] for one in found["findings"]))
    same(len(check("many")["findings"]), 10000)
    same(check("empty")["findings"], [])


@test("json: every member is documented in the manual page")
def _():
    with open(manual, encoding="utf-8") as file:
        page = file.read().split(".SH JSON REPORT")[1].split("\n.SH ")[0]
    words = set(re.findall(r"[a-z_]+", page.replace("\\-", "-")))
    every = set(members(check("plain")))
    assert len(every) > 50, "the sample has few members: %d" % len(every)
    same(sorted(every - words), [])


@test("json: hostile texts arrive whole")
def _():
    function = check("hostile")["findings"][0]["opened"]["frames"][0]["function"]
    for part in ["<int>", '"a"', "]]>", "\x1b[31m", "\x01", "%0A%\r\n", "é", "\U0001f600"]:
        assert part in function, part
    same(function.count("\ufffd"), 1 + 2 + 3 + 2)  # a byte that belongs to no character is one replacement


@test("json: exit and suppressions are said")
def _():
    found = check("plain")
    same((found["exit"]["status"], found["exit"]["decided_by"]), (23, "findings"))
    same([(one["pattern"], one["hits"]) for one in found["suppressions"]], [("leak:open_1*", 101), ("leak:never", 0)])
    same(check("unable")["exit"]["status"], 125)
    same(check("unable")["problems"], ["libpq was never loaded"])


# --- JUnit

def suite(scenario):
    suites = list(junitparser.JUnitXml.fromstring(raw(scenario, "junit")))
    same(len(suites), 1)
    return suites[0]


def outcomes(one, kind):
    return [entry for entry in one.result if isinstance(entry, kind)]


@test("junit: junitparser reads as many cases as the suite says")
def _():
    for scenario in SCENARIOS:
        one = suite(scenario)
        cases = list(one)
        same(one.tests, len(cases))
        same(one.failures, sum(bool(outcomes(case, junitparser.Failure)) for case in cases))
        same(one.errors, sum(bool(outcomes(case, junitparser.Error)) for case in cases))
        same(one.skipped or 0, sum(bool(outcomes(case, junitparser.Skipped)) for case in cases))
        assert cases, "a suite without a case is no suite"
        names = [(case.classname, case.name) for case in cases]
        same(len(names), len(set(names)))


def first_place(finding):
    """The case of a finding: the script frame that stands first in the sample's stacks."""
    if finding["kind"] == "budget":
        return finding["target"], "budget"
    stack = finding["opened"] or finding["place"]
    if not stack:
        return "unknown", "an unknown place"
    frame = stack["frames"][0]
    return frame["file"], "%s:%d" % (frame["function"], frame["line"])


@test("junit: a case for each call site, failed by what fails, skipped by what is suppressed or known")
def _():
    for scenario in "plain", "hostile", "many":
        cases = {(case.classname, case.name): case for case in suite(scenario)}
        for finding in check(scenario)["findings"]:
            case = cases[tuple(printable(word) for word in first_place(finding))]
            if finding["fails"]:
                failure, = outcomes(case, junitparser.Failure)
                assert printable(finding["target"] or "") in failure.message, failure.message
                same(failure.type, rule(finding))
            elif finding["suppressed_by"]:
                assert printable(finding["suppressed_by"]) in outcomes(case, junitparser.Skipped)[0].text
            elif finding["known"]:
                assert "baseline" in outcomes(case, junitparser.Skipped)[0].text
            else:
                same(case.result, [])
        sites = document(scenario)["processes"][0]["sites"]
        assert sum(case.classname == "unknown" for case in cases.values()) >= len(sites), cases.keys()


@test("junit: a stack stands in the failure, and every one in the suite's output")
def _():
    one = suite("plain")
    failure = next(outcomes(case, junitparser.Failure)[0] for case in one if outcomes(case, junitparser.Failure))
    assert "tests/formats/sample.c:11" in failure.text and "opened at" in failure.text, failure.text
    output = ElementTree.fromstring(raw("plain", "junit")).findtext("testsuite/system-out")
    same(output.count("opened at:"), sum(bool(finding["opened"]) for finding in check("plain")["findings"]))


@test("junit: what pqone could not do is an error")
def _():
    error, = [entry for case in suite("unable") for entry in outcomes(case, junitparser.Error)]
    same((error.message, error.text.strip()), ("nothing is proved", "libpq was never loaded"))
    same((suite("clean").errors, suite("empty").errors), (0, 0))


# --- SARIF

def run_of(scenario):
    log = json.loads(raw(scenario, "sarif").decode("utf-8", "strict"))
    same(log["version"], "2.1.0")
    run, = log["runs"]
    return run


if schema:
    @test("sarif: valid by the schema of SARIF 2.1.0")
    def _():
        import jsonschema
        with open(schema, encoding="utf-8-sig") as file:
            rules = json.load(file)
        validator = jsonschema.validators.validator_for(rules)
        validator.check_schema(rules)
        judge = validator(rules, format_checker=jsonschema.FormatChecker())
        for scenario in SCENARIOS:
            if scenario != "many":  # minutes, for nothing that the others do not have
                log = json.loads(raw(scenario, "sarif"))
                same([error.message[:200] for error in judge.iter_errors(log)][:3], [])
        log["runs"][0]["results"] = [{"level": "fatal"}]
        assert list(judge.iter_errors(log)), "the schema finds fault with nothing"


@test("sarif: a result for each finding, its rule, its level, its suppression")
def _():
    for scenario in SCENARIOS:
        run, findings = run_of(scenario), check(scenario)["findings"]
        same(len(run["results"]), len(findings))
        for result, finding in zip(run["results"], findings):
            same(result["ruleId"], rule(finding))
            same(run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"], result["ruleId"])
            same(result["level"] == "error", finding["fails"])
            same([one["justification"] for one in result["suppressions"]],
                 [finding["suppressed_by"]] if finding["suppressed_by"] else [])
            same(result["occurrenceCount"], finding["count"])
            assert finding["says"] in result["message"]["text"]
    for result, finding in zip(run_of("plain")["results"], check("plain")["findings"]):
        same(result["baselineState"], "unchanged" if finding["known"] else "new")
    assert "baselineState" not in run_of("many")["results"][0]


@test("sarif: files of the checkout are relative to it, and lead to a line")
def _():
    run = run_of("plain")
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"].startswith("file:///")
    assert run["originalUriBaseIds"]["%SRCROOT%"]["uri"].endswith("/")
    place = run["results"][0]["locations"][0]["physicalLocation"]
    same((place["artifactLocation"], place["region"]["startLine"]),
         ({"uri": "tests/formats/sample.c", "uriBaseId": "%SRCROOT%"}, 11))
    for scenario in "plain", "hostile":
        for place in re.findall(rb'"uri":"([^"]*)"', raw(scenario, "sarif")):
            assert re.fullmatch(rb"(file://)?[A-Za-z0-9._~%/-]+", place), place


@test("sarif: stacks have every frame, flows go from the outermost to the call")
def _():
    for result, finding in zip(run_of("plain")["results"], check("plain")["findings"]):
        same(sum(len(stack["frames"]) for stack in result["stacks"]),
             sum(len(stack["frames"]) for stack in (finding["opened"], finding["place"]) if stack))
    flow, = run_of("plain")["results"][0]["codeFlows"][0]["threadFlows"]
    same([step["location"]["physicalLocation"]["region"]["startLine"] for step in flow["locations"]], [11, 10])


@test("sarif: fingerprints tell findings apart, and are those of another run")
def _():
    marks = [result["partialFingerprints"]["pqoneIdentity/v1"] for result in run_of("many")["results"]]
    same(len(set(marks)), len(marks))
    again = [result["partialFingerprints"]["pqoneIdentity/v1"] for result in run_of("plain")["results"]]
    same(again[:8], marks[:8])


@test("sarif: the invocation tells the exit status, and what pqone could not do")
def _():
    same(run_of("plain")["invocations"][0]["exitCode"], 23)
    invocation, = run_of("unable")["invocations"]
    same((invocation["executionSuccessful"], invocation["exitCode"]), (False, 125))
    same(invocation["toolExecutionNotifications"][0]["message"]["text"], "libpq was never loaded")


# --- GitHub

def command(line):
    """A line as the runner reads it: ::NAME KEY=VALUE,KEY=VALUE::DATA, escapes undone."""
    assert line.startswith("::") and line.find("::", 2) > 0, line
    head, data = line[2:].split("::", 1)
    name, _, pairs = head.partition(" ")
    properties = dict(pair.split("=", 1) for pair in pairs.strip().split(",") if "=" in pair)
    for code, byte in ("%0D", "\r"), ("%0A", "\n"), (":", ":"), ("%3A", ":"), ("%2C", ","), ("%25", "%"):
        properties = {key: value.replace(code, byte) for key, value in properties.items()}
        if code not in ("%3A", "%2C"):
            data = data.replace(code, byte)
    return name, properties, data


def commands(scenario):
    text = raw(scenario, "github").decode("utf-8", "strict")
    assert text.endswith("\n") and "\r" not in text
    return [command(line) for line in text[:-1].split("\n")]


@test("github: every line is a command; the summary is the first")
def _():
    for scenario in SCENARIOS:
        every = commands(scenario)
        same((every[0][0], every[0][1]["title"]), ("notice", "pqone check"))
        assert every[0][2].startswith(check(scenario)["text"].split(". ")[0]), every[0]
        same({name for name, _, _ in every} - {"error", "warning", "notice"}, set())


@test("github: ten of a kind at most, the rest is counted in the summary")
def _():
    every = commands("many")
    findings = check("many")["findings"]
    for name in "error", "warning", "notice":
        same(sum(one == name for one, _, _ in every), 10)
    failing = sum(finding["fails"] for finding in findings)
    assert "%d more errors" % (failing - 10) in every[0][2], every[0][2]


@test("github: what fails is an error at a line of the checkout; what is suppressed or known is not annotated")
def _():
    every, findings = commands("plain"), check("plain")["findings"]
    first = next(properties for name, properties, _ in every if name == "error")
    same((first["file"], first["line"], first["title"]), ("tests/formats/sample.c", "11", "pqone: lost"))
    text = "\n".join(data for _, _, data in every)
    for finding in findings:
        said = any(finding["opened"] and finding["opened"]["frames"][0]["function"] in data for _, _, data in every)
        if finding["suppressed_by"] or finding["known"]:
            assert not said, finding["identity"]
    assert "2 findings are suppressed or known" in every[0][2], text


@test("github: hostile texts stay inside their command")
def _():
    every = commands("hostile")
    same(len(every), len(commands("plain")))
    joined = "".join(data + "".join(properties.values()) for _, properties, data in every)
    same([c for c in set(joined) if printable(c) != c], [])
    assert "##[add-mask]::error::,:%0A%" in joined


@test("github: what pqone could not do is an error")
def _():
    name, _, data = commands("unable")[1]
    same((name, data), ("error", "libpq was never loaded"))
