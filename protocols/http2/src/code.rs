//! Error codes (RFC 9113 §7).

use std::fmt;

/// What an RST_STREAM or a GOAWAY says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) u32);

macro_rules! codes {
    ($($name:ident = $code:literal;)+) => {
        impl ErrorCode {
            $(#[allow(dead_code)] // all of them, whether we say them or not
            pub(crate) const $name: ErrorCode = ErrorCode($code);)+
        }

        impl fmt::Display for ErrorCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($code => f.write_str(stringify!($name)),)+
                    code => write!(f, "code {code}"),
                }
            }
        }
    };
}

codes! {
    NO_ERROR = 0;
    PROTOCOL_ERROR = 1;
    INTERNAL_ERROR = 2;
    FLOW_CONTROL_ERROR = 3;
    SETTINGS_TIMEOUT = 4;
    STREAM_CLOSED = 5;
    FRAME_SIZE_ERROR = 6;
    REFUSED_STREAM = 7;
    CANCEL = 8;
    COMPRESSION_ERROR = 9;
    CONNECT_ERROR = 10;
    ENHANCE_YOUR_CALM = 11;
    INADEQUATE_SECURITY = 12;
    HTTP_1_1_REQUIRED = 13;
}

/// A rule that the peer broke, and what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) code: ErrorCode,
    pub(crate) what: &'static str,
}

impl Breach {
    pub(crate) const fn new(code: ErrorCode, what: &'static str) -> Breach {
        Breach { code, what }
    }

    pub(crate) const fn protocol(what: &'static str) -> Breach {
        Breach::new(ErrorCode::PROTOCOL_ERROR, what)
    }

    pub(crate) const fn closed(what: &'static str) -> Breach {
        Breach::new(ErrorCode::STREAM_CLOSED, what)
    }

    pub(crate) const fn excessive(what: &'static str) -> Breach {
        Breach::new(ErrorCode::ENHANCE_YOUR_CALM, what)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)
    }
}
