//! The little JSON that a page needs: numbers, texts, and lists of them.

use std::fmt::Write;

/// Writes one object, field by field.
#[derive(Debug)]
pub(super) struct Object {
    text: String,
}

impl Object {
    pub fn new() -> Self {
        Self { text: "{".into() }
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push_str(",\n");
        }
        push_text(&mut self.text, name);
        self.text.push(':');
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_text(&mut self.text, value);
    }

    pub fn number(&mut self, name: &str, value: i128) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    pub fn object(&mut self, name: &str, value: Object) {
        self.name(name);
        self.text.push_str(&value.finish());
    }

    pub fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
        self.list(name, values, push_text);
    }

    pub fn numbers(&mut self, name: &str, values: impl Iterator<Item = i64>) {
        self.list(name, values, |out, value| _ = write!(out, "{value}"));
    }

    /// Numbers that ascend, or nearly so: each as its distance from the one before it, which is shorter.
    pub fn steps(&mut self, name: &str, values: impl Iterator<Item = u64>) {
        let mut before = 0;
        let values = values.map(|value| {
            let value = value.cast_signed();
            let step = value - before;
            before = value;
            step
        });
        self.numbers(name, values);
    }

    pub fn lists(&mut self, name: &str, values: impl Iterator<Item = Vec<i64>>) {
        self.list(name, values, |out, numbers| {
            let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
            let _ = write!(out, "[{}]", numbers.join(","));
        });
    }

    fn list<T>(&mut self, name: &str, values: impl Iterator<Item = T>, push: impl Fn(&mut String, T)) {
        self.name(name);
        self.text.push('[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            push(&mut self.text, value);
        }
        self.text.push(']');
    }

    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A JSON string that is safe inside a `<script>` of an HTML file: nothing in it can end the element or begin another.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_can_leave_its_script() {
        let mut object = Object::new();
        object.text("k<", "</script><!--\"\\\n\u{2028}&é");
        assert_eq!(
            object.finish(),
            r#"{"k\u003c":"\u003c/script\u003e\u003c!--\"\\\u000a\u2028\u0026é"}"#
        );
    }

    #[test]
    fn ascending_numbers_are_written_as_steps() {
        let mut object = Object::new();
        object.steps("at", [5, 5, 9, 8].into_iter());
        object.lists("of", [vec![], vec![1, 2]].into_iter());
        assert_eq!(object.finish(), "{\"at\":[5,0,4,-1],\n\"of\":[[],[1,2]]}");
    }
}
