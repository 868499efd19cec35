"""The membership's part of the report: tables with their goals, CSV files."""

import statistics

from membership import IDLE_SECONDS, PROBED, STEADY_RATE
from report import table, write_csv
from servers import BenchError
from store_report import write_csv as write_dictionaries

BEGIN, END = "<!-- membership -->", "<!-- /membership -->"
# What is shown of the times, in ms, and the goal of each.
TIMES = {
    ("join", "known"): ("a node joins: known", 1000),
    ("join", "has its share"): ("it owns its full share", None),
    ("leave", "ended"): ("a node leaves (SIGTERM): ended, its slots are others'", None),
    ("crash", "noticed"): ("a node crashes (kill -9): noticed", 100),
    ("crash", "first error"): ("a client has the first error", None),
    ("crash", "all served again"): ("all its slots are served again", 2500),
    ("freeze", "noticed"): ("a node freezes (SIGSTOP): noticed", None),
    ("freeze", "first error"): ("a client has the first error", None),
    ("freeze", "all served again"): ("all its slots are served again", 3000),
    ("thaw", "evenly shared"): ("it goes on (SIGCONT): owns its full share", None),
    ("start of all", "evenly shared"): ("the whole cluster starts: all slots are served, all nodes have their shares", None),
}
QUIET = ("join", "leave")  # Events of which no client may notice anything.
MOST_BALANCE = 1.01
PICTURES = (
    ("events", "Throughput and errors while a node leaves, joins, crashes and freezes"),
    ("routing", "Kademlia: hops, table and contacts asked by the number of members"),
)


def values(figures, **wanted):
    """The values of the figures with these fields."""
    return [f.value for f in figures if all(getattr(f, name) == value for name, value in wanted.items())]


def spread(found, digits=",.0f"):
    """The median, with the least and the greatest."""
    if not found:
        return ""
    text = format(statistics.median(found), digits)
    return text + (f" ({min(found):{digits}} to {max(found):{digits}})" if len(found) > 1 else "")


def times(figures):
    """The table of times, errors and balance by the number of nodes."""
    counts = sorted({figure.nodes for figure in figures if figure.kind == "ms"})
    rows = []
    for (event, what), (words, goal) in TIMES.items():
        cells = [spread(values(figures, kind="ms", nodes=n, event=event, what=what)) for n in counts]
        rows.append([f"{words}, ms", *cells, "" if goal is None else f"{goal:,}"])
    for event in QUIET:
        found = [values(figures, kind="errors", nodes=n, event=event) for n in counts]
        rows.append([f"errors of clients in all trials of {event}", *(f"{sum(f):,.0f}" if f else "" for f in found), "0"])
        found = [values(figures, kind="wait", nodes=n, event=event) for n in counts]
        rows.append([f"longest wait of a client in {event}, ms", *(f"{max(f):,.0f}" if f else "" for f in found), ""])
    found = [values(figures, kind="balance", nodes=n) for n in counts]
    rows.append(["largest share / mean, the worst after any event", *(f"{max(f):.4f}" if f else "" for f in found), f"{MOST_BALANCE}"])
    return table(["", None, *(f"{n} nodes" for n in counts), "goal"], rows)


def idle(figures):
    """What members cost that nobody asks anything."""
    mine = [figure for figure in figures if figure.kind == "idle"]
    columns = list(dict.fromkeys(figure.what for figure in mine))
    names = list(dict.fromkeys(figure.event for figure in mine))
    rows = [[name, *(f"{values(mine, event=name, what=what)[0]:.2f}" for what in columns)] for name in names]
    return table([f"idle, {mine[0].nodes} nodes" if mine else "", None, *columns], rows)


def load(figures):
    """Errors in each event of the picture."""
    mine = [figure for figure in figures if figure.kind == "under load"]
    events = list(dict.fromkeys(figure.event for figure in mine))
    rows = []
    for event in events:
        errors, waits = (values(mine, event=event, what=what) for what in ("errors", "longest wait, ms"))
        rows.append([event, f"{sum(errors):,.0f}", f"{max(waits):,.0f}"])
    return table(["3 nodes under full load", None, "errors", "longest wait, ms"], rows)


def routing(told):
    """The table of the simulation."""
    head = ["members", None, "hops: mean", "p99", "most", "table: mean", "p99", "most", "asked at a join: mean", "p99", "most"]
    rows = []
    for one in told:
        cells = [f"{one[what][how]:.3g}" for what in ("hops", "table", "asked_at_join") for how in ("mean", "p99", "max")]
        rows.append([f"{one['members']:,}", *cells])
    return table([*head, "closest member found"], [[*row, f"{one['found_closest']:.1%}"] for row, one in zip(rows, told)])


def write(folder, found):
    """Writes the CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "membership.csv", "kind nodes event what trial value".split(), found.figures)
    columns = "seconds answered errors longest_ms".split()
    write_dictionaries(folder / "events.csv", columns, [dict(zip(columns, row)) for row in found.timeline])
    columns = "event began ended".split()
    write_dictionaries(folder / "marks.csv", columns, [dict(zip(columns, row)) for row in found.marks])
    columns = ["members", "lookups", "found_closest"]
    rows = []
    for one in found.routing:
        row = {name: one[name] for name in columns}
        for what in ("hops", "rounds", "asked", "table", "asked_at_join"):
            row |= {f"{what}_{how}": value for how, value in one[what].items()}
        rows.append(row)
    write_dictionaries(folder / "routing.csv", list(rows[0]), rows)


def tables(found):
    """What summary and README have in common."""
    return [
        f"Real processes on one machine, a coordinator and so many nodes; the median of the trials (least to greatest). "
        f"Clients send {STEADY_RATE:,} requests a second meanwhile; a lost node's slots, {PROBED:,} of them at most, are asked "
        f"for without a pause.",
        times(found.figures),
        f"CPU over {IDLE_SECONDS} s, and memory, when nobody asks anything:",
        idle(found.figures),
    ]


def summary(found):
    """The sections of the summary."""
    kinds = "; ".join(f"{count:,} times `{kind}`" for kind, count in found.kinds.items()) or "none"
    return "\n\n".join(
        [
            "## A cluster that forms itself",
            *tables(found),
            "### Through the events under full load",
            load(found.figures),
            f"Errors: {kinds}.",
            f"![{PICTURES[0][1]}](events.svg)",
            "### Thousands of members, simulated over libp2p's own routing tables",
            routing(found.routing),
            f"![{PICTURES[1][1]}](routing.svg)",
        ]
    )


def readme(found, folder):
    """What the README shows."""
    pictures = "\n".join(f"![{title}]({folder}/{name}.svg)" for name, title in PICTURES)
    link = f"All figures: [{folder.name}]({folder}/summary.md); `benchmarks/run --only membership` makes them."
    return "\n\n".join([*tables(found), pictures, link])


def check(found):
    """Fails where a figure cannot be true."""
    for figure in found.figures:
        if figure.kind == "ms" and figure.value <= 0 or figure.kind == "balance" and figure.value < 1:
            raise BenchError(f"a figure that cannot be: {figure}")
    if not any(answered for _, answered, *_ in found.timeline):
        raise BenchError("nothing was answered through the events")
