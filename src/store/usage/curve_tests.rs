//! The curve against an exact simulation of LRU.

use super::*;

const ITEM: u64 = 91 + INDEX_BYTES;

fn found(expires_at: u64) -> Found {
    Found { bytes: (ITEM - INDEX_BYTES) as usize, expires_at }
}

/// How many reads hit in a memory for so many items, exactly.
fn exact(requests: &[u32], items: usize) -> f64 {
    // By time of last use; a key's time by its number.
    let mut used: std::collections::BTreeMap<usize, u32> = Default::default();
    let mut last: HashMap<u32, usize> = HashMap::new();
    let mut hits = 0;
    for (time, id) in requests.iter().enumerate() {
        match last.insert(*id, time) {
            Some(before) if used.remove(&before).is_some() => hits += 1,
            _ => {}
        }
        used.insert(time, *id);
        if used.len() > items {
            used.pop_first();
        }
    }
    f64::from(hits) / requests.len() as f64
}

/// The curve of look-aside requests: a miss is followed by a write.
fn tracked(requests: &[u32], limit: u64) -> Curve {
    let mut curve = Curve::default();
    for id in requests {
        let id = mix(u64::from(*id));
        if is_below(id, curve.threshold()) {
            curve.read(id, None, 0, limit);
            curve.renew(id, &found(0), 0, limit);
        }
    }
    curve
}

/// Zipf-distributed requests by inversion of the harmonic sum, approximately.
fn zipf(count: usize, ids: u32, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let scale = f64::from(ids).ln();
    (0..count).map(|_| (random.f64() * scale).exp() as u32).collect()
}

fn check(requests: &[u32], sizes: &[usize], limit: u64, tolerance: f64) {
    let curve = tracked(requests, limit);
    assert!(curve.tracked() <= KEYS_MAX);
    let bytes: Vec<u64> = sizes.iter().map(|&items| items as u64 * ITEM).collect();
    let hits = curve.hits(requests.len() as f64, &bytes);
    for (items, hits) in sizes.iter().zip(hits) {
        let (exact, found) = (exact(requests, *items), hits / requests.len() as f64);
        assert!((exact - found).abs() < tolerance, "{items} items: {exact:.3}, {found:.3}");
    }
}

#[test]
fn zipf_loads_of_many_sizes() {
    check(&zipf(400_000, 30_000, 1), &[2_000, 8_000, 20_000], 0, 0.04);
    check(&zipf(1_000_000, 1_000_000, 2), &[5_000, 20_000, 100_000, 300_000], 0, 0.04);
}

#[test]
fn a_loop_that_does_not_fit_never_hits() {
    let requests: Vec<u32> = (0..10).flat_map(|_| 0..50_000).collect();
    // Where all keys are used alike the part of the reads that is sampled is that of the keys, give or take 1 in 50.
    check(&requests, &[20_000, 44_000, 58_000], 0, 0.04);
}

#[test]
fn what_is_out_of_reach_is_forgotten() {
    let requests = zipf(300_000, 3_000_000, 3);
    let limit = 20_000 * ITEM;
    let curve = tracked(&requests, limit);
    assert!(curve.order.total as f64 * curve.weight() <= (limit * REACH) as f64);
    check(&requests, &[10_000, 20_000, 80_000], limit, 0.03);
}

#[test]
fn deletion_and_expiry_are_misses_everywhere() {
    let mut curve = Curve::default();
    for id in 0..3 {
        curve.renew(id, &found(50), 0, 0);
        curve.read(id, None, 10, 0);
    }
    curve.forget(0);
    curve.expire(1, 0);
    for id in 0..3 {
        curve.read(id, None, 60, 0);
    }
    // Three before; then one was deleted, one expires no more, one is overdue.
    let hits = curve.hits(curve.reads, &[1 << 30])[0] / curve.weight();
    assert_eq!((hits, curve.reads / curve.weight()), (4.0, 6.0));
    assert_eq!((curve.tracked(), curve.expiring.len()), (1, 0));
    curve.fade();
    assert_eq!(curve.hits(curve.reads, &[1 << 30])[0] / curve.weight(), 2.0);
    curve.reset();
    curve.forget_all(Some(3));
    assert_eq!(curve.tracked(), 1);
    curve.forget_all(Some(1));
    assert_eq!((curve.hits(0.0, &[1 << 30])[0], curve.tracked()), (0.0, 0));
}

/// A small set of keys that are read again and again, among many that expire before anybody wants them.
#[test]
fn what_has_expired_takes_no_memory() {
    let mut curve = Curve::default();
    for now in 0..2_000 {
        for hot in (0..3).filter(|_| now % 20 == 0) {
            curve.read(hot, None, now, 0);
            curve.renew(hot, &found(0), now, 0);
        }
        for number in 0..10 {
            curve.renew(1000 + now * 10 + number, &found(now + 5), now, 0);
        }
    }
    // No more than fifty of those are alive at once, but two hundred come between two reads.
    let memory = (60.0 * ITEM as f64 * curve.weight()) as u64;
    let ratio = curve.hits(curve.reads, &[memory])[0] / curve.reads;
    assert!(ratio > 0.98 && curve.tracked() <= 63, "{ratio} {}", curve.tracked());
}

#[test]
fn however_many_keys_there_are_the_bounds_hold() {
    let mut curve = Curve::default();
    // As many keys as would be tracked of thousands of millions, one after another.
    for id in 0..200_000u64 {
        let id = mix(id) >> 20;
        curve.read(id, None, 0, 0);
        curve.renew(id, &found(id % 7 + 1_000_000), 0, 0);
        assert!(curve.tracked() <= KEYS_MAX && curve.order.ids.len() <= PLACES);
    }
    assert!(curve.threshold() < 2_000, "{}", curve.threshold());
    for _ in 0..20 {
        curve.forget_where(|_| true);
        curve.fade();
    }
    assert_eq!(curve.threshold(), THRESHOLD_MAX);
    curve.narrow();
    curve.forget_all(None);
    assert_eq!(curve.threshold(), THRESHOLD_MAX);
}

#[test]
fn fewer_keys_are_tracked_where_they_are_used_too_often() {
    let mut curve = Curve::default();
    for id in 0..4_000 {
        curve.renew(mix(id) >> 6, &found(0), 0, 0);
    }
    let (keys, threshold) = (curve.tracked(), curve.threshold());
    curve.relieve(1_000);
    assert_eq!((curve.tracked(), curve.threshold()), (keys, threshold), "4,000 a second are few");
    for _ in 0..100 {
        (0..4_000).for_each(|id| curve.read(mix(id) >> 6, None, 0, 0));
        curve.relieve(100);
    }
    assert!((KEYS_MIN * 7 / 8..=KEYS_MIN).contains(&curve.tracked()), "{}", curve.tracked());
}

#[test]
fn a_key_that_was_there_before_is_not_judged_at_first() {
    let mut curve = Curve::default();
    curve.read(7, Some(found(0)), 0, 0);
    assert_eq!((curve.reads, curve.tracked()), (0.0, 1));
    curve.read(7, Some(found(0)), 0, 0);
    assert_eq!(curve.reads, curve.weight());
}

#[test]
fn buckets_are_contiguous() {
    for bytes in (1..100_000).chain([1 << 20, (1 << 30) + 77, 1 << 45]) {
        let bucket = bucket(bytes);
        assert!(lower(bucket) <= bytes as f64 && lower(bucket + 1) > bytes as f64, "{bytes}");
    }
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
}

/// A hash that is the same in every run (SplitMix64).
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
