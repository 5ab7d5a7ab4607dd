//! How long a suspicion waits to be refuted.

/// A thousand times the binary logarithm of 1 to 9.
const LOG2: [u64; 9] = [0, 1_000, 1_585, 2_000, 2_322, 2_585, 2_807, 3_000, 3_170];

/// Lifeguard's dynamic suspicion: the longest time if nobody confirms it, the shortest once `wanted` others do, and
/// between the two each confirmation counts less than the one before. Where there is nobody to ask it is the longest.
pub(super) fn timeout_us((min_us, max_us): (u64, u64), confirmed: usize, wanted: usize) -> u64 {
    let wanted = wanted.min(LOG2.len() - 1);
    if wanted == 0 {
        return max_us;
    }
    let confirmed = confirmed.min(wanted);
    let span_us = max_us.saturating_sub(min_us);
    max_us - span_us.saturating_mul(LOG2[confirmed]) / LOG2[wanted]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_confirmation_shortens_it_by_less() {
        let after = |confirmed| timeout_us((100, 1_100), confirmed, 3);
        assert_eq!(
            [after(0), after(1), after(2), after(3), after(9)],
            [1_100, 600, 308, 100, 100]
        );
        assert_eq!(timeout_us((100, 1_100), 0, 0), 1_100, "nobody to ask");
        assert_eq!(timeout_us((100, 1_100), 1, 1), 100);
        assert_eq!(timeout_us((0, 1_000), 8, 64), 0);
    }
}
