//! Escapes that stand for one character.

use super::super::error::Reason;
use super::{Parser, Refused};

impl Parser<'_> {
    /// The character that the escape at the current position stands for.
    pub(super) fn escape(&mut self) -> Result<char, Refused> {
        let start = self.at;
        self.at += 1;
        let Some(character) = self.peek() else { return Err(Refused(start, Reason::TrailingBackslash)) };
        self.at += 1;
        match character {
            // One digit alone would be a back-reference; two or three are octal.
            '1'..='7' if !matches!(self.peek(), Some('0'..='7')) => Err(Refused(start, Reason::BackReference)),
            '8' | '9' => Err(Refused(start, Reason::BackReference)),
            '0'..='7' => Ok(self.octal(character)),
            'x' => self.hexadecimal().ok_or_else(|| self.unknown_escape(start)),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'v' => Ok('\x0b'),
            'Z' => Err(Refused(start, Reason::EndOfLine)),
            'u' => Err(Refused(start, Reason::UnicodeEscape)),
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() => Ok(character),
            _ => Err(self.unknown_escape(start)),
        }
    }

    /// Up to two more octal digits after the first.
    fn octal(&mut self, first: char) -> char {
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else { break };
            code = code * 8 + digit;
            self.at += 1;
        }
        char::from_u32(code).expect("three octal digits are at most 511, where no surrogate is")
    }

    /// Two digits, or any number of them in braces, up to U+10FFFF. A surrogate, which no `char` can be, becomes the
    /// character before all of them: outside ASCII either way, and ranges keep their order.
    fn hexadecimal(&mut self) -> Option<char> {
        let mut code = 0;
        if self.take_if('{') {
            let first = self.at;
            while let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) {
                code = code * 16 + digit;
                if code > 0x10_ffff {
                    return None;
                }
                self.at += 1;
            }
            if self.at == first || !self.take_if('}') {
                return None;
            }
        } else {
            for _ in 0..2 {
                code = code * 16 + self.peek()?.to_digit(16)?;
                self.at += 1;
            }
        }
        Some(char::from_u32(code).unwrap_or('\u{d7ff}'))
    }

    fn unknown_escape(&self, start: usize) -> Refused {
        let end = self.text.len().min(self.at.max(start + 2));
        Refused(start, Reason::UnknownEscape(self.text[start..end].iter().collect()))
    }
}
