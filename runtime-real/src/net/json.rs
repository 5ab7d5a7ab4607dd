//! JSON at the edge: the kernel speaks MessagePack only.
//!
//! Whole numbers stay whole, others are floats. What JSON cannot say is approximated on the way out: bytes become a
//! list of numbers, and a key that is a number its digits.

use bytes::Bytes;

/// Deepest nesting that is converted. The kernel's own limit is tighter, and says so more clearly.
const DEPTH: usize = 128;

/// Why a text is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("not valid JSON: {0}")]
    Read(serde_json::Error),
    /// The JSON cannot be said in MessagePack.
    #[error("JSON that cannot be said in MessagePack: {0}")]
    Write(rmp_serde::encode::Error),
    /// A frame cannot be said in JSON.
    #[error("cannot be said in JSON: {0}")]
    Back(serde_json::Error),
}

/// The MessagePack of a JSON text.
pub fn to_msgpack(text: &[u8]) -> Result<Bytes, JsonError> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let mut frame = Vec::with_capacity(text.len());
    let mut to = rmp_serde::Serializer::new(&mut frame);
    serde_transcode::transcode(&mut from, &mut to).map_err(|error| {
        // What the reader did not like came through the writer's error, which says little: ask the reader again.
        match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
            Err(error) => JsonError::Read(error),
            Ok(_) => JsonError::Write(error),
        }
    })?;
    from.end().map_err(JsonError::Read)?;
    Ok(frame.into())
}

/// The JSON text of a MessagePack frame.
pub fn from_msgpack(frame: &[u8]) -> Result<String, JsonError> {
    let mut from = rmp_serde::Deserializer::from_read_ref(frame);
    from.set_max_depth(DEPTH);
    let mut text = Vec::with_capacity(frame.len() * 2);
    let mut to = serde_json::Serializer::new(&mut text);
    serde_transcode::transcode(&mut from, &mut to).map_err(JsonError::Back)?;
    // A JSON serializer writes UTF-8 only.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(text: &str) -> String {
        from_msgpack(&to_msgpack(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_json_says_survives() {
        for text in [
            r#"{"type":"PING","payload":{"n":[1,-2,2.5,18446744073709551615],"s":"\u00e9\n","t":true,"u":null}}"#,
            "[]",
            "1.0",
            "-9223372036854775808",
        ] {
            let text: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(there_and_back(&text.to_string()), text.to_string());
        }
        assert_eq!(to_msgpack(b"7").unwrap()[..], [7], "a whole number is an integer");
        assert_eq!(to_msgpack(b"7.0").unwrap()[0], 0xcb, "another is a float");
    }

    #[test]
    fn bad_text_is_refused_with_the_place() {
        let error = to_msgpack(b"{\"a\": nope}").unwrap_err().to_string();
        assert!(error.contains("not valid JSON") && error.contains("column"), "{error}");
        assert!(to_msgpack(b"1 2").is_err() && to_msgpack(b"").is_err());
        let deep = "[".repeat(100_000);
        assert!(to_msgpack(deep.as_bytes()).is_err());
        assert!(from_msgpack(&[0x91; 100_000]).is_err());
    }
}
