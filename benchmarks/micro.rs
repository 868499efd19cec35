//! What the store's operations cost by the number of items, without sockets and protocol: nanoseconds each, as CSV.
//!
//! `cargo bench --bench micro -- [most items]`, ten million if nothing is said. Keys of 16 and values of 32 bytes; keys
//! are used in random order, so that the caches of the processor help only as far as they would in earnest.

use larder::store::{Access, Expiry, Keyspace, Policy, Store};
use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

/// Operations that are measured together.
const ROUND: usize = 200_000;
const ITEMS_MAX: usize = 10_000_000;
const VALUE: [u8; 32] = [7; 32];
/// Milliseconds since 1970, about; the store has no clock.
const NOW: u64 = 1_763_900_000_000;

/// The key with a number, as hexadecimal digits.
fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
    }
    key
}

fn keyspace<'a>(store: &'a Store, key: &[u8], now: u64) -> Keyspace<'a> {
    store.lock_key(0, now, key, store.hash(key))
}

fn put(store: &Store, number: u64, now: u64, expiry: Expiry) {
    let key = key(number);
    let mut keyspace = keyspace(store, &key, now);
    // What can be refused is not measured: there is always room, or something to evict.
    if keyspace.make_room(key.len() + VALUE.len()).is_ok() {
        black_box(keyspace.put(&key, VALUE.as_slice().into(), expiry)).ok();
    }
}

/// Nanoseconds an operation takes, the least of three rounds.
fn measure(count: usize, mut operation: impl FnMut(u64)) -> f64 {
    let rounds = (0..3).map(|round| {
        let start = Instant::now();
        for number in 0..count as u64 {
            operation(number + round * count as u64);
        }
        start.elapsed().as_nanos() as f64 / count as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn main() -> io::Result<()> {
    let most = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(ITEMS_MAX);
    let mut out = io::stdout().lock();
    writeln!(out, "operation,items,ns")?;
    let mut random = fastrand::Rng::with_seed(42);
    let sizes = std::iter::successors(Some(1000), |items| Some(items * 10));
    for items in sizes.take_while(|&items| items <= most) {
        let mut row = |operation: &str, ns: f64| writeln!(out, "{operation},{items},{ns:.1}");
        let any = items as u64;

        let store = Store::new(0, Policy::AllkeysLru);
        let start = Instant::now();
        (0..any).for_each(|number| put(&store, number, NOW, Expiry::Never));
        row("set", start.elapsed().as_nanos() as f64 / items as f64)?;
        row(
            "get",
            measure(ROUND, |_| {
                let key = key(random.u64(..any));
                black_box(keyspace(&store, &key, NOW).get(&key).is_some());
            }),
        )?;
        row(
            "peek",
            measure(ROUND, |_| {
                let key = key(random.u64(..any));
                black_box(keyspace(&store, &key, NOW).view(&key, Access::Peek).is_some());
            }),
        )?;
        row(
            "miss",
            measure(ROUND, |_| {
                let key = key(any + random.u64(..));
                black_box(keyspace(&store, &key, NOW).get(&key).is_some());
            }),
        )?;
        row("overwrite", measure(ROUND, |_| put(&store, random.u64(..any), NOW, Expiry::Never)))?;

        // Full: every new key evicts an old one.
        let mut fresh = any;
        for (name, policy) in [
            ("evict (lru)", Policy::AllkeysLru),
            ("evict (s3fifo)", Policy::AllkeysS3fifo),
            ("evict (lfu)", Policy::AllkeysLfu),
        ] {
            store.budget.configure(store.budget.used() as u64, policy);
            while store.tick(NOW, true) {}
            row(
                name,
                measure(ROUND.min(items), |_| {
                    put(&store, fresh, NOW, Expiry::Never);
                    fresh += 1;
                }),
            )?;
        }

        // Everything expires within a minute.
        let store = Store::new(0, Policy::AllkeysLru);
        let start = Instant::now();
        for number in 0..any {
            let at = NOW + 1 + random.u64(..60_000);
            put(&store, number, NOW, Expiry::At(at));
        }
        row("set with a time", start.elapsed().as_nanos() as f64 / items as f64)?;
        let start = Instant::now();
        for now in (NOW..NOW + 61_000).step_by(8) {
            while store.tick(now, true) {}
        }
        row("expire", start.elapsed().as_nanos() as f64 / items as f64)?;
    }
    Ok(())
}
