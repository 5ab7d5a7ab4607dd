//! How the values of settings are read and written.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use kernel::partition::PartitionBy;
use kernel::query::KEY;
use kernel::store::is_reserved;

use super::table::Config;

/// Largest size of what is kept in memory at once, in bytes: lengths are 32 bits on disk.
const SIZE_MAX: u64 = 1 << 30;

/// Sizes of what is kept on disk, in bytes.
const DISK_SIZES: RangeInclusive<u64> = 1 << 20..=64 << 30;

/// Where a setting's value goes, and with that, how it is read.
#[derive(Debug)]
pub enum Field {
    Path(fn(&mut Config) -> &mut PathBuf),
    MaybePath(fn(&mut Config) -> &mut Option<PathBuf>),
    Text(fn(&mut Config) -> &mut String),
    MaybeText(fn(&mut Config) -> &mut Option<String>),
    Listen(fn(&mut Config) -> &mut SocketAddr),
    MaybeAddress(fn(&mut Config) -> &mut Option<String>),
    Addresses(fn(&mut Config) -> &mut Vec<String>),
    Routes(fn(&mut Config) -> &mut Vec<(String, PartitionBy)>),
    Choice(&'static [&'static str], fn(&mut Config) -> &mut &'static str),
    Size(fn(&mut Config) -> &mut usize),
    Size64(fn(&mut Config) -> &mut u64),
    /// Of what is kept on disk.
    DiskSize(fn(&mut Config) -> &mut u64),
    Number(RangeInclusive<u32>, fn(&mut Config) -> &mut u32),
    Count(fn(&mut Config) -> &mut usize),
    /// In milliseconds.
    Duration(fn(&mut Config) -> &mut u64),
    MaybeDuration(fn(&mut Config) -> &mut Option<u64>),
}

impl Field {
    /// Whether there may be several values.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Addresses(_) | Self::Routes(_))
    }

    /// Whether the value is a number without a unit.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Number(..))
    }

    /// What a value has to be.
    pub fn expected(&self) -> String {
        match self {
            Self::Path(_) | Self::MaybePath(_) => "a path".into(),
            Self::Text(_) | Self::MaybeText(_) => "a text".into(),
            Self::Listen(_) => "an address as IP:PORT, such as 127.0.0.1:7878".into(),
            Self::MaybeAddress(_) | Self::Addresses(_) => "an address as HOST:PORT".into(),
            Self::Routes(_) => {
                "MAP=SEPARATOR or MAP=FIELD and the separator, such as orders=tenantId/: one ASCII character, \
                 after a field one that is no letter and no digit; maps that begin with $sys/ are the node's own"
                    .into()
            }
            Self::Choice(choices, _) => format!("one of {}", choices.join(", ")),
            Self::Size(_) | Self::Size64(_) => "a size from 1 byte to 1GiB, such as 512KiB or 16MiB".into(),
            Self::DiskSize(_) => "a size from 1MiB to 64GiB, such as 512MiB".into(),
            Self::Number(range, _) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::Count(_) => "a whole number from 1 to 10000000".into(),
            Self::Duration(_) | Self::MaybeDuration(_) => {
                "a duration from 1ms to 365d, such as 250ms, 10s or 5m".into()
            }
        }
    }

    /// Takes the values into `config`. `Err` is the one that is not what it has to be.
    pub fn set<'v>(&self, config: &mut Config, values: &'v [String]) -> Result<(), &'v str> {
        if let Self::Addresses(_) | Self::Routes(_) = self {
            self.clear(config);
        }
        for value in values {
            self.put(config, value).ok_or(value.as_str())?;
        }
        Ok(())
    }

    fn clear(&self, config: &mut Config) {
        match self {
            Self::Addresses(at) => at(config).clear(),
            Self::Routes(at) => at(config).clear(),
            _ => {}
        }
    }

    fn put(&self, config: &mut Config, value: &str) -> Option<()> {
        match self {
            Self::Path(at) => *at(config) = some_text(value)?.into(),
            Self::MaybePath(at) => *at(config) = Some(some_text(value)?.into()),
            Self::Text(at) => *at(config) = value.into(),
            Self::MaybeText(at) => *at(config) = Some(value.into()),
            Self::Listen(at) => *at(config) = value.parse().ok()?,
            Self::MaybeAddress(at) => *at(config) = Some(address(value)?),
            Self::Addresses(at) => at(config).push(address(value)?),
            Self::Routes(at) => at(config).push(route(value)?),
            Self::Choice(choices, at) => *at(config) = choices.iter().find(|choice| **choice == value)?,
            Self::Size(at) => *at(config) = usize::try_from(size(value)?).ok()?,
            Self::Size64(at) => *at(config) = size(value)?,
            Self::DiskSize(at) => *at(config) = bytes(value).filter(|bytes| DISK_SIZES.contains(bytes))?,
            Self::Number(range, at) => *at(config) = value.parse().ok().filter(|number| range.contains(number))?,
            Self::Count(at) => *at(config) = value.parse().ok().filter(|count| (1..=10_000_000).contains(count))?,
            Self::Duration(at) => *at(config) = duration_ms(value)?,
            Self::MaybeDuration(at) => *at(config) = Some(duration_ms(value)?),
        }
        Some(())
    }

    /// The values in `config`, as they would be given; none where nothing is set.
    pub fn show(&self, config: &Config) -> Vec<String> {
        let config = &mut config.clone();
        match self {
            Self::Path(at) => vec![at(config).display().to_string()],
            Self::MaybePath(at) => at(config).iter().map(|path| path.display().to_string()).collect(),
            Self::Text(at) => vec![at(config).clone()],
            Self::MaybeText(at) | Self::MaybeAddress(at) => at(config).iter().cloned().collect(),
            Self::Listen(at) => vec![at(config).to_string()],
            Self::Addresses(at) => at(config).clone(),
            Self::Routes(at) => at(config)
                .iter()
                .map(|(map, by)| format!("{map}={}{}", by.field().unwrap_or_default(), char::from(by.separator())))
                .collect(),
            Self::Choice(_, at) => vec![at(config).to_string()],
            Self::Size(at) => vec![size_text(*at(config) as u64)],
            Self::Size64(at) | Self::DiskSize(at) => vec![size_text(*at(config))],
            Self::Number(_, at) => vec![at(config).to_string()],
            Self::Count(at) => vec![at(config).to_string()],
            Self::Duration(at) => vec![duration_text(*at(config))],
            Self::MaybeDuration(at) => at(config).iter().map(|ms| duration_text(*ms)).collect(),
        }
    }
}

fn some_text(value: &str) -> Option<&str> {
    Some(value).filter(|value| !value.is_empty())
}

/// `HOST:PORT`.
pub fn address(text: &str) -> Option<String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Some(text.to_owned()),
        _ => None,
    }
}

/// What a map routes by: `MAP=SEPARATOR`, or `MAP=FIELD` and the separator behind it.
fn route(text: &str) -> Option<(String, PartitionBy)> {
    let (map, by) = text.split_once('=')?;
    let (&separator, field) = by.as_bytes().split_last()?;
    let field = std::str::from_utf8(field).ok()?;
    let by = match field {
        "" if separator.is_ascii_graphic() => PartitionBy::Before(separator),
        // With a letter, `tenantId` would be the field `tenantI`. The key is no field.
        field if separator.is_ascii_punctuation() && is_field(field) => PartitionBy::Field {
            field: field.to_owned(),
            separator,
        },
        _ => return None,
    };
    (!map.is_empty() && !is_reserved(map)).then(|| (map.to_owned(), by))
}

fn is_field(name: &str) -> bool {
    !name.is_empty() && name != KEY && !name.chars().any(char::is_control)
}

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

const TIMES_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A size, in bytes if it has no unit.
fn size(text: &str) -> Option<u64> {
    bytes(text).filter(|bytes| (1..=SIZE_MAX).contains(bytes))
}

fn bytes(text: &str) -> Option<u64> {
    with_unit(text, &SIZES).or_else(|| whole(text.strip_suffix('B').unwrap_or(text)))
}

fn size_text(bytes: u64) -> String {
    in_unit(bytes, &SIZES).unwrap_or_else(|| bytes.to_string())
}

/// A duration; it has a unit, lest somebody takes it for another one.
fn duration_ms(text: &str) -> Option<u64> {
    let ms = with_unit(text, &TIMES_MS)?;
    (1..=365 * 86_400_000).contains(&ms).then_some(ms)
}

fn duration_text(ms: u64) -> String {
    in_unit(ms, &TIMES_MS).unwrap_or_else(|| format!("{ms}ms"))
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let of = |(unit, factor): &(&str, u64)| whole(text.strip_suffix(unit)?)?.checked_mul(*factor);
    units.iter().find_map(of)
}

/// In the largest unit that says it exactly.
fn in_unit(amount: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = |(_, factor): &&(&str, u64)| amount >= *factor && amount.is_multiple_of(*factor);
    units
        .iter()
        .find(fits)
        .map(|(unit, factor)| format!("{}{unit}", amount / factor))
}

/// Digits and nothing else.
fn whole(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_routes_are_checked() {
        assert!(address("localhost:80").is_some() && address("[::1]:80").is_some());
        assert!(address("localhost").is_none() && address(":80").is_none() && address("a:99999").is_none());
        let before = |map: &str, separator| Some((map.to_owned(), PartitionBy::Before(separator)));
        let field = |map: &str, field: &str, separator| {
            let field = field.to_owned();
            Some((map.to_owned(), PartitionBy::Field { field, separator }))
        };
        assert_eq!(route("orders=/"), before("orders", b'/'));
        assert_eq!(route("orders=="), before("orders", b'='));
        assert_eq!(route("orders=x"), before("orders", b'x'));
        assert_eq!(route("orders=tenantId/"), field("orders", "tenantId", b'/'));
        assert_eq!(route("orders=address.city:"), field("orders", "address.city", b':'));
        assert_eq!(route("orders=größe/"), field("orders", "größe", b'/'));
        for bad in [
            "orders",
            "=/",
            "a=",
            "a=bc",
            "a=tenantId",
            "a=ä",
            "a=_key/",
            "a=t ",
            "=t/",
            "a=\n/",
        ] {
            assert_eq!(route(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_and_durations_come_back_as_they_were_given() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("17KiB", 17 << 10),
            ("1GiB", 1 << 30),
            ("1000", 1_000),
        ] {
            assert_eq!(size(text), Some(bytes));
            assert_eq!(size_text(bytes), text);
        }
        assert_eq!(size("70B"), Some(70));
        for bad in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "1MB",
            "2GiB",
            "0",
            "99999999999999999999",
            "1 MiB",
            "+1",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms));
            assert_eq!(duration_text(ms), text);
        }
        for bad in ["", "10", "0s", "s", "1w", "-1s", "366d", "99999999999999999999d"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }
}
