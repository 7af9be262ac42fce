//! Which documents are read.

/// A walk over the numbers below a bound, uniform and the same in each run (SplitMix64).
pub(crate) struct Picks {
    state: u64,
    below: u32,
}

impl Picks {
    pub(crate) fn new(below: u32) -> Self {
        Self { state: 7, below }
    }
}

impl Iterator for Picks {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper half times the bound: no bias that would matter here.
        u32::try_from(((mixed >> 32) * u64::from(self.below)) >> 32).ok()
    }
}
