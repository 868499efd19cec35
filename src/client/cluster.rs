//! `larder cluster status` and `larder cluster leave`.

use super::Options;
use super::connection::Connection;
use super::human;
use super::paint::{self, Line, Look, Style};
use super::stats::json;
use super::table::{Kind, Table};
use crate::cluster::{Member, MemberStatus, NodeId, Overview, Role};
use crate::stats::report::{NodeReport, Report};
use anyhow::{Context, Result, bail};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Columns that all there is to show has room in.
const WHOLE_WIDTH: usize = 200;

/// Shows the members of a cluster, and what is being changed.
pub fn status(options: &Options, as_json: bool) -> Result<ExitCode> {
    super::exit_code(Connection::open(options).and_then(|connection| {
        show(connection, as_json)?;
        Ok(true)
    }))
}

/// Has a node give its slots to others, and end.
pub fn leave(options: &Options, id: &str) -> Result<ExitCode> {
    super::exit_code(Connection::open(options).and_then(|mut connection| {
        ask(&mut connection, &["LARDER", "LEAVE", id])?;
        println!("The node gives its slots to others, and ends when that is done.");
        Ok(true)
    }))
}

fn ask(connection: &mut Connection, args: &[&str]) -> Result<String> {
    let reply = connection.ask(args)?;
    let text = String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned();
    if reply.is_error() {
        bail!("{}: {}", connection.addr(), paint::harmless(&text));
    }
    Ok(text)
}

fn show(mut connection: Connection, as_json: bool) -> Result<()> {
    let told = ask(&mut connection, &["LARDER", "CLUSTER"])?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json::pretty(&serde_json::from_str(&told)?))?;
        return Ok(());
    }
    let not_understood = "it says something that this version of larder does not understand";
    let overview: Overview = serde_json::from_str(&told).context(not_understood)?;
    // What the nodes hold; without it the rest is worth showing, too.
    let report = ask(&mut connection, &["LARDER", "STATS", "JSON"]).ok();
    let report = report.and_then(|text| serde_json::from_str::<Report>(&text).ok());
    let nodes = report.map(|report| report.nodes).unwrap_or_default();
    let mut look = Look::of_stdout();
    // What goes to a file or a pipe need not fit a screen.
    if !io::stdout().is_terminal() {
        look.width = WHOLE_WIDTH;
    }
    out.write_all(paint::text(lines(&overview, &nodes, look.width), look).as_bytes())?;
    Ok(())
}

/// The whole page.
fn lines(overview: &Overview, nodes: &[NodeReport], width: usize) -> Vec<Line> {
    let mut lines = vec![headline(overview)];
    let Some(status) = &overview.status else {
        lines.push(Line::default());
        lines.extend(of_node(overview).lines(width));
        lines.push(Line::default());
        lines.push(Line::of(
            Style::Faint,
            "A node knows the table only: ask a coordinator for the members' state.",
        ));
        return lines;
    };
    if let Some(reason) = &status.refused {
        lines.extend(paint::wrap(Style::Bad, &paint::harmless(reason), width));
    }
    let mut changes = Vec::new();
    for (count, what) in [
        (status.joining, "joining"),
        (
            status.members.iter().filter(|member| member.is_leaving && member.is_connected).count()
                as u16,
            "leaving",
        ),
        (overview.down.len() as u16, "down"),
    ] {
        if count > 0 {
            changes.push(format!("{count} {what}"));
        }
    }
    if status.unowned > 0 {
        let unowned = human::thousands(status.unowned.into());
        changes.push(format!("{unowned} slots between two owners"));
    }
    let changes =
        if changes.is_empty() { "nothing changes".to_owned() } else { changes.join(", ") };
    lines.push(Line::of(Style::Plain, &changes));
    lines.push(Line::default());
    let mut members: Vec<&MemberStatus> = status.members.iter().collect();
    members.sort_by_key(|member| (member.role == Role::Node, &member.address));
    let mut table = Table::new(&[
        ("member", Kind::Name(8)),
        ("role", Kind::Name(9)),
        ("address", Kind::Name(14)),
        ("state", Kind::Name(7)),
        ("slots", Kind::Number),
        ("keys", Kind::Number),
        ("memory", Kind::Number),
        ("of", Kind::Number),
        ("epoch", Kind::Number),
        ("lease", Kind::Number),
        ("heard", Kind::Number),
    ]);
    for member in members {
        let held = nodes.iter().find(|node| node.addr == member.address);
        let is_node = member.role == Role::Node;
        let (state, style) = state(overview, member);
        let of_node = |text: String| if is_node { text } else { String::new() };
        let held = |text: &dyn Fn(&NodeReport) -> String| held.map(text).unwrap_or_default();
        table.add(
            style,
            [
                short(member.id),
                (if is_node {
                    "node"
                } else if member.is_authority {
                    "authority"
                } else {
                    "coordinator"
                })
                .to_owned(),
                paint::harmless(&member.address),
                state.to_owned(),
                of_node(human::thousands(member.slots.into())),
                held(&|node| human::thousands(node.cache.keys)),
                held(&|node| human::bytes(node.cache.used_bytes)),
                of_node(human::bytes(member.capacity)),
                member.epoch.to_string(),
                of_node(format!("{} ms", member.lease_ms)),
                format!("{} ms", member.heard_ms),
            ],
        );
    }
    lines.extend(table.lines(width));
    lines
}

fn headline(overview: &Overview) -> Line {
    let nodes = overview.nodes.len();
    let line = Line::of(Style::Strong, "Cluster").add(
        Style::Plain,
        &format!("  {nodes} node{} with slots, table {}", plural(nodes), overview.epoch),
    );
    match overview.has_lease {
        Some(true) => line.add(Style::Graph, "  this node holds a lease"),
        Some(false) => line.add(Style::Bad, "  this node holds no lease: it serves nothing"),
        None => line,
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn state(overview: &Overview, member: &MemberStatus) -> (&'static str, Style) {
    let has_slots = overview.nodes.iter().any(|(node, _)| node.id == member.id);
    if !member.is_connected || overview.down.contains(&member.id) {
        ("down", Style::Bad)
    } else if member.is_leaving {
        ("leaving", Style::Graph)
    } else if member.role == Role::Node && !has_slots {
        ("joining", Style::Graph)
    } else {
        ("up", Style::Plain)
    }
}

/// What a node knows.
fn of_node(overview: &Overview) -> Table {
    let mut table = Table::new(&[
        ("member", Kind::Name(8)),
        ("address", Kind::Name(14)),
        ("slots", Kind::Number),
        ("memory", Kind::Number),
    ]);
    for (Member { id, address, capacity }, slots) in &overview.nodes {
        table.add(
            Style::Plain,
            [
                short(*id),
                paint::harmless(address),
                human::thousands((*slots).into()),
                human::bytes(*capacity),
            ],
        );
    }
    table
}

/// Enough of a name for `larder cluster leave`.
fn short(id: NodeId) -> String {
    id.to_string()[..8].to_owned()
}
