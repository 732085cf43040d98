//! Status codes of gRPC (`doc/statuscodes.md`), and what they are in HTTP.

macro_rules! statuses {
    ($($variant:ident = $code:literal, $name:literal, $http:literal;)+) => {
        /// A status code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // gRPC's names
        pub enum Status { $($variant = $code),+ }

        impl Status {
            /// Every one of them.
            pub const ALL: &'static [Status] = &[$(Status::$variant),+];

            /// The code of a number.
            pub const fn of(code: u8) -> Option<Status> {
                match code { $($code => Some(Status::$variant),)+ _ => None }
            }

            /// Its name: `NOT_FOUND`.
            pub const fn name(self) -> &'static str {
                match self { $(Status::$variant => $name),+ }
            }

            /// The status of HTTP for a client that speaks no gRPC, as `google.rpc.Code` and APISIX's
            /// `grpc-transcode` have it.
            pub const fn to_http(self) -> u16 {
                match self { $(Status::$variant => $http),+ }
            }
        }
    };
}

statuses! {
    Ok = 0, "OK", 200;
    Cancelled = 1, "CANCELLED", 499;
    Unknown = 2, "UNKNOWN", 500;
    InvalidArgument = 3, "INVALID_ARGUMENT", 400;
    DeadlineExceeded = 4, "DEADLINE_EXCEEDED", 504;
    NotFound = 5, "NOT_FOUND", 404;
    AlreadyExists = 6, "ALREADY_EXISTS", 409;
    PermissionDenied = 7, "PERMISSION_DENIED", 403;
    ResourceExhausted = 8, "RESOURCE_EXHAUSTED", 429;
    FailedPrecondition = 9, "FAILED_PRECONDITION", 400;
    Aborted = 10, "ABORTED", 409;
    OutOfRange = 11, "OUT_OF_RANGE", 400;
    Unimplemented = 12, "UNIMPLEMENTED", 501;
    Internal = 13, "INTERNAL", 500;
    Unavailable = 14, "UNAVAILABLE", 503;
    DataLoss = 15, "DATA_LOSS", 500;
    Unauthenticated = 16, "UNAUTHENTICATED", 401;
}

impl Status {
    /// What a status of HTTP means where no `grpc-status` comes with it
    /// (`doc/http-grpc-status-mapping.md`): there is no way back from [`Status::to_http`].
    pub const fn from_http(status: u16) -> Status {
        match status {
            400 => Status::Internal,
            401 => Status::Unauthenticated,
            403 => Status::PermissionDenied,
            404 => Status::Unimplemented,
            429 | 502 | 503 | 504 => Status::Unavailable,
            _ => Status::Unknown,
        }
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its number as `grpc-status` has it.
    pub const fn text(self) -> &'static str {
        match self.code() {
            0 => "0",
            1 => "1",
            2 => "2",
            3 => "3",
            4 => "4",
            5 => "5",
            6 => "6",
            7 => "7",
            8 => "8",
            9 => "9",
            10 => "10",
            11 => "11",
            12 => "12",
            13 => "13",
            14 => "14",
            15 => "15",
            _ => "16",
        }
    }

    /// Reads `grpc-status`; a number that is no code is [`Status::Unknown`], as the specification
    /// says; `None`: no number at all.
    pub fn parse(value: &[u8]) -> Option<Status> {
        if value.is_empty() || value.len() > 10 || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = value.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
        let code = u8::try_from(number).ok().and_then(Status::of);
        Some(code.unwrap_or(Status::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_texts_belong_together() {
        assert_eq!(Status::ALL.len(), 17);
        for (number, status) in Status::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.code()), number);
            assert_eq!(Status::of(number as u8), Some(*status));
            assert_eq!(status.text(), number.to_string());
            assert_eq!(Status::parse(status.text().as_bytes()), Some(*status));
        }
        assert_eq!(Status::of(17), None);
        assert_eq!(Status::parse(b"4294967296"), Some(Status::Unknown));
        for bad in ["", "-1", "1 ", "OK", "12345678901"] {
            assert_eq!(Status::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn http_maps_as_the_specification_says() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (502, 14),
            (503, 14),
            (504, 14),
            (500, 2),
            (418, 2),
            (200, 2),
        ] {
            assert_eq!(Status::from_http(http).code(), grpc, "{http}");
        }
        assert_eq!(Status::NotFound.to_http(), 404);
        assert_eq!(Status::DataLoss.to_http(), 500);
    }
}
