//! Times as they are given to commands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel::hlc::MAX_MILLIS;

/// Milliseconds since the Unix epoch.
pub(super) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// `now`, or milliseconds since the Unix epoch.
pub(super) fn at(text: &str) -> Result<u64, String> {
    match text {
        "now" => Ok(millis(SystemTime::now())),
        _ => text
            .parse()
            .map_err(|_| "say now, or milliseconds since 1970".to_owned()),
    }
}

/// `250ms`, `10s`, `5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is written as 250ms, 10s or 5m".to_owned();
    let (number, unit_ms) = [("ms", 1), ("s", 1_000), ("m", 60_000)]
        .into_iter()
        .find_map(|(unit, ms)| text.strip_suffix(unit).map(|number| (number, ms)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// A time to live, in milliseconds: as [`duration`], and one that there can be.
pub(super) fn ttl_ms(text: &str) -> Result<u64, String> {
    let ttl_ms = u64::try_from(duration(text)?.as_millis()).unwrap_or(u64::MAX);
    match ttl_ms {
        1..=MAX_MILLIS => Ok(ttl_ms),
        0 => Err("a time to live is at least 1ms".to_owned()),
        _ => Err("a time to live is at most 2345624805m, some 4,460 years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_as_written() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in [
            "10",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(at("1700000000000"), Ok(1_700_000_000_000));
        assert!(at("now").is_ok() && at("yesterday").is_err());
    }
}
