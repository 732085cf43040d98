//! Alerts (RFC 8446 §6): numbers, names, and the record that one fits in while nothing is
//! encrypted yet.

use std::fmt;

/// Why an end of a connection refuses to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// The sender will send no more.
    pub const CLOSE_NOTIFY: Alert = Alert(0);
    /// A record that must not come here.
    pub const UNEXPECTED_MESSAGE: Alert = Alert(10);
    /// A record that cannot be decrypted.
    pub const BAD_RECORD_MAC: Alert = Alert(20);
    /// A record that is too long.
    pub const RECORD_OVERFLOW: Alert = Alert(22);
    /// A field that contradicts another.
    pub const ILLEGAL_PARAMETER: Alert = Alert(47);
    /// A message that cannot be parsed.
    pub const DECODE_ERROR: Alert = Alert(50);
    /// A protocol version that is not spoken here.
    pub const PROTOCOL_VERSION: Alert = Alert(70);
    /// A defect of the sender.
    pub const INTERNAL_ERROR: Alert = Alert(80);
    /// The user gave up; a close_notify follows.
    pub const USER_CANCELED: Alert = Alert(90);
    /// No second handshake on this connection (RFC 5246 §7.2.2).
    pub const NO_RENEGOTIATION: Alert = Alert(100);
    /// Nothing is served under that name (RFC 6066 §3).
    pub const UNRECOGNIZED_NAME: Alert = Alert(112);

    /// Its name in the RFCs, for logs.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown alert",
        }
    }

    /// Level and description. Those that end nothing by themselves are warnings.
    pub(crate) fn message(self) -> [u8; 2] {
        let is_warning = matches!(self, Alert::CLOSE_NOTIFY | Alert::NO_RENEGOTIATION);
        [if is_warning { 1 } else { 2 }, self.0]
    }

    /// A record of it in the clear, for the time before there are keys.
    pub(crate) fn plain_record(self) -> [u8; 7] {
        let [level, description] = self.message();
        [crate::record::ALERT, 3, 3, 0, 2, level, description]
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
