//! The `priority` field (RFC 9218 §4, §5).

/// How soon a stream gets to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub(crate) urgency: u8,
    /// Shares with others of its urgency; otherwise they are sent one after the other, in the order
    /// of their requests.
    pub(crate) incremental: bool,
}

impl Default for Priority {
    /// What a stream gets that asks for nothing. RFC 9218 §4.2 has it wait for those before it; but
    /// most clients know nothing of priorities, and a long answer would then keep their short ones.
    fn default() -> Priority {
        Priority { urgency: 3, incremental: true }
    }
}

impl Priority {
    /// Reads the field over what holds already (§8: an answer's field wins where it says
    /// something). What is not understood is ignored (§4).
    pub(crate) fn update(self, field: &[u8]) -> Priority {
        // Whoever uses the field knows its defaults.
        let mut read = Priority { urgency: self.urgency, incremental: false };
        for member in field.split(|byte| *byte == b',') {
            // Parameters of a member mean nothing.
            let member = member.split(|byte| *byte == b';').next().unwrap_or_default();
            match member.trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => read.urgency = digit - b'0',
                b"i" | b"i=?1" => read.incremental = true,
                _ => {}
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_far_as_they_are_understood() {
        for (field, urgency, incremental) in [
            ("u=1", 1, false),
            ("u=7, i", 7, true),
            (" i=?1 ,u=0;x=1", 0, true),
            ("i=?0", 3, false),
            ("u=8", 3, false),
            ("u=-1,u=2", 2, false),
            ("", 3, false),
            ("\u{0},,;u=1", 3, false),
        ] {
            let read = Priority::default().update(field.as_bytes());
            assert_eq!(read, Priority { urgency, incremental }, "{field}");
        }
    }
}
