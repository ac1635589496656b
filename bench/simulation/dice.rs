//! Chance from a seed.

/// A generator of the xorshift family (G. Marsaglia, 2003).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// From 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Microseconds until something that happens once in `mean_us` on average.
    pub(crate) fn wait_us(&mut self, mean_us: f64) -> u64 {
        (-mean_us * (1.0 - self.unit()).ln()).max(1.0) as u64
    }
}

/// Tenants by rank: the n-th is as likely as 1/n.
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(tenants: usize) -> Self {
        let mut sum = 0.0;
        let steps = (1..=tenants).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(steps.collect())
    }

    /// A tenant, counted from 0.
    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let all = self.0.last().copied().unwrap_or(1.0);
        let point = dice.unit() * all;
        self.0
            .partition_point(|sum| *sum <= point)
            .min(self.0.len().saturating_sub(1))
    }
}
