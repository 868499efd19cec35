"""Pictures of a report: python plot.py FOLDER reads the CSV files in it and writes SVG files beside them.

Runs in an environment of its own, which benchmarks/run makes: matplotlib is not part of Python.
"""

import csv
import statistics
import sys
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

LARDER, REDIS, BARE, OTHER = "#d1495b", "#30638e", "#8d99a6", "#edae49"
COLOURS = {"larder node": LARDER, "larder coordinator": LARDER, "redis-server": REDIS, "bare server": BARE}
plt.rcParams.update(
    {
        "svg.fonttype": "none",  # Text stays text.
        "svg.hashsalt": "larder",  # The same figures make the same file.
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "figure.facecolor": "white",  # Also where the page is dark.
    }
)


def rows(path):
    """The rows of a CSV file as dictionaries; none if there is no file."""
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def save(figure, folder, name):
    """Writes the picture, without a date in it."""
    figure.tight_layout()
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def bars(folder, name, title, unit, loads, series, log=False):
    """Groups of bars: `series` has a colour and a value a load for each label."""
    figure, axes = plt.subplots(figsize=(8.6, 3.4))
    width = 0.8 / len(series)
    for number, (label, (colour, values)) in enumerate(series.items()):
        places = [at + (number - (len(series) - 1) / 2) * width for at in range(len(loads))]
        drawn = axes.bar(places, values, width * 0.92, label=label, color=colour, log=log)
        labels = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values]
        axes.bar_label(drawn, labels, fontsize=8, padding=1)
    wrapped = [textwrap.fill(load, 90 // len(loads)) for load in loads]
    axes.set_xticks(range(len(loads)), wrapped, fontsize=9)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(unit)
    axes.set_title(title, loc="left", fontsize=11)
    # Beside the bars, not over them.
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, folder, name)


def pick(figures, benchmark, what):
    """(loads, {server: values}) of one kind of figure."""
    some = [row for row in figures if row["benchmark"] == benchmark and row["what"] == what]
    loads = list(dict.fromkeys(row["load"] for row in some))
    names = list(dict.fromkeys(row["server"] for row in some))
    found = {}
    for name in names:
        # Of repeated measurements the worst.
        values = [[float(r["value"]) for r in some if (r["load"], r["server"]) == (load, name)] for load in loads]
        if all(values):
            found[name] = [max(value) for value in values]
    return loads, found


def draw_figures(folder, figures):
    """The pictures of single figures."""
    loads, found = pick(figures, "memory", "overhead")
    if found:
        series = {name: (COLOURS[name], values) for name, values in found.items()}
        bars(folder, "memory", "Memory an item takes beside its key and value", "bytes", loads, series)
    loads, found = pick(figures, "hits", "hit ratio")
    if found:
        colours = {"larder node, allkeys-lru": LARDER, "larder node, allkeys-s3fifo": OTHER}
        colours |= {name: BARE for name in found if name.endswith("simulated")}
        series = {name: (colours.get(name, REDIS), values) for name, values in found.items()}
        bars(folder, "hits", "Hit ratio at the same memory", "hits a request", loads, series)
    loads, found = pick(figures, "spikes", "longest, ms")
    if found:
        order = [name for name in COLOURS if name in found]
        series = {name: (COLOURS[name], found[name]) for name in order}
        title = "Longest wait of a client for a GET meanwhile"
        bars(folder, "waits", title, "milliseconds", loads, series, log=True)


def draw_churn(folder, samples):
    """Resident memory over time under a limit."""
    if not samples:
        return
    figure, axes = plt.subplots(figsize=(7.2, 3.4))
    for name in dict.fromkeys(row["server"] for row in samples):
        some = [row for row in samples if row["server"] == name]
        end = float(some[-1]["seconds"])
        part = [float(row["seconds"]) / end * 100 for row in some]
        axes.plot(part, [int(row["rss"]) / 2**20 for row in some], color=COLOURS[name], label=f"{name}: resident")
    limit = int(samples[0]["limit"]) / 2**20
    axes.axhline(limit, color="black", linewidth=1, linestyle="--", label="maxmemory")
    axes.set_xlabel("part of ten million SETs, %")
    axes.set_ylabel("MiB")
    axes.set_ylim(bottom=0)
    axes.set_title("Resident memory while the sizes of values drift", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    save(figure, folder, "churn")


def draw_lags(folder, lags):
    """How late expired keys free their memory."""
    if not lags:
        return
    figure, axes = plt.subplots(figsize=(7.2, 3.0))
    for name in dict.fromkeys(row["server"] for row in lags):
        late = sorted(max(float(row["ms"]), 0.1) for row in lags if row["server"] == name)
        axes.plot(late, [at / len(late) * 100 for at in range(len(late))], color=COLOURS[name], label=name)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds after its time to live")
    axes.set_ylabel("keys gone, %")
    axes.set_title("When expired keys that nobody asks for free their memory", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    save(figure, folder, "expiry")


def draw_micro(folder, costs):
    """What the store's operations cost by the number of items."""
    if not costs:
        return
    figure, axes = plt.subplots(figsize=(7.2, 3.8))
    for name in dict.fromkeys(row["operation"] for row in costs):
        some = [row for row in costs if row["operation"] == name]
        axes.plot([int(r["items"]) for r in some], [float(r["ns"]) for r in some], marker="o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("items")
    axes.set_ylabel("nanoseconds")
    axes.set_title("What an operation of the store costs, by the number of items", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    save(figure, folder, "micro")


def draw_sweeps(folder, points, turns):
    """Throughput, CPU and latency by pipeline depth, connections, size of values and number of nodes."""
    if not points:
        return
    columns = [("connections", "connections, GET"), ("value bytes", "bytes of a value, GET"), ("nodes", "nodes, GET")]
    rows_of = [("rps", "requests/s"), ("cpu_us", "CPU us/request"), ("p99_ms", "p99, ms")]
    panels = [(label, [p for p in points if p["sweep"] == sweep and p["command"].startswith("get")]) for sweep, label in columns]
    if turns:
        panels.insert(0, ("pipeline, GET", depth(turns)))
    figure, axes = plt.subplots(len(rows_of), len(panels), figsize=(3.1 * len(panels), 6.6), sharex="col", squeeze=False)
    for column, (label, some) in enumerate(panels):
        lines = dict.fromkeys((p["server"], p["command"]) for p in some)
        for row, (what, unit) in enumerate(rows_of):
            plot = axes[row][column]
            for server, command in lines:
                mine = [p for p in some if (p["server"], p["command"]) == (server, command)]
                style = "--" if command.endswith("pipeline 16") else "-"
                name = f"{server}{command.removeprefix('get')}"
                # A sweep of one server alone tells its lines apart by colour too.
                alone = len({name for name, _ in lines}) == 1 and style == "--"
                colour = OTHER if alone else COLOURS.get(server, OTHER)
                values = [float(p[what]) for p in mine]
                plot.plot([int(p["at"]) for p in mine], values, style, marker="o", markersize=3, color=colour, label=name)
            plot.set_xscale("log")
            if max(float(p[what]) for p in some) > 20 * min(float(p[what]) for p in some):
                plot.set_yscale("log")
            else:
                plot.set_ylim(bottom=0)
            if column == 0:
                plot.set_ylabel(unit)
            places = sorted({int(p["at"]) for p in some})
            plot.set_xticks(places, [f"{place:,}" for place in places], fontsize=8, rotation=30)
            plot.minorticks_off()
        axes[-1][column].set_xlabel(label)
        axes[0][column].legend(frameon=False, fontsize=7, loc="best")
    figure.suptitle("One thing at a time: throughput, server CPU and latency", x=0.01, ha="left", fontsize=11)
    save(figure, folder, "sweeps")


def depth(turns):
    """The GETs of the comparison of a node with redis-server as points: the median turn at each pipeline."""
    found = []
    some = [t for t in turns if (t["comparison"], t["command"]) == ("node", "get")]
    for server in dict.fromkeys(t["server"] for t in some):
        for pipeline in dict.fromkeys(t["pipeline"] for t in some):
            mine = [t for t in some if (t["server"], t["pipeline"]) == (server, pipeline)]
            middle = {what: statistics.median(float(t[what]) for t in mine) for what in ("rps", "cpu_us", "p99_ms")}
            found.append({"at": pipeline, "server": server, "command": "get"} | middle)
    return found


def draw_events(folder, bins, marks):
    """Throughput and errors over time while the cluster changes."""
    if not bins:
        return
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8.6, 4.6), sharex=True, height_ratios=(3, 2))
    seconds = [float(row["seconds"]) for row in bins]
    upper.plot(seconds, [float(row["answered"]) / 1000 for row in bins], color=REDIS, linewidth=1, label="answered")
    upper.plot(seconds, [float(row["errors"]) / 1000 for row in bins], color=LARDER, linewidth=1, label="errors")
    upper.set_ylabel("thousands a second")
    upper.set_ylim(bottom=0)
    lower.plot(seconds, [float(row["longest_ms"]) or float("nan") for row in bins], color=BARE, linewidth=1)
    lower.set_yscale("log")
    lower.set_ylabel("longest wait, ms")
    lower.set_xlabel("seconds")
    for mark in marks:
        began, ended = float(mark["began"]), float(mark["ended"])
        for plot in (upper, lower):
            plot.axvspan(began, ended, color=OTHER, alpha=0.18, linewidth=0)
            plot.axvline(began, color="black", linewidth=0.8, linestyle=":")
        upper.annotate(mark["event"], (began, 1), xycoords=("data", "axes fraction"), xytext=(2, 1), textcoords="offset points", fontsize=9)
    upper.set_title("Full load on three nodes; shaded: from an event until all shares are even again", loc="left", fontsize=11, pad=16)
    upper.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, folder, "events")


def draw_routing(folder, found):
    """What finding each other takes, by the number of members."""
    if not found:
        return
    panels = [("hops", "hops to the closest member"), ("table", "members known to one"), ("asked_at_join", "asked at a join")]
    figure, plots = plt.subplots(1, len(panels), figsize=(9.6, 3.3))
    members = [int(row["members"]) for row in found]
    for plot, (what, label) in zip(plots, panels):
        for how, colour, name in (("mean", REDIS, "mean"), ("p99", OTHER, "99th percentile"), ("max", LARDER, "most")):
            plot.plot(members, [float(row[f"{what}_{how}"]) for row in found], marker="o", markersize=3, color=colour, label=name)
        plot.set_xscale("log")
        plot.set_ylim(bottom=0)
        plot.set_xlabel("members")
        plot.set_title(label, loc="left", fontsize=10)
    plots[0].legend(frameon=False, fontsize=8)
    figure.suptitle("Kademlia's routing, simulated with libp2p's tables", x=0.01, ha="left", fontsize=11)
    save(figure, folder, "routing")


def main():
    """Draws what there are figures of."""
    folder = Path(sys.argv[1])
    draw_figures(folder, rows(folder / "store.csv"))
    draw_churn(folder, rows(folder / "churn.csv"))
    draw_lags(folder, rows(folder / "lags.csv"))
    draw_micro(folder, rows(folder / "micro.csv"))
    draw_sweeps(folder, rows(folder / "sweeps.csv"), rows(folder / "raw.csv"))
    draw_events(folder, rows(folder / "events.csv"), rows(folder / "marks.csv"))
    draw_routing(folder, rows(folder / "routing.csv"))


if __name__ == "__main__":
    main()
