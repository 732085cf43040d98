//! Flow control (section 6.9 of RFC 7540).

use crate::h2::raw::{RawFrame, code, kind, setting};
use crate::spec::{cases, get, post};

const MOST: u32 = (1 << 31) - 1;

cases! {
    "http2/6.9" {
        "Sends a WINDOW_UPDATE frame with a flow control window increment of 0" => |s| {
            s.greet();
            s.peer.window(0, 0);
            s.connection_error(&[code::PROTOCOL_ERROR])
        };
        "Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream" => |s| {
            s.greet();
            s.say_all(&[post(1), RawFrame::new(kind::WINDOW_UPDATE, 0, 1, [0; 4])]);
            s.stream_error(1, &[code::PROTOCOL_ERROR])
        };
        "Sends a WINDOW_UPDATE frame with a length other than 4 octets" => |s| {
            s.greet();
            s.say(kind::WINDOW_UPDATE, 0, 0, [0, 0, 1]);
            s.connection_error(&[code::FRAME_SIZE_ERROR])
        };
    }
    "http2/6.9.1" {
        "Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame" => |s| {
            s.greet();
            s.peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
            s.acknowledged()?;
            s.get(1);
            s.data_of(1)
        };
        "Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1" => |s| {
            s.greet();
            let window = RawFrame::new(kind::WINDOW_UPDATE, 0, 0, MOST.to_be_bytes());
            s.say_all(&[window.clone(), window]);
            s.connection_error(&[code::FLOW_CONTROL_ERROR])
        };
        "Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream" => |s| {
            s.greet();
            let window = RawFrame::new(kind::WINDOW_UPDATE, 0, 1, MOST.to_be_bytes());
            s.say_all(&[post(1), window.clone(), window]);
            let reset = s.expect(kind::RST_STREAM)?;
            match (reset.stream, reset.code()) {
                (1, code::FLOW_CONTROL_ERROR) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
    }
    "http2/6.9.2" {
        "Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame" => |s| {
            s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
            s.say_all(&[get(1)]);
            s.expect(kind::HEADERS)?;
            s.peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
            s.data_of(1)
        };
        "Sends a SETTINGS frame for window size to be negative" => |s| {
            s.greet_with(&[(setting::INITIAL_WINDOW_SIZE, 3)]);
            s.get(1);
            s.data_of(3)?;
            // 2 - 3, and 2 more.
            s.peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 2)]);
            s.acknowledged()?;
            s.peer.window(1, 2);
            s.data_of(1)
        };
        "Sends a SETTINGS_INITIAL_WINDOW_SIZE settings with an exceeded maximum window size value" => |s| {
            s.greet();
            s.peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]);
            s.connection_error(&[code::FLOW_CONTROL_ERROR])
        };
    }
}
