//! The hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): time stamps that follow the wall
//! clock where they can and causality always.

mod trust;

use serde::{Deserialize, Serialize};

use crate::env::WriterId;

pub use trust::{ClockTrust, Trust};

/// The latest millisecond that a write may be stamped with (in the year 6429): half of what a stamp can hold. A clock that
/// has observed the last of them goes on into the other half, and can always take its next step.
pub const MAX_MILLIS: u64 = 1 << 47;

/// When something was written, and by whom: 48 bits of milliseconds since the Unix epoch, 16 bits of counter, 64 bits
/// of writer, in one comparable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Stamp(u128);

impl Stamp {
    /// Earlier than every write.
    pub const ZERO: Stamp = Stamp(0);

    /// The stamp of these parts.
    ///
    /// # Errors
    /// `None` if `millis` is beyond [`MAX_MILLIS`].
    pub fn new(millis: u64, counter: u16, writer: WriterId) -> Option<Self> {
        (millis <= MAX_MILLIS).then(|| Self::join(millis << 16 | u64::from(counter), writer))
    }

    /// The last stamp of a time, which is in units of [`Stamp::time`]; `None` if no stamp can have it.
    pub fn last_at(time: u64) -> Option<Self> {
        Self::new(time >> 16, time as u16, WriterId(u64::MAX))
    }

    pub(crate) fn join(time: u64, writer: WriterId) -> Self {
        Self(u128::from(time) << 64 | u128::from(writer.0))
    }

    /// Milliseconds since the Unix epoch.
    pub fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The counter within the millisecond.
    pub fn counter(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// Who wrote.
    pub fn writer(self) -> WriterId {
        WriterId(self.0 as u64)
    }

    /// Milliseconds and counter as one number (`millis << 16 | counter`): the stamp without its tie-break.
    pub fn time(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Sixteen bytes that compare as the stamp does.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Stamp::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Whether a write may carry it: a node's clock may be beyond [`MAX_MILLIS`], a write never is.
    pub fn is_writable(self) -> bool {
        self.millis() <= MAX_MILLIS
    }
}

/// A clock that issues stamps. Each is later than all that it issued or observed before, whatever the wall clock does.
///
/// # Across restarts
///
/// A node reserves time ahead: [`Hlc::reserve`] gives a bound, the node makes it durable with whatever it writes next, and then
/// says so with [`Hlc::grant`]. It speaks no time beyond what is granted ([`Hlc::spoken`]), and a stamp that it issued leaves
/// it only with a bound that covers it. At the next boot it observes the last durable bound, and so begins behind
/// everything that it ever spoke, even if the wall clock was put back meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hlc {
    writer: WriterId,
    time: u64,
    /// The bound asked for last, and the one that is durable.
    reserved: u64,
    granted: u64,
}

impl Hlc {
    /// A clock of `writer` that has seen nothing.
    pub fn new(writer: WriterId) -> Self {
        Self {
            writer,
            time: 0,
            reserved: 0,
            granted: 0,
        }
    }

    /// The next stamp: the wall clock's time if that is later than everything seen, else one step beyond what was seen.
    /// A counter that overflows carries into the milliseconds.
    pub fn now(&mut self, wall_ms: u64) -> Stamp {
        self.time = wall_time(wall_ms).max(self.time + 1);
        Stamp::join(self.time, self.writer)
    }

    /// Takes note of a stamp: all later ones of this clock are greater.
    pub fn observe(&mut self, stamp: Stamp) {
        self.time = self.time.max(stamp.time());
    }

    /// Stamps anew, in order, what was stamped ahead of the time or at or below a floor, and has not reached anybody yet. This
    /// clock's writer is a new one: nothing else bears its id.
    pub fn stamp_anew<'s>(&mut self, stamps: impl Iterator<Item = &'s mut Stamp>, wall_ms: u64) {
        stamps.for_each(|stamp| *stamp = self.now(wall_ms));
    }

    /// The latest stamp issued or observed, under this clock's writer.
    pub fn latest(&self) -> Stamp {
        Stamp::join(self.time, self.writer)
    }

    /// What time it is, in milliseconds: the later one of the wall clock's and the latest stamp's.
    pub fn millis(&self, wall_ms: u64) -> u64 {
        wall_time(wall_ms).max(self.time) >> 16
    }

    /// A bound to be made durable: it is beyond every stamp so far, and it reaches `window_ms` ahead of the wall clock, unless
    /// the last one still reaches half of that.
    ///
    /// A clock that is ahead of the wall reserves no more than a millisecond: a node that restarts in a loop does not run away.
    pub fn reserve(&mut self, wall_ms: u64, window_ms: u64) -> Stamp {
        let needed = (self.time + 1).max(wall_time(wall_ms.saturating_add(window_ms / 2)));
        if self.reserved < needed {
            self.reserved = wall_time(wall_ms.saturating_add(window_ms)).max(self.time + (1 << 16));
        }
        Stamp::join(self.reserved, self.writer)
    }

    /// A bound is durable.
    pub fn grant(&mut self, bound: Stamp) {
        self.granted = self.granted.max(bound.time());
    }

    /// The time that may be spoken, or acted on, without waiting for anything: now, or the last that was granted if that is
    /// earlier. It never goes back, and all later stamps of this clock are greater.
    pub fn spoken(&mut self, wall_ms: u64) -> Stamp {
        let spoken = wall_time(wall_ms).max(self.time).min(self.granted);
        self.time = self.time.max(spoken);
        Stamp::join(spoken, self.writer)
    }

    /// Whether a time that has come cannot be spoken yet, and no bound was asked for that reaches it.
    pub fn lacks(&self, ms: u64, wall_ms: u64) -> bool {
        ms <= self.millis(wall_ms) && self.granted.max(self.reserved) >> 16 < ms
    }

    /// The clock goes on from what is durable: after a boot, or when bounds that were asked for have come to nothing.
    pub fn recover(&mut self, bound: Stamp) {
        self.observe(bound);
        self.grant(bound);
        self.reserved = self.granted;
    }
}

fn wall_time(wall_ms: u64) -> u64 {
    wall_ms.min(MAX_MILLIS) << 16
}

/// Whether `stamp` is further ahead of the wall clock than `drift_ms`. Asked once, where a stamp enters the cluster;
/// never of a stamp that another node has admitted, or two good nodes a minute apart would refuse each other's writes
/// and never converge.
pub fn is_ahead(stamp: Stamp, wall_ms: u64, drift_ms: u64) -> bool {
    stamp.millis() > wall_ms.saturating_add(drift_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_come_back_and_order_is_time_counter_writer() {
        let stamp = |ms, counter, writer| Stamp::new(ms, counter, WriterId(writer)).unwrap();
        let s = stamp(1_700_000_000_123, 7, 42);
        assert_eq!(
            (s.millis(), s.counter(), s.writer()),
            (1_700_000_000_123, 7, WriterId(42))
        );
        assert_eq!(Stamp::from_bytes(s.to_bytes()), s);
        assert!(stamp(1, 0, 9) < stamp(1, 1, 0));
        assert!(stamp(1, 9, 9) < stamp(2, 0, 0));
        assert!(stamp(1, 1, 1) < stamp(1, 1, 2));
    }

    #[test]
    fn a_stamp_beyond_the_last_millisecond_is_refused() {
        let last = Stamp::new(MAX_MILLIS, u16::MAX, WriterId(0)).unwrap();
        assert!(last.is_writable());
        assert!(Stamp::new(MAX_MILLIS + 1, 0, WriterId(0)).is_none());
        assert!(!Stamp::from_bytes([0xff; 16]).is_writable());
        let mut hlc = Hlc::new(WriterId(1));
        hlc.observe(last);
        let beyond = hlc.now(u64::MAX);
        assert!(beyond < hlc.now(0), "the clock can still step");
        assert!(!beyond.is_writable());
        assert_eq!(
            Stamp::from_bytes(beyond.to_bytes()),
            beyond,
            "and what it shows can be read back"
        );
    }

    #[test]
    fn the_latest_stamp_is_what_was_issued_or_observed_last() {
        let mut hlc = Hlc::new(WriterId(1));
        assert_eq!(hlc.latest(), Stamp::new(0, 0, WriterId(1)).unwrap());
        let issued = hlc.now(1_000);
        assert_eq!(hlc.latest(), issued);
        hlc.observe(Stamp::new(999, 9, WriterId(2)).unwrap());
        assert_eq!(hlc.latest(), issued, "an older one changes nothing");
        hlc.observe(Stamp::new(2_000, 9, WriterId(2)).unwrap());
        assert_eq!(hlc.latest(), Stamp::new(2_000, 9, WriterId(1)).unwrap());
    }

    #[test]
    fn drift_counts_from_the_wall_clock() {
        let stamp = Stamp::new(70_000, 0, WriterId(1)).unwrap();
        assert!(!is_ahead(stamp, 10_000, 60_000));
        assert!(is_ahead(stamp, 9_999, 60_000));
        assert!(!is_ahead(stamp, u64::MAX, 60_000));
    }

    /// A client whose clock was three days ahead loses no work, nor the order of its work.
    #[test]
    fn writes_of_a_clock_that_was_ahead_are_stamped_anew() {
        const THREE_DAYS_MS: u64 = 3 * 86_400_000;
        let mut ahead = Hlc::new(WriterId(1));
        let mut stamps = [0; 5].map(|_| ahead.now(1_000 + THREE_DAYS_MS));
        assert!(stamps.iter().all(|stamp| is_ahead(*stamp, 1_000, 60_000)));
        let mut clock = Hlc::new(WriterId(2));
        clock.stamp_anew(stamps.iter_mut(), 1_000);
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert!(stamps.iter().all(|stamp| stamp.writer() == WriterId(2)));
        assert!(stamps.iter().all(|stamp| stamp.millis() == 1_000));
    }

    /// Two nodes with one disk: what they write in the same millisecond is told apart by what each drew at its boot.
    #[test]
    fn node_id_cloned() {
        let disk = Stamp::new(500, 3, WriterId(7)).unwrap();
        let [mut one, mut other] = [11, 12].map(|entropy| {
            let mut clock = Hlc::new(WriterId(entropy));
            clock.observe(disk);
            clock
        });
        for _ in 0..10 {
            let (a, b) = (one.now(400), other.now(400));
            assert_eq!(a.time(), b.time());
            assert!(a < b && a > disk);
        }
    }

    /// The wall clock stands still, and the counter is full: time goes on all the same.
    #[test]
    fn counter_overflow_under_a_frozen_clock() {
        let mut hlc = Hlc::new(WriterId(1));
        let mut last = hlc.now(1_000);
        assert_eq!((last.millis(), last.counter()), (1_000, 0));
        for _ in 0..u16::MAX {
            let next = hlc.now(1_000);
            assert!(next > last);
            last = next;
        }
        assert_eq!((last.millis(), last.counter()), (1_000, u16::MAX));
        let next = hlc.now(1_000);
        assert_eq!((next.millis(), next.counter()), (1_001, 0));
        let wall = hlc.now(5_000);
        assert_eq!(
            (wall.millis(), wall.counter()),
            (5_000, 0),
            "and the wall clock leads again"
        );
    }

    /// A node that crashes at any moment, restarts under a wall clock that was put back by an hour, and knows only the last
    /// bound that was durable.
    #[test]
    fn clock_stepped_back_across_a_restart() {
        const HOUR_MS: u64 = 3_600_000;
        let mut durable = Stamp::ZERO;
        let mut spoken = Stamp::ZERO;
        for boot in 0..10 {
            let wall_ms = 20 * HOUR_MS - boot * HOUR_MS;
            let mut hlc = Hlc::new(WriterId(boot));
            hlc.recover(durable);
            assert!(hlc.now(wall_ms) > spoken);
            durable = hlc.reserve(wall_ms, 1_000);
            hlc.grant(durable);
            for step in 0..2_000 {
                hlc.now(wall_ms + step);
                spoken = spoken.max(hlc.spoken(wall_ms + step));
            }
            // What was reserved last did not reach the disk.
            let lost = hlc.reserve(wall_ms + 2_000, 1_000);
            assert!(lost >= durable && spoken.time() <= durable.time());
        }
    }

    #[test]
    fn time_is_reserved_in_windows_and_spoken_within_them() {
        let mut hlc = Hlc::new(WriterId(1));
        assert_eq!(hlc.spoken(10_000).millis(), 0, "nothing is granted yet");
        let bound = hlc.reserve(10_000, 1_000);
        assert_eq!(bound.millis(), 11_000);
        assert_eq!(hlc.spoken(10_000).millis(), 0, "nor durable");
        hlc.grant(bound);
        assert_eq!(hlc.spoken(10_400).millis(), 10_400);
        assert_eq!(hlc.reserve(10_500, 1_000), bound, "half of it is left");
        assert_eq!(hlc.reserve(10_501, 1_000).millis(), 11_501);
        assert_eq!(hlc.spoken(12_000).millis(), 11_000);
        assert!(hlc.lacks(12_000, 12_000) && !hlc.lacks(12_001, 12_000) && !hlc.lacks(11_501, 12_000));
        assert_eq!(hlc.spoken(9_000).millis(), 11_000, "what was spoken is not taken back");
        assert!(hlc.now(9_000).millis() >= 11_000, "and stamps follow it");
        hlc.grant(Stamp::ZERO);
        assert_eq!(hlc.spoken(12_000).millis(), 11_000, "a grant is not taken back");
        let far = Stamp::new(50_000, 7, WriterId(2)).unwrap();
        hlc.observe(far);
        assert_eq!(hlc.millis(10_000), 50_000);
        assert_eq!(hlc.millis(60_000), 60_000);
        assert_eq!(hlc.reserve(10_600, 1_000).time(), far.time() + (1 << 16));
        // A bound that the clock has reached covers no further stamp.
        let mut again = Hlc::new(WriterId(1));
        again.recover(far);
        assert!(again.reserve(10_600, 1_000) > far);
    }

    #[test]
    fn a_restart_loop_does_not_run_away_with_time() {
        let mut durable = Stamp::ZERO;
        for boot in 0..100 {
            let mut hlc = Hlc::new(WriterId(boot));
            hlc.observe(durable);
            durable = hlc.reserve(10_000, 1_000);
        }
        assert!(durable.millis() <= 11_000 + 100, "{}", durable.millis());
    }

    proptest! {
        #[test]
        fn a_clock_never_goes_back(events in proptest::collection::vec((any::<bool>(), 0u64..1_000, any::<u16>()), 1..50)) {
            let mut hlc = Hlc::new(WriterId(1));
            let mut seen = Stamp::ZERO;
            for (observe, ms, counter) in events {
                if observe {
                    let other = Stamp::new(ms, counter, WriterId(9)).unwrap();
                    hlc.observe(other);
                    seen = seen.max(Stamp::join(other.time(), WriterId(u64::MAX)));
                } else {
                    let next = hlc.now(ms);
                    prop_assert!(next > seen);
                    prop_assert!(next.millis() >= ms);
                    seen = next;
                }
            }
        }
    }
}
