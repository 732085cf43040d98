//! Addresses and numbers as text, without allocating.

use std::fmt::Write;
use std::net::IpAddr;

/// An IP address as text. IPv4 in IPv6 is written as the IPv4 that it is.
#[derive(Debug, Clone, Copy)]
pub struct IpText {
    // The longest: eight groups of four digits, as `Display` never writes more.
    bytes: [u8; 39],
    len: u8,
}

impl IpText {
    /// The text of an address.
    pub fn of(address: IpAddr) -> IpText {
        let mut text = IpText { bytes: [0; 39], len: 0 };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mut len = 0;
                for octet in address.octets() {
                    if octet >= 100 {
                        text.bytes[len] = b'0' + octet / 100;
                        len += 1;
                    }
                    if octet >= 10 {
                        text.bytes[len] = b'0' + octet / 10 % 10;
                        len += 1;
                    }
                    text.bytes[len] = b'0' + octet % 10;
                    text.bytes[len + 1] = b'.';
                    len += 2;
                }
                // Less the last dot.
                text.len = len as u8 - 1;
            }
            // It fits; what would not, would be cut.
            IpAddr::V6(address) => _ = write!(text, "{address}"),
        }
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len as usize) {
            *place = byte;
            self.len += 1;
        }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl Write for IpText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

/// A small number, such as a port, as text.
#[derive(Debug, Clone, Copy)]
pub struct NumberText {
    bytes: [u8; 5],
    start: u8,
}

impl NumberText {
    /// The text of a number.
    #[inline]
    pub fn of(number: u16) -> NumberText {
        let mut text = NumberText { bytes: [b'0'; 5], start: 5 };
        let mut rest = number;
        loop {
            text.start -= 1;
            text.bytes[text.start as usize] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return text;
            }
        }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_display_writes() {
        for number in 0..=u16::MAX {
            assert_eq!(NumberText::of(number).bytes(), number.to_string().as_bytes());
        }
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "255.255.255.255",
            "10.200.3.44",
            "::1",
            "2001:db8::42",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(IpText::of(address).bytes(), address.to_string().as_bytes());
        }
        assert_eq!(IpText::of("::ffff:1.2.3.4".parse().unwrap()).bytes(), b"1.2.3.4");
    }
}
