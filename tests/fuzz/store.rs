//! Any operations, at any limit, under any policy: the store does what the model does, and stays whole.

#![no_main]

use larder::store::Policy;
use larder::store::model::{decode, run};

/// From nothing at all to more than all keys together take.
const LIMITS: [u64; 6] = [0, 300, 4000, 12_000, 60_000, 400_000];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [limit, policy, operations @ ..] = bytes else { return };
    let limit = LIMITS[usize::from(*limit) % LIMITS.len()];
    let policy = u64::from(*policy) % Policy::NAMES.len() as u64;
    run(limit, Policy::from_index(policy), decode(operations));
});
