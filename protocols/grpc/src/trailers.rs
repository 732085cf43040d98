//! The status of a call in fields: trailers, or the head of a trailers-only answer.

use ringgate_core::Headers;

use crate::status::Status;
use crate::text::encode_message;

/// `grpc-status`
pub const GRPC_STATUS: &str = "grpc-status";
/// `grpc-message`
pub const GRPC_MESSAGE: &str = "grpc-message";
/// `grpc-timeout`
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Sets the status of a call, in place of one that is there. An empty message leaves none.
pub fn set_status(fields: &mut Headers, status: Status, message: &str) {
    // Both are printable ASCII.
    let _ = fields.set(GRPC_STATUS.as_bytes(), status.text().as_bytes());
    if message.is_empty() {
        fields.remove(GRPC_MESSAGE.as_bytes());
    } else {
        let _ = fields.set(GRPC_MESSAGE.as_bytes(), encode_message(message).as_bytes());
    }
}

/// Trailers that end a call.
pub fn trailers(status: Status, message: &str) -> Headers {
    let mut fields = Headers::new();
    set_status(&mut fields, status, message);
    fields
}

/// The status in a call's trailers, or in the head of a trailers-only answer.
pub fn status_of(fields: &Headers) -> Option<Status> {
    fields.get_named(GRPC_STATUS.as_bytes()).and_then(Status::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_replaces_the_one_before() {
        let mut fields = trailers(Status::Unavailable, "no node: a\nb");
        assert_eq!(status_of(&fields), Some(Status::Unavailable));
        assert_eq!(fields.get_named(b"grpc-message"), Some(&b"no node: a%0Ab"[..]));
        set_status(&mut fields, Status::Ok, "");
        assert_eq!((status_of(&fields), fields.len()), (Some(Status::Ok), 1));
        assert_eq!(status_of(&Headers::new()), None);
    }
}
