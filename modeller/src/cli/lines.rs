//! JSON lines, one after the other, none of them larger than memory bears.

use std::io::{self, BufRead};

use serde_json::Value;

/// The longest line, in bytes: no document can be larger.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// The lines of an input that are not blank.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

/// A line.
pub(super) struct Line {
    /// From 1, blank ones counted.
    pub(super) number: u64,
    /// What it says, or why that is no JSON.
    pub(super) json: Result<Value, String>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input, number: 0, line: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.line.clear();
            let mut too_long = false;
            let mut read = false;
            loop {
                let buffer = self.input.fill_buf()?;
                if buffer.is_empty() {
                    break;
                }
                read = true;
                let end = buffer.iter().position(|byte| *byte == b'\n');
                let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
                // What is too long is read to its end, so that the next line begins where it does.
                too_long |= self.line.len() + part.len() > MAX_LINE;
                if !too_long {
                    self.line.extend_from_slice(part);
                }
                let used = part.len() + usize::from(end.is_some());
                self.input.consume(used);
                if end.is_some() {
                    break;
                }
            }
            if !read {
                return Ok(None);
            }
            self.number += 1;
            if too_long {
                let json = Err(format!("the line has more than {MAX_LINE} bytes"));
                return Ok(Some(Line { number: self.number, json }));
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let json = serde_json::from_slice(&self.line).map_err(|cause| cause.to_string());
            return Ok(Some(Line { number: self.number, json }));
        }
    }
}
