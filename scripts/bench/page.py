"""page.py DIRECTORY < RECORDS: writes results.md and results.svg.

A record is a line of words between tabs: `about NAME TEXT`, `ROW PLACE note TEXT`, or ROW, PLACE, LINE, UNIT, median and best of
floe, AGAINST, its median and best, goal, limit. What is not known is empty.
"""
import math
import os
import sys
from html import escape

NAMES = {"criu": "", "full": " (full image)", "cold": " (cold start)", "": ""}


class Line:
    def __init__(self, words):
        self.row, self.place, self.line, self.unit = words[:4]
        self.mine, self.mine_best = map(number, words[4:6])
        self.against = words[6]
        self.other, self.other_best, self.goal, self.limit = map(number, words[7:11])
        self.ratio = divided(self.other, self.mine)
        self.best = divided(self.other_best, self.mine_best)
        self.missed = self.goal is not None and self.ratio is not None and self.ratio < self.goal

    def cells(self):
        value = lambda n: "" if n is None else f"{short(n)} {self.unit}"
        other = value(self.other) + (NAMES[self.against] if self.other is not None else "")
        goal = "" if self.goal is None else f"{self.goal:g}"
        if self.missed:
            goal = f"**{goal} missed**"
        elif goal and self.ratio is None:
            goal += " not measured"
        return [self.row, self.place, self.line, value(self.mine), other, times(self.ratio), value(self.mine_best),
                value(self.other_best), times(self.best), goal, value(self.limit)]


def number(word):
    return float(word) if word else None


def divided(other, mine):
    return other / mine if other is not None and mine else None


def short(n):
    return f"{n:.0f}" if n >= 100 else f"{n:.1f}" if n >= 10 else f"{n:.2f}"


def times(ratio):
    return "" if ratio is None else short(ratio)


def table(lines):
    heads = ["row", "on", "line", "floe", "CRIU", "ratio", "best floe", "best CRIU", "best ratio", "goal", "limit"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---|---|---|" + "---:|" * (len(heads) - 3)
    for line in lines:
        yield "| " + " | ".join(line.cells()) + " |"


def page(about, lines, notes):
    yield "# Results of scripts/bench.sh\n"
    for name, text in about:
        yield f"- {name}: {text}"
    yield "\nMedians of all rounds, then the best of all. The ratio is CRIU's value divided by floe's: above 1 floe is better. Where"
    yield "another thing is measured against than CRIU, it stands in brackets. The limit is what this machine takes to write that many"
    yield "bytes to a new file (checkpoint), or to copy them in memory (pause, restore). doc/bench.md tells what the rows and lines are.\n"
    yield "![ratios](results.svg)\n"
    yield from table(lines)
    missed = [line for line in lines if line.missed]
    goals = [line for line in lines if line.goal is not None and line.ratio is not None]
    yield f"\n{len(goals) - len(missed)} of {len(goals)} goals are reached." if goals else "\nNo goal was measured."
    if missed:
        yield "Missed: " + ", ".join(f"{l.row} {l.line} on {l.place} ({times(l.ratio)} of {l.goal:g})" for l in missed) + "."
    yield ""
    for row, place, text in notes:
        yield f"- {row}, {place}: {text}"


def plot(lines):
    lines = [line for line in lines if line.ratio]
    left, right, step, top = 230, 40, 18, 50
    width, height = 900, top + step * len(lines) + 30
    most = max([line.ratio for line in lines] + [line.goal or 1 for line in lines] + [10])
    least = min([line.ratio for line in lines] + [1])
    low, high = math.floor(math.log10(least) * 2) / 2, math.ceil(math.log10(most) * 2) / 2
    x = lambda ratio: left + (math.log10(ratio) - low) / (high - low) * (width - left - right)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield f'<text x="{left}" y="18" font-size="14">How much better floe is (CRIU divided by floe); the mark is the goal</text>'
    ticks = [n * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for n in (1, 2, 5)]
    for tick in (t for t in ticks if 10**low * 0.999 <= t <= 10**high * 1.001):
        at = f"{x(tick):.1f}"
        yield f'<line x1="{at}" y1="{top - 8}" x2="{at}" y2="{height - 25}" stroke="{"black" if tick == 1 else "#ddd"}"/>'
        yield f'<text x="{at}" y="{top - 12}" text-anchor="middle">{tick:g}</text>'
    for nth, line in enumerate(lines):
        y = top + nth * step
        from_x, to_x = sorted((x(1), x(line.ratio)))
        colour = "#c0392b" if line.missed or line.ratio < 1 else "#2e7d5b"
        label = escape(f"{line.row} {line.line}, {line.place}")
        yield f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{label}</text>'
        yield f'<rect x="{from_x:.1f}" y="{y + 2}" width="{max(to_x - from_x, 1):.1f}" height="{step - 5}" fill="{colour}"/>'
        yield f'<text x="{to_x + 4:.1f}" y="{y + 12}">{times(line.ratio)}</text>'
        if line.goal:
            yield f'<path d="M{x(line.goal):.1f} {y} v{step - 1}" stroke="black" stroke-width="3"/>'
    yield "</svg>"


def main():
    about, lines, notes = [], [], []
    for words in (line.rstrip("\n").split("\t") for line in sys.stdin):
        if words[0] == "about":
            about.append(words[1:])
        elif words[2] == "note":
            notes.append((words[0], words[1], words[3]))
        else:
            lines.append(Line(words))
    for name, text in (("results.md", page(about, lines, notes)), ("results.svg", plot(lines))):
        path = os.path.join(sys.argv[1], name)
        with open(path + ".new", "w") as file:
            file.writelines(part + "\n" for part in text)
        os.rename(path + ".new", path)


main()
