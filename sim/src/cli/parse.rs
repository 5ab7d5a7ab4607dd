//! Words of the command line that are neither numbers nor names of files.

use std::time::Duration;

use kernel::env::Mutant;

/// A mutant by its name.
///
/// # Errors
/// If none is called so.
pub fn mutant(name: &str) -> Result<Mutant, String> {
    let known = Mutant::ALL.into_iter().find(|mutant| mutant.name() == name);
    known.ok_or_else(|| format!("no mutant is called `{name}`"))
}

/// A duration: `500ms`, `90s`, `10m`, `2h`.
///
/// # Errors
/// If it is something else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write `90s` or `10m`");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        "h" => number.checked_mul(3_600).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
