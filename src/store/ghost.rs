//! Keys that were evicted not long ago, by the hashes of their names: a key that comes back so soon was wanted.

/// Places that a hash may be in.
const WAYS: usize = 8;
/// Steps of the clock in which a ghost loses its place.
const LIFE: u32 = 1 << 12;

/// A hash of 16 bits, and the time of the eviction in the other 16; 0 is none. Which set it is in says more of the
/// hash; the time wraps long after the ghost was overwritten.
#[derive(Clone, Copy, Default)]
struct Ghost(u32);

impl Ghost {
    fn new(hash: u32, time: u32) -> Self {
        Ghost(hash << 16 | (time & 0xFFFF).max(1))
    }

    fn is(self, hash: u32) -> bool {
        self.0 & 0xFFFF != 0 && self.0 >> 16 == hash & 0xFFFF
    }

    fn age(self, time: u32) -> u32 {
        time.wrapping_sub(self.0) & 0xFFFF
    }
}

/// The last evicted keys, about as many as [`Ghosts::resize`] was told.
#[derive(Default)]
pub(super) struct Ghosts {
    sets: Vec<[Ghost; WAYS]>,
    /// How many it is meant to remember, and the evictions so far.
    wanted: usize,
    evictions: u64,
}

impl Ghosts {
    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.sets.len() * size_of::<[Ghost; WAYS]>()
    }

    /// Makes room for `wanted` hashes, if that is a quarter more or less than before. Then it begins anew, which costs
    /// the policy a little knowledge now and then, but nobody any time.
    pub(super) fn resize(&mut self, wanted: usize) {
        let difference = wanted.abs_diff(self.wanted);
        if wanted == 0 || difference > self.wanted / 4 {
            self.wanted = wanted;
            // A sixth more than wanted: few sets then forget a hash before its time.
            let sets = if wanted == 0 { 0 } else { (wanted + wanted / 6).div_ceil(WAYS) };
            self.sets = vec![[Ghost::default(); WAYS]; sets];
        }
    }

    /// Remembers a key that is evicted.
    pub(super) fn remember(&mut self, hash: u32) {
        self.evictions += 1;
        let time = self.time();
        if let Some(set) = self.set(hash) {
            let age = |ghost: &&mut Ghost| if ghost.0 == 0 { u32::MAX } else { ghost.age(time) };
            if let Some(oldest) = set.iter_mut().max_by_key(age) {
                *oldest = Ghost::new(hash, time);
            }
        }
    }

    /// Whether a key was among the last that were evicted; it is not any more after this.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        let time = self.time();
        let Some(set) = self.set(hash) else { return false };
        let found = set.iter_mut().find(|ghost| ghost.is(hash));
        found.is_some_and(|ghost| std::mem::take(ghost).age(time) <= LIFE)
    }

    /// A clock that makes [`LIFE`] steps in as many evictions as are to be remembered.
    fn time(&self) -> u32 {
        (self.evictions * u64::from(LIFE) / self.wanted.max(1) as u64) as u32
    }

    fn set(&mut self, hash: u32) -> Option<&mut [Ghost; WAYS]> {
        let at = (u64::from(hash) * self.sets.len() as u64) >> 32;
        self.sets.get_mut(at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_ones() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.take(1));
        ghosts.remember(1);
        ghosts.resize(1000);
        let hash = |number: u32| number.wrapping_mul(0x9E37_79B1);
        (0..3000).for_each(|number| ghosts.remember(hash(number)));
        let there: Vec<u32> = (0..3000).filter(|&n| ghosts.take(hash(n))).collect();
        let wrong = there.iter().filter(|&&number| number < 1998).count();
        assert!(wrong <= 5, "{wrong} that were evicted long ago");
        assert!(there.len() > 750, "{} of them", there.len());
        assert!(!ghosts.take(hash(2999)), "once");
        assert!(ghosts.bytes() < 5000);
        ghosts.resize(0);
        assert_eq!(ghosts.bytes(), 0);
    }
}
