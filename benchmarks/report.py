"""The report: raw CSV, the summary's tables and the table of the README."""

import csv
import statistics

import load

LIMIT = 0.9  # Share of a core from which the load generator, not the server, is what is measured.
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
TITLES = {
    "node": "Node against redis-server",
    "coordinator": "Coordinator against nutcracker, over the same two redis-servers (CPU of the proxies alone)",
    "cluster": "Coordinator and two nodes against one redis-server reached directly (CPU of all server processes)",
}


def pick(turns, **wanted):
    """The turns with these fields."""
    return [turn for turn in turns if all(getattr(turn, name) == value for name, value in wanted.items())]


def median(values):
    """The median of a generator of numbers."""
    return statistics.median(list(values))


def rounds(turns, pipeline, command):
    """Ratios of Larder to its peer, one (throughput, CPU, p50, p99) for each round.

    Each from two turns that followed one another. With command None: SET and GET together, as many of each.
    """
    commands = load.COMMANDS if command is None else (command,)
    found = []
    for number in sorted({turn.round for turn in turns}):
        mine, theirs = (
            [pick(turns, pipeline=pipeline, command=name, round=number, side=side)[0] for name in commands]
            for side in ("larder", "peer")
        )
        totals = [
            [sum(values) for values in zip(*((1 / t.rps, t.cpu_us, t.p50_ms, t.p99_ms) for t in some))]
            for some in (mine, theirs)
        ]
        (time, *rest), (peer_time, *peer_rest) = totals
        found.append((peer_time / time, *(a / b for a, b in zip(rest, peer_rest))))
    return found


def ratio(turns, pipeline, command, which, spread=True):
    """The median of a ratio over the rounds, with its least and greatest."""
    values = [found[which] for found in rounds(turns, pipeline, command)]
    text = f"{statistics.median(values):.2f}"
    if spread and len(values) > 1:
        text += f" ({min(values):.2f} to {max(values):.2f})"
    return text


def generator_bound(turns, pipeline, command=None):
    """Whether the load generator was at its limit on either side."""
    for side in ("larder", "peer"):
        for name in load.COMMANDS if command is None else (command,):
            some = pick(turns, pipeline=pipeline, command=name, side=side)
            if median(turn.generator_share for turn in some) > LIMIT:
                return True
    return False


def table(head, rows):
    """A Markdown table; columns after those that name a row are aligned right."""
    names = head.index(None) if None in head else 1
    head = [cell for cell in head if cell is not None]
    lines = [head, ["---" if i < names else "---:" for i in range(len(head))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def comparison_tables(turns):
    """Figures and ratios of one comparison."""
    figures, ratios = [], []
    for pipeline in load.PIPELINES:
        for command in load.COMMANDS:
            for side in ("larder", "peer"):
                some = pick(turns, pipeline=pipeline, command=command, side=side)
                figures.append(
                    [
                        str(pipeline),
                        command.upper(),
                        some[0].server,
                        f"{median(t.rps for t in some):,.0f}",
                        f"{median(t.cpu_us for t in some):.2f}",
                        f"{median(t.server_cpu / t.seconds for t in some):.2f}",
                        f"{median(t.generator_share for t in some):.2f}",
                        f"{median(t.p50_ms for t in some):.3f}",
                        f"{median(t.p99_ms for t in some):.3f}",
                    ]
                )
        for command in (*load.COMMANDS, None):
            mark = " *" if generator_bound(turns, pipeline, command) else ""
            cells = [ratio(turns, pipeline, command, which) for which in range(4)]
            cells[0] += mark
            ratios.append([str(pipeline), command.upper() if command else "both", *cells])
    head = ["pipeline", "command", "server", None, "requests/s", "CPU µs/request", "server cores", "generator cores"]
    return "\n\n".join(
        [
            table([*head, "p50 ms", "p99 ms"], figures),
            "Larder's figure divided by its peer's:",
            table(["pipeline", "command", None, "throughput", "CPU/request", "p50", "p99"], ratios),
        ]
    )


def overview(turns):
    """The table of ratios in short: what the README shows."""
    columns = [
        ("node", "node against redis-server: throughput", 0),
        ("node", "CPU/request", 1),
        ("coordinator", "coordinator against nutcracker: throughput", 0),
        ("coordinator", "CPU/request", 1),
        ("cluster", "coordinator + 2 nodes against one redis-server: throughput", 0),
        ("cluster", "CPU/request", 1),
    ]
    columns = [column for column in columns if pick(turns, comparison=column[0])]
    rows, starred = [], False
    for pipeline in load.PIPELINES:
        cells = []
        for comparison, _, which in columns:
            some = pick(turns, comparison=comparison)
            bound = which == 0 and generator_bound(some, pipeline)
            starred |= bound
            cells.append(ratio(some, pipeline, None, which, spread=False) + (" *" if bound else ""))
        rows.append(["no pipelining" if pipeline == 1 else f"pipeline {pipeline}", *cells])
    text = table(["load", None, *[title for _, title, _ in columns]], rows)
    if starred:
        text += f"\n\n\\* The load generator used more than {LIMIT:.0%} of a core: judge by CPU alone."
    return text


def mib(size):
    """Bytes as MiB."""
    return f"{size / 1048576:.1f}"


def server_order(found):
    """The names of servers, each once, as they came."""
    return list(dict.fromkeys(start.server for start in found))


def start_table(starts):
    """Start-up time and resident memory at start."""
    rows = []
    for name in server_order(starts):
        some = [start for start in starts if start.server == name]
        millis = [start.seconds * 1000 for start in some]
        spread = f"{min(millis):.1f} to {max(millis):.1f}"
        rows.append([name, f"{median(millis):.1f}", spread, mib(median(start.rss for start in some))])
    return table(["server", None, "to the first PONG, ms", "least to greatest", "resident then, MiB"], rows)


def memory_table(memory):
    """Resident memory of every server of the comparisons."""
    rows = [[m.comparison, m.server, mib(m.start), mib(m.loaded), mib(m.end)] for m in memory]
    return table(["comparison", "server", None, "at start, MiB", "keys stored, MiB", "after the load, MiB"], rows)


def summary(turns, memory, starts, setup, stored):
    """The whole report in Markdown."""
    compared = []
    if turns:
        compared = [
            "## Overview",
            "Larder's figure divided by its peer's, SET and GET together; throughput is better above 1, CPU below 1.",
            overview(turns),
        ]
    parts = [
        f"# Benchmarks of {setup['date']}",
        "Made by `benchmarks/run`; the method is in [benchmarks/README.md](../../README.md), every turn in `raw.csv`, "
        "every start in `start.csv`.",
        "## Setup",
        "\n".join(f"- {name}: {value}" for name, value in setup.items()),
        *compared,
    ]
    for name, title in TITLES.items():
        some = pick(turns, comparison=name)
        if some:
            parts += [f"## {title}", comparison_tables(some)]
    if any(generator_bound(pick(turns, comparison=turn.comparison), turn.pipeline) for turn in turns):
        parts.append(
            f"\\* The load generator used more than {LIMIT:.0%} of a core on one side or both: "
            "the throughput is the generator's, so judge by CPU alone."
        )
    parts += ["## Start", start_table(starts)]
    parts += ["## Resident memory", memory_table(memory)] if memory else []
    parts += [stored] if stored else []
    return "\n\n".join(parts) + "\n"


def write(folder, turns, memory, starts, setup, stored):
    """Writes raw.csv, start.csv and summary.md."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = "comparison pipeline command round side server requests seconds rps server_cpu cpu_us generator_cpu "
    columns = (columns + "generator_share p50_ms p99_ms").split()
    write_csv(folder / "raw.csv", columns, turns)
    write_csv(folder / "start.csv", "server repeat seconds rss".split(), starts)
    (folder / "summary.md").write_text(summary(turns, memory, starts, setup, stored))


def write_csv(path, columns, rows):
    """Writes these attributes of the rows; floats with as many digits as mean something."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = [getattr(row, column) for column in columns]
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


def readme_block(turns, starts, setup, link):
    """What stands between the README's two marks."""
    up, redis = (
        [start for start in starts if start.server == name] for name in ("larder up", "redis-server")
    )
    return "\n\n".join(
        [
            "Larder's figure divided by its peer's; throughput is better above 1, server CPU a request below 1. "
            f"redis-benchmark, {load.CONNECTIONS} connections, {load.VALUE_BYTES}-byte values, {load.KEYS:,} random "
            f"keys, SET and GET, in turns; workers a Larder server: {setup['workers']}; cores: {setup['cores']}.",
            overview(turns),
            f"`larder up` (a coordinator and three nodes) answers {median(s.seconds for s in up) * 1000:.0f} ms after "
            f"its start with {mib(median(s.rss for s in up))} MiB resident, one redis-server after "
            f"{median(s.seconds for s in redis) * 1000:.0f} ms with {mib(median(s.rss for s in redis))} MiB. "
            f"All figures: [{setup['date']}]({link}); method: [benchmarks](benchmarks/README.md).",
        ]
    )


def has_marks(path, begin=BEGIN, end=END):
    """Whether the README has the place for the table."""
    text = path.read_text() if path.exists() else ""
    return begin in text and end in text.partition(begin)[2]


def replace_block(path, block, begin=BEGIN, end=END):
    """Puts the block between the README's marks."""
    before, _, rest = path.read_text().partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{block}\n{end}{after}")
