//! What a cell of a CSV file means.

use std::collections::BTreeMap;

use kernel::msgpack::Writer;

use crate::net::json;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A whole number of 64 bits.
    Int,
    /// A number that need not be whole.
    Float,
    /// `true`, `false`, `1` or `0`.
    Bool,
    /// Text, whatever it looks like.
    Text,
    /// Any value, as JSON.
    Json,
}

impl ColumnType {
    const ALL: [(&str, Self); 5] = [
        ("int", Self::Int),
        ("float", Self::Float),
        ("bool", Self::Bool),
        ("text", Self::Text),
        ("json", Self::Json),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }
}

/// The types of columns by their names.
pub type Schema = BTreeMap<String, ColumnType>;

/// Why a text says no type of a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("say NAME:TYPE, where the type is int, float, bool, text or json")]
pub struct SchemaError;

/// Reads `name:type`.
///
/// # Errors
/// [`SchemaError`].
pub fn column(text: &str) -> Result<(String, ColumnType), SchemaError> {
    let (name, word) = text.rsplit_once(':').ok_or(SchemaError)?;
    let kind = ColumnType::ALL.iter().find(|(known, _)| *known == word);
    match kind {
        Some((_, kind)) if !name.is_empty() => Ok((name.to_owned(), *kind)),
        _ => Err(SchemaError),
    }
}

/// What a cell is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    Null,
    Bool(bool),
    Uint(u64),
    Int(i64),
    Float(f64),
    Text,
}

/// Writes a cell as a value, of the given type or of the one that a person would see in it. An empty cell is null, whatever its
/// type.
///
/// # Errors
/// What it should have been.
pub fn write(cell: &str, kind: Option<ColumnType>, out: &mut Writer) -> Result<(), String> {
    let value = match kind {
        None => infer(cell),
        _ if cell.is_empty() => Cell::Null,
        Some(ColumnType::Text) => Cell::Text,
        Some(ColumnType::Json) => {
            let value = json::to_msgpack(cell.as_bytes()).map_err(|error| error.to_string())?;
            out.raw(&value);
            return Ok(());
        }
        Some(kind) => typed(cell.trim(), kind).ok_or_else(|| format!("'{cell}' is no {}", kind.word()))?,
    };
    match value {
        Cell::Null => out.null(),
        Cell::Bool(yes) => out.bool(yes),
        Cell::Uint(n) => out.u64(n),
        Cell::Int(n) => out.i64(n),
        Cell::Float(x) => out.f64(x),
        Cell::Text => out.text(cell),
    };
    Ok(())
}

/// Whether a text is a text again when it is read without a type.
pub fn reads_back(text: &str) -> bool {
    infer(text) == Cell::Text
}

fn typed(cell: &str, kind: ColumnType) -> Option<Cell> {
    match kind {
        ColumnType::Int => whole(cell),
        ColumnType::Float => {
            let x: f64 = cell.parse().ok()?;
            x.is_finite().then_some(Cell::Float(x))
        }
        ColumnType::Bool => truth(cell).or(match cell {
            "1" => Some(Cell::Bool(true)),
            "0" => Some(Cell::Bool(false)),
            _ => None,
        }),
        ColumnType::Text | ColumnType::Json => Some(Cell::Text),
    }
}

/// What a person would see in a cell: whole numbers, decimals, `true` and `false`, nothing, and otherwise text.
///
/// Text is also what looks like a number and is not only that: with leading zeros (`007`), with more digits than a number keeps,
/// with an exponent but no point (`12E4`, which is as likely an article), with a sign in front that says nothing (`+1`, `-0`).
fn infer(cell: &str) -> Cell {
    if cell.is_empty() {
        return Cell::Null;
    }
    if let Some(truth) = truth(cell) {
        return truth;
    }
    let Some((digits, more)) = split_number(cell) else {
        return Cell::Text;
    };
    if digits.len() > 1 && digits.starts_with('0') {
        return Cell::Text;
    }
    if more.is_empty() {
        return match cell {
            "-0" => Cell::Text,
            _ => whole(cell).unwrap_or(Cell::Text),
        };
    }
    match cell.parse() {
        Ok(x) if keeps(cell, x) => Cell::Float(x),
        _ => Cell::Text,
    }
}

fn truth(cell: &str) -> Option<Cell> {
    match cell {
        "true" | "True" | "TRUE" => Some(Cell::Bool(true)),
        "false" | "False" | "FALSE" => Some(Cell::Bool(false)),
        _ => None,
    }
}

fn whole(cell: &str) -> Option<Cell> {
    cell.parse()
        .map(Cell::Uint)
        .or_else(|_| cell.parse().map(Cell::Int))
        .ok()
}

/// The digits before the point, and the rest: a point with digits, perhaps an exponent. `None` if it is no number.
fn split_number(cell: &str) -> Option<(&str, &str)> {
    let number = cell.strip_prefix('-').unwrap_or(cell);
    let (digits, more) = number.split_at(digits_of(number));
    if more.is_empty() {
        return (!digits.is_empty()).then_some((digits, more));
    }
    let decimals = more.strip_prefix('.')?;
    let (decimals, exponent) = decimals.split_at(digits_of(decimals));
    let is_exponent = match exponent.strip_prefix(['e', 'E']) {
        None => exponent.is_empty(),
        Some(power) => {
            let power = power.strip_prefix(['-', '+']).unwrap_or(power);
            !power.is_empty() && digits_of(power) == power.len()
        }
    };
    (!decimals.is_empty() && is_exponent).then_some((digits, more))
}

fn digits_of(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Whether a float tells all digits of the text that it was read from, the zeros at its ends aside.
fn keeps(text: &str, x: f64) -> bool {
    let significant = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits.trim_matches('0').to_owned()
    };
    x.is_finite() && significant(text) == significant(&format!("{x:e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cell: &str, kind: Option<ColumnType>) -> Result<String, String> {
        let mut out = Writer::new();
        write(cell, kind, &mut out)?;
        Ok(json::from_msgpack(&out.into_vec()).unwrap())
    }

    #[test]
    fn a_cell_is_what_a_person_sees_in_it() {
        for (cell, value) in [
            ("", "null"),
            ("0", "0"),
            ("42", "42"),
            ("-7", "-7"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("31.95376472", "31.95376472"),
            ("-89.23450472", "-89.23450472"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("0.0", "0.0"),
            ("-0.0", "-0.0"),
            ("1.0e16", "1e+16"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("100000.0", "100000.0"),
            ("true", "true"),
            ("FALSE", "false"),
        ] {
            assert_eq!(shown(cell, None).as_deref(), Ok(value), "{cell}");
        }
    }

    #[test]
    fn what_is_not_only_a_number_stays_text() {
        for cell in [
            "00M",
            "007",
            "01234",
            "-012",
            "00.5",
            "18446744073709551616",
            "0.1234567890123456789",
            "123456789.12345678901",
            "1E5",
            "12E4",
            "1.0e999",
            "+1",
            "-0",
            "-",
            ".",
            "1.",
            "1.e5",
            "1.5e",
            "1,000",
            "0x10",
            "NaN",
            "inf",
            " 1",
            "tRue",
            "2001/01/01 00:47",
            "2024-01-02",
            "1.2.3",
            "٣",
        ] {
            assert_eq!(
                shown(cell, None).as_deref(),
                Ok(format!("\"{cell}\"").as_str()),
                "{cell}"
            );
            assert!(reads_back(cell));
        }
        assert!(!reads_back("") && !reads_back("1") && !reads_back("true"));
    }

    #[test]
    fn a_schema_overrides() {
        for (cell, kind, value) in [
            ("007", ColumnType::Int, "7"),
            ("7", ColumnType::Float, "7.0"),
            ("7", ColumnType::Text, "\"7\""),
            ("", ColumnType::Text, "null"),
            ("1", ColumnType::Bool, "true"),
            ("False", ColumnType::Bool, "false"),
            ("{\"a\":[1]}", ColumnType::Json, "{\"a\":[1]}"),
            ("\"7\"", ColumnType::Json, "\"7\""),
        ] {
            assert_eq!(shown(cell, Some(kind)).as_deref(), Ok(value), "{cell}");
        }
        assert_eq!(shown("x", Some(ColumnType::Int)), Err("'x' is no int".to_owned()));
        assert!(shown("nan", Some(ColumnType::Float)).is_err() && shown("2", Some(ColumnType::Bool)).is_err());
        assert!(shown("{", Some(ColumnType::Json)).is_err());
        assert_eq!(column("a:b:int"), Ok(("a:b".to_owned(), ColumnType::Int)));
        for wrong in ["a", "a:number", ":int", ""] {
            assert_eq!(column(wrong), Err(SchemaError));
        }
    }
}
