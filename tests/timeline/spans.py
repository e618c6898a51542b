#!/usr/bin/python3
"""Compares a page's timeline with what overlap.c did: spans.py PAGE JSON-REPORT LABEL."""
import json
import re
import sys

page, report, label = sys.argv[1:]
text = open(page, encoding="utf-8").read()
data = json.loads(re.search(r'<script type="application/json" id="timeline-data">(.*?)</script>', text, re.S)[1])
counters = [process["counters"] for process in json.load(open(report, encoding="utf-8"))["processes"]]


def check(sentence, holds, detail):
    print(("ok" if holds else "not ok") + f" - timeline/{label}: {sentence}")
    if not holds:
        print(f"    # {detail}")


class Handle:
    def __init__(self, row, busy):
        (self.process, self.number, site, _, self.begin, self.end, self.outcome, self.failed, self.periods, self.busy_time,
         _, _) = row
        self.name = data["sites"][site]["name"]
        self.busy, at = [], self.begin
        for gap, length in zip(busy[::2], busy[1::2]):
            self.busy.append((at + gap, at + gap + length))
            at += gap + length

    def __repr__(self):
        return f"{self.number} {self.name} {self.begin}-{self.end} {self.busy} {self.outcome}"


def peak(spans):
    now = most = 0
    for _, change in sorted(edge for begin, end in spans for edge in ((begin, 1), (end, -1))):
        now += change
        most = max(most, now)
    return most


handles = [Handle(row, busy) for row, busy in zip(data["handles"], data["busy"])]
first, second, third, fourth, bad = [one for one in handles if one.process == 0]
order = ["open_first", "open_second", "open_third", "open_third", "fail"]
check("a bar for each handle, in order, from the place that opened it",
      [name for name, one in zip(order, (first, second, third, fourth, bad)) if name in one.name] == order, handles)
check("one is alive until it is finished", second.end < first.end and bad.end < second.end, handles)
check("who never connected is marked", [one.failed for one in handles if one.process == 0] == [0, 0, 0, 0, 1], handles)
check("who was forgotten reaches the end", fourth.end == data["processes"][0]["end"] and fourth.outcome in (1, 2, 3)
      and first.outcome == 0, handles)
check("busy for as long as the server was", 290_000 < first.busy_time < 400_000 and 90_000 < second.busy_time < 200_000, handles)
check("the second is busy while the first is", first.busy[0][0] < second.busy[0][0] and second.busy[0][1] < first.busy[0][1], handles)
check("the third only after both", third.busy[0][0] > first.busy[0][1], handles)
check("short queries in a row are few parts, and all of them are counted", third.periods == 201 and len(third.busy) < 20, third)
check("who never asked was never busy", fourth.busy == [] and fourth.periods == 0, fourth)
for index, counted in enumerate(counters):
    mine = [one for one in handles if one.process == index]
    check(f"process {index}: parts that overlap are as many as were counted busy at once",
          peak([part for one in mine for part in one.busy]) == counted["busy_peak"], (mine, counted["busy_peak"]))
    check(f"process {index}: lives that overlap are as many as were counted alive",
          peak([(one.begin, one.end) for one in mine]) == counted["handles_alive_peak"], (mine, counted["handles_alive_peak"]))
if len(counters) > 1:
    kept, finished = [one for one in handles if one.process == 1]
    check("a forked child has its own, on the parent's clock", third.busy[-1][1] < kept.begin < first.end
          and finished.outcome == 0 and kept.outcome in (1, 2, 3), handles)
