//! Keys and values as people read them.

use kernel::value::Value;

/// How much of a value is shown, in characters.
const LONGEST: usize = 200;

/// A record's whole name: map, slash, key.
pub(super) fn key(name: &[u8]) -> String {
    match name.iter().position(|b| *b == 0) {
        Some(end) => format!("{}/{}", bytes(&name[..end]), bytes(&name[end + 1..])),
        None => bytes(name),
    }
}

/// Text as it is; what is no text, as hexadecimal digits.
pub(super) fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_string(),
        _ => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > 32 { "…" } else { "" };
    format!("0x{digits}{more}")
}

/// What a record holds, much as JSON would have it.
pub(super) fn value(encoded: Option<&[u8]>) -> String {
    let Some(encoded) = encoded else {
        return "deleted".into();
    };
    let text = match Value::decode(encoded, usize::MAX) {
        Ok(value) => json(&value),
        Err(_) => hex(encoded),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn json(value: &Value) -> String {
    let list = |values: Vec<String>| values.join(", ");
    match value {
        Value::Null => "null".into(),
        Value::Bool(yes) => yes.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => hex(bytes),
        Value::List(values) => format!("[{}]", list(values.iter().map(json).collect())),
        Value::Map(map) => {
            let name = |key: &Value| match key {
                Value::Text(text) => text.clone(),
                key => json(key),
            };
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", name(key), json(value)));
            format!("{{{}}}", list(pairs.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_can_be_read() {
        assert_eq!(key(b"m0\0k1"), "m0/k1");
        assert_eq!(key(b"m0\0\xff\x01"), "m0/0xff01");
        assert_eq!(value(None), "deleted");
        assert_eq!(
            value(Some(b"\x82\xa1n\x07\xa1t\x92\xc0\xa1<")),
            "{n: 7, t: [null, \"<\"]}"
        );
        assert_eq!(value(Some(b"\xc1")), "0xc1");
        let long = [&[0xda, 0x01, 0x2c][..], &[b'x'; 300]].concat();
        assert_eq!(value(Some(&long)).chars().count(), LONGEST + 1);
    }
}
