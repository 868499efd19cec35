//! Prometheus and its promtool: they read what `--metrics` serves, and Prometheus gets the figures of the traffic.

use super::run;
use crate::metrics::{ON, addrs};
use crate::util::http::get;
use crate::util::{Server, free_port, wait_for};
use std::process::Command;
use std::time::Duration;

/// A node and a coordinator that have had some traffic.
fn servers() -> [Server; 2] {
    let node = Server::node(&ON);
    let coordinator = Server::coordinator(&[&node], &ON);
    let mut conn = coordinator.conn();
    for key in 0..40 {
        conn.cmd(&format!("SET user:{key} value"));
    }
    for key in 0..100 {
        conn.cmd(&format!("GET user:{key}"));
    }
    conn.cmd("INCR user:1");
    [node, coordinator]
}

#[test]
fn promtool_has_no_complaint() {
    for server in &servers() {
        let page = get(&addrs(server)[0], "/metrics");
        let checked =
            run(Command::new("promtool").args(["check", "metrics"]), page.body.as_bytes());
        assert_eq!((checked.code, &*checked.out, &*checked.err), (Some(0), "", ""));
    }
}

#[test]
fn prometheus_counts_the_traffic() {
    let [node, coordinator] = servers();
    let [of_node, of_coordinator] = [&node, &coordinator].map(|server| addrs(server).remove(0));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: larder\n  \
         static_configs:\n  - targets: ['{of_node}', '{of_coordinator}']\n"
    );
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let addr = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", path.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address={addr}")).current_dir(folder.path());
    let prometheus = Server::program(command, &addr);
    wait_for("Prometheus is ready", Duration::from_secs(30), || {
        get(&addr, "/-/ready").status == 200
    });

    // The values of an expression, in the order of their labels.
    let query = |expression: &str| {
        let page = get(&addr, &format!("/api/v1/query?query={}", encoded(expression)));
        assert!(page.body.starts_with("{\"status\":\"success\""), "{expression}: {}", page.body);
        let values = page.body.split("\"value\":[").skip(1);
        values.map(|value| value.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for("both are scraped", Duration::from_secs(30), || query("sum(up)") == ["2"]);
    for (expression, value) in [
        ("larder_keyspace_hits_total", "40"),
        ("larder_keyspace_misses_total", "60"),
        ("larder_keys", "40"),
        ("sum(larder_commands_total{command='get'}) by (command)", "200"),
        (
            "larder_commands_total{command='get'} and on(instance) larder_build_info{role='coordinator'}",
            "100",
        ),
        ("sum(larder_command_duration_seconds_count{command='get'})", "200"),
        (
            "larder_errors_total{code='ERR'} and on(instance) larder_build_info{role='coordinator'}",
            "1",
        ),
        ("larder_node_up", "1"),
    ] {
        assert_eq!(query(expression), [value], "{expression}");
    }
    let median =
        query("histogram_quantile(0.5, larder_command_duration_seconds_bucket{command='set'})");
    assert!(
        median.iter().all(|median| (1e-7..1.0).contains(&median.parse::<f64>().unwrap())),
        "{median:?}"
    );
    // What the dashboard asks is understood.
    let dashboard = get(&of_node, "/dashboard.json").body.replace("\\\"", "'");
    let expressions: Vec<&str> = dashboard.split("\"expr\": \"").skip(1).collect();
    assert!(expressions.len() > 20, "{dashboard}");
    for expression in expressions {
        let expression = expression.split('"').next().unwrap();
        let variables = ["$instance", "$job"]
            .iter()
            .fold(expression.replace("$__rate_interval", "1m"), |expression, variable| {
                expression.replace(variable, ".*")
            });
        query(&variables);
    }
    assert!(!prometheus.stderr().contains("level=error"), "{}", prometheus.stderr());
}

/// An expression as a part of an address.
fn encoded(expression: &str) -> String {
    expression.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
