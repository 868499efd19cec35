//! Cases of LARDER, which Redis has not. What the statistics count is held against known traffic in `statistics`.

use super::{Cx, Role, Value, bulk, cases, oracle};

cases!(run_private: stats, stats_settings, epoch, of_members);

fn stats(cx: &mut Cx) {
    if oracle() {
        return;
    }
    cx.ok("SET user:1 value");
    let all = cx.get("LARDER STATS");
    let names: Vec<String> = all.pairs().iter().map(|(name, _)| name.text()).collect();
    let want =
        "server traffic cache commands latency errors prefixes ages curve hot-keys big-keys nodes";
    cx.check(names.join(" ") == want, "LARDER STATS", names);
    let role = if cx.role == Role::Node { "node" } else { "coordinator" };
    let server = all.field("server").and_then(|server| server.field("role"));
    cx.check(server == Some(bulk(role)), "the role", server);
    let cache = cx.get("larder stats CACHE");
    cx.check(cache.pairs().len() == 1, "one section", &cache);
    let keys = cache.field("cache").and_then(|cache| cache.field("keys"));
    cx.check(keys == Some(Value::Int(1)), "keys", keys);
    let text = cx.get("LARDER STATS TEXT cache traffic").text();
    let titles: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    cx.check(titles == ["# Traffic", "# Cache"], "LARDER STATS TEXT", &text);
    cx.check(text.contains("\r\nkeys:1\r\n"), "LARDER STATS TEXT", &text);
    let json = cx.get("LARDER STATS JSON cache").text();
    cx.check(json.starts_with("{\"cache\":{\"keys\":1,"), "LARDER STATS JSON", json);
    cx.error(
        "LARDER STATS JSON nosuch",
        "ERR unknown section 'nosuch' (there are: server, traffic, cache, commands, latency, errors, prefixes, ages, \
         curve, hot-keys, big-keys, nodes)",
    );
    cx.int("DEL user:1", 1);
}

fn stats_settings(cx: &mut Cx) {
    if oracle() {
        return;
    }
    cx.ok("CONFIG SET stats-sample-every 1 stats-separator ->");
    for number in 0..100 {
        cx.ok(&format!("SET a->{number} value"));
        cx.ok(&format!("SET b:{number} value"));
    }
    let text = cx.get("LARDER STATS TEXT prefixes").text();
    for line in ["prefix=a,keys=100,", "prefix=(none),keys=100,"] {
        cx.check(text.contains(line), line, &text);
    }
    cx.check(text.contains("writes=100,"), "all are counted", &text);
    cx.ok("CONFIG SET stats-sample-every 0 stats-curve no");
    cx.ok("CONFIG RESETSTAT");
    cx.ok("SET a->1 value");
    cx.bulk("GET a->1", "value");
    let text = cx.get("LARDER STATS TEXT prefixes curve hot-keys").text();
    cx.check(text.contains("sampled:0\r\n") && text.contains("reads:0.000\r\n"), "off", &text);
    cx.check(text.contains("keys=100,") && !text.contains("writes=1,"), "off", &text);
    for wrong in ["\"\"", "12345678"] {
        cx.error(
            &format!("CONFIG SET stats-separator {wrong}"),
            "ERR CONFIG SET failed (possibly related to argument 'stats-separator') - argument must be a text of 1 to 7 \
             bytes",
        );
    }
    cx.expect(
        "CONFIG GET stats-separator",
        Value::Map(vec![(bulk("stats-separator"), bulk("->"))]),
    );
    cx.ok("CONFIG SET stats-sample-every 256 stats-curve yes stats-separator :");
    cx.ok("FLUSHALL");
}

/// Nobody here joined a cluster.
fn epoch(cx: &mut Cx) {
    if oracle() {
        return;
    }
    cx.errors(
        "ERR LARDER EPOCH is for coordinators that joined the cluster of this node",
        &["LARDER EPOCH 1", "LARDER EPOCH x"],
    );
    cx.arity("larder|epoch", &["LARDER EPOCH"]);
    cx.error(
        "AUTH larder-coordinator x",
        "WRONGPASS invalid username-password pair or user is disabled.",
    );
}

/// What members of a cluster answer is in `cluster`.
fn of_members(cx: &mut Cx) {
    if oracle() {
        return;
    }
    let no_member = "ERR this server is in no cluster that forms itself";
    cx.error("LARDER CLUSTER", no_member);
    cx.error("LARDER LEAVE 00", no_member);
}
