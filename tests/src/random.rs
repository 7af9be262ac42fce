//! Numbers that look random and are the same for the same seed, so that a case that failed can be made again.

/// A generator (splitmix64): small, fast, and good enough to make up test cases.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed in the environment variable, or this one.
    #[must_use]
    pub fn seed(variable: &str, default: u64) -> u64 {
        std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Any number.
    pub const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below the limit; 0 for a limit of 0.
    #[expect(clippy::cast_possible_truncation, reason = "smaller than the limit, which is a usize")]
    pub const fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (self.any() % limit as u64) as usize }
    }

    /// True in one of so many times.
    pub const fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these. There is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
