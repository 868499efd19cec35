//! What an entry remembers of its uses, in 32 bits: the second of the last one (24 bits, which wrap after 194 days) and,
//! under a policy that counts, Redis's logarithmic counter of how many there were (8 bits).

/// The counter of a key that is new: above those that nobody uses, below those that somebody does.
const NEW: u8 = 5;
const SECONDS: u32 = (1 << 24) - 1;

/// How fast the counter rises and falls.
#[derive(Clone, Copy)]
pub(super) struct Decay {
    /// `lfu-log-factor`: the larger, the more uses it takes to rise.
    pub(super) log_factor: u32,
    /// `lfu-decay-time`: minutes without use that reduce it by one; 0 means never.
    pub(super) minutes: u32,
}

/// The stamp of a key that is used for the first time, at `now` in milliseconds.
pub(super) fn new(now: u64) -> u32 {
    seconds(now) << 8 | u32::from(NEW)
}

/// The stamp after a use that is not counted.
pub(super) fn used(stamp: u32, now: u64) -> u32 {
    seconds(now) << 8 | stamp & 0xFF
}

/// The stamp after a use that is counted: the counter rises by chance, the more seldom the higher it is. `chance`
/// is a random number below 1.
pub(super) fn counted(stamp: u32, now: u64, decay: Decay, chance: f64) -> u32 {
    let count = count(stamp, now, decay);
    let above = f64::from(count.saturating_sub(NEW));
    let rises = count < u8::MAX && chance < 1.0 / (above * f64::from(decay.log_factor) + 1.0);
    seconds(now) << 8 | u32::from(count + u8::from(rises))
}

/// The counter as it is at `now`, after the decay since the last use.
pub(super) fn count(stamp: u32, now: u64, decay: Decay) -> u8 {
    let count = (stamp & 0xFF) as u8;
    // Whole minutes of the clock, as Redis counts them.
    let (then, now) = (stamp >> 8, seconds(now));
    let minutes = (then + (now.wrapping_sub(then) & SECONDS)) / 60 - then / 60;
    let lost = minutes.checked_div(decay.minutes).unwrap_or(0);
    count.saturating_sub(lost.min(255) as u8)
}

/// Seconds since the last use.
pub(super) fn idle_s(stamp: u32, now: u64) -> u64 {
    u64::from(seconds(now).wrapping_sub(stamp >> 8) & SECONDS)
}

fn seconds(now: u64) -> u32 {
    (now / 1000) as u32 & SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Decay = Decay { log_factor: 10, minutes: 1 };

    #[test]
    fn idle_time_survives_the_wrap() {
        let now = 1_763_900_000_000;
        assert_eq!(idle_s(new(now), now + 5_500), 5);
        let wrap = (u64::from(SECONDS) + 1) * 1000;
        assert_eq!(idle_s(new(wrap - 2000), wrap + 3000), 5);
    }

    #[test]
    fn the_counter_is_logarithmic_and_decays() {
        let now = 60_000_000_000;
        let mut stamp = new(now);
        assert_eq!(count(stamp, now, DECAY), 5);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            stamp = counted(stamp, now, DECAY, random.f64());
        }
        // Redis's documentation: a thousand hits with factor 10 give about 18.
        let after = count(stamp, now, DECAY);
        assert!((14..=24).contains(&after), "{after}");
        assert_eq!(count(stamp, now + 180_000, DECAY), after - 3);
        assert_eq!(count(stamp, now + 3_600_000, DECAY), 0);
        assert_eq!(count(stamp, now + 3_600_000, Decay { minutes: 0, ..DECAY }), after);
        assert_eq!(count(used(stamp, now + 60_000), now + 60_000, DECAY), after);
    }
}
