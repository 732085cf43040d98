//! Records that a peer with the right keys may send all the same.

use std::sync::Arc;
use std::time::Duration;

use ringgate_core::{Chunk, Lease, MEDIUM, ReadIo, SMALL, WriteIo};

use super::link::Other;
use super::*;
use crate::record::{ALERT, DATA, HANDSHAKE};

#[path = "../../tests/support/certificates.rs"]
mod certificates;
#[path = "../../tests/support/memory.rs"]
mod memory;

use certificates::{Authority, localhost};
use memory::{MemoryReader, MemoryWriter, pipe, run, run_both};

const LONG: Duration = Duration::from_secs(10);

type Half = (TlsReader<MemoryReader>, TlsWriter<MemoryWriter>);

/// The server's half and the client's.
fn connected(is_13: bool) -> (Half, Half) {
    let (server, client, _) = connected_by(is_13);
    (server, client)
}

/// The same, and what carries from the server to the client and back.
fn connected_by(is_13: bool) -> (Half, Half, [memory::Shared; 2]) {
    let authority = Authority::new();
    let (server, client) = (authority.server(), authority.client());
    let version = if is_13 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
    let mut only = rustls::ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    only.resumption = client.resumption;
    let (ours, theirs) = pipe();
    let wires = [ours.1.0.clone(), theirs.1.0.clone()];
    let server = Arc::new(server);
    let (taken, made) = run_both(
        crate::accept(ours.0, ours.1, |_| Some(server), LONG),
        crate::connect(theirs.0, theirs.1, Arc::new(only), localhost(), LONG),
    );
    let (taken, made) = (taken.unwrap(), made.unwrap());
    ((taken.reader, taken.writer), (made.reader, made.writer), wires)
}

/// Sends a record as it stands here.
fn send(writer: &TlsWriter<MemoryWriter>, kind: u8, plain: &[u8]) {
    let records = writer.seal(kind, plain).unwrap();
    run(writer.link.writer().unwrap().send(records, LONG)).unwrap();
}

fn recv(reader: &mut TlsReader<MemoryReader>) -> Result<Vec<u8>, String> {
    let (lease, got) = run(reader.recv(Lease::with_capacity(MEDIUM), LONG));
    got.map(|_| lease.bytes().to_vec()).map_err(|error| error.to_string())
}

/// What the server says of such records, and what the client hears of it.
fn refused(is_13: bool, sends: impl Fn(&TlsWriter<MemoryWriter>)) -> (String, String) {
    let ((mut reader, mut writer), (mut other_reader, other_writer)) = connected(is_13);
    sends(&other_writer);
    let error = recv(&mut reader).unwrap_err();
    assert_eq!(recv(&mut reader).unwrap_err(), error, "it stays so");
    assert!(run(writer.send(Chunk::from("x"), LONG)).is_err());
    run(writer.shutdown()).unwrap();
    (error, recv(&mut other_reader).unwrap_err())
}

#[test]
fn floods_without_data_end() {
    for is_13 in [true, false] {
        let (error, heard) = refused(is_13, |writer| {
            for _ in 0..33 {
                let mut record = Vec::new();
                writer.link.state().borrow_mut().keys.seal(DATA, &[], &mut record).unwrap();
                run(writer.link.writer().unwrap().send(Chunk::copy_of(&record), LONG)).unwrap();
            }
        });
        assert!(error.contains("too many records without data"), "{error}");
        assert!(heard.contains("unexpected_message (10)"), "{heard}");
    }
    let (error, _) = refused(true, |writer| {
        for _ in 0..33 {
            writer.link.state().borrow_mut().update_due = true;
            // Nothing but the KeyUpdate in front of it.
            send(writer, HANDSHAKE, &[]);
        }
    });
    assert!(error.contains("too many records without data"), "{error}");
    let (error, _) = refused(false, |writer| {
        for _ in 0..33 {
            send(writer, ALERT, &[1, 90]);
        }
    });
    assert!(error.contains("too many records without data"), "{error}");
}

#[test]
fn data_ends_the_count() {
    let ((mut reader, _), (_, mut writer)) = connected(true);
    for _ in 0..100 {
        writer.link.state().borrow_mut().update_due = true;
        run(writer.send(Chunk::from("data"), LONG)).unwrap();
        assert_eq!(recv(&mut reader).unwrap(), b"data");
    }
}

#[test]
fn messages_that_must_not_come_are_refused() {
    for (is_13, kind, message, says) in [
        (true, HANDSHAKE, &[1, 0, 0, 0][..], "handshake message behind the handshake"),
        (true, HANDSHAKE, &[4, 0, 0, 0], "session ticket from a client"),
        (true, HANDSHAKE, &[24, 0, 0, 1, 2], "bad KeyUpdate: sent illegal_parameter"),
        (true, HANDSHAKE, &[24, 0, 0, 2, 0, 0], "bad KeyUpdate: sent decode_error"),
        (true, HANDSHAKE, &[24, 0, 0, 1, 0, 1], "behind a KeyUpdate"),
        (true, HANDSHAKE, &[4, 1, 0x20, 1, 0], "too long"),
        (true, ALERT, &[2], "another length"),
        (true, ALERT, &[1, 80], "the peer sent internal_error (80)"),
        (true, 20, &[1], "unknown type"),
        (true, 99, b"x", "unknown type"),
        (false, HANDSHAKE, &[1, 0, 0, 0], "renegotiation: sent no_renegotiation (100)"),
        (false, HANDSHAKE, &[0, 0, 0, 0], "handshake message behind the handshake"),
        (false, ALERT, &[2, 40], "the peer sent handshake_failure (40)"),
    ] {
        let ((mut reader, _), (_, writer)) = connected(is_13);
        send(&writer, kind, message);
        let error = recv(&mut reader).unwrap_err();
        assert!(error.contains(says), "{message:?}: {error}");
    }
    let ((_, writer), (mut reader, _)) = connected(false);
    send(&writer, HANDSHAKE, &[0, 0, 0, 0]);
    let error = recv(&mut reader).unwrap_err();
    assert!(error.contains("renegotiation"), "a client: {error}");
    let ((_, writer), (mut reader, _)) = connected(true);
    send(&writer, HANDSHAKE, &[13, 0, 0, 3, 0, 0, 0]);
    let error = recv(&mut reader).unwrap_err();
    assert!(error.contains("handshake message behind"), "a CertificateRequest: {error}");
}

#[test]
fn a_message_over_two_records_is_put_together_unless_data_comes_between() {
    let ((mut reader, _), (_, mut writer)) = connected(true);
    send(&writer, HANDSHAKE, &[24, 0]);
    // The keys change behind the second half, as the receiver will have it.
    send(&writer, HANDSHAKE, &[0, 1, 1]);
    {
        let state = &mut *writer.link.state().borrow_mut();
        state.keys = state.schedule.next_sending().unwrap();
    }
    run(writer.send(Chunk::from("data"), LONG)).unwrap();
    assert_eq!(recv(&mut reader).unwrap(), b"data");
    send(&writer, HANDSHAKE, &[24, 0]);
    send(&writer, DATA, b"x");
    let error = recv(&mut reader).unwrap_err();
    assert!(error.contains("data within a handshake message"), "{error}");
}

#[test]
fn warnings_of_tls_12_are_passed_over() {
    let ((mut reader, _), (_, mut writer)) = connected(false);
    send(&writer, ALERT, &[1, 90]);
    run(writer.send(Chunk::from("data"), LONG)).unwrap();
    assert_eq!(recv(&mut reader).unwrap(), b"data");
}

#[test]
fn data_in_front_of_an_error_is_delivered() {
    let ((mut reader, _), (_, mut writer), [_, wire]) = connected_by(true);
    run(writer.send(Chunk::from("data"), LONG)).unwrap();
    send(&writer, 99, b"x");
    let at_once = wire.borrow_mut().sends.drain(..).flatten().collect();
    wire.borrow_mut().sends.push_back(at_once);
    assert_eq!(recv(&mut reader).unwrap(), b"data");
    assert!(recv(&mut reader).unwrap_err().contains("unknown type"));
}

#[test]
fn what_is_behind_an_end_is_not_read() {
    let ((mut reader, _), (_, mut writer)) = connected(true);
    run(writer.send(Chunk::from("data"), LONG)).unwrap();
    send(&writer, ALERT, &[1, 0]);
    send(&writer, DATA, b"more");
    assert_eq!(recv(&mut reader).unwrap(), b"data");
    for _ in 0..2 {
        assert_eq!(recv(&mut reader).unwrap(), b"");
    }
    assert!(reader.is_closed());
    run(reader.readable(LONG)).unwrap();
}

#[test]
fn keys_change_by_themselves_where_they_are_used_up() {
    let ((mut reader, _), (_, mut writer)) = connected(true);
    writer.link.state().borrow_mut().limit = 5;
    for _ in 0..20 {
        run(writer.send(Chunk::from("data"), LONG)).unwrap();
        assert_eq!(recv(&mut reader).unwrap(), b"data");
        assert!(writer.link.state().borrow().keys.used() < 5);
    }
    let ((mut reader, _), (_, mut writer)) = connected(false);
    writer.link.state().borrow_mut().limit = 5;
    let mut sent = 0;
    while run(writer.send(Chunk::from("data"), LONG)).is_ok() {
        assert_eq!(recv(&mut reader).unwrap(), b"data");
        sent += 1;
        assert!(sent < 5, "TLS 1.2 has no other keys");
    }
}

#[test]
fn a_small_answer_is_one_send_with_the_tickets_and_so_is_a_large_one() {
    let ((_, mut writer), (mut reader, _), [wire, _]) = connected_by(true);
    assert!(writer.link.state().borrow().has_pending());
    let before = wire.borrow().count;
    run(writer.send(Chunk::from("answer"), LONG)).unwrap();
    assert_eq!(wire.borrow().count, before + 1);
    assert!(!writer.link.state().borrow().has_pending());
    assert_eq!(recv(&mut reader).unwrap(), b"answer");
    let bulk = Chunk::copy_of(&[7; ringgate_core::HUGE]);
    run(writer.send(bulk, LONG)).unwrap();
    assert_eq!(wire.borrow().count, before + 2);
    let mut got = 0;
    while got < ringgate_core::HUGE {
        got += recv(&mut reader).unwrap().len();
    }
}

#[test]
fn an_idle_receive_keeps_no_more_than_came() {
    let ((mut reader, _), (_, mut writer), [_, wire]) = connected_by(true);
    run(writer.send(Chunk::copy_of(&[7; 16 * 1024]), LONG)).unwrap();
    let mut record = wire.borrow_mut().sends.pop_front().unwrap();
    let rest = record.split_off(3000);
    wire.borrow_mut().sends.push_back(record);
    for capacity in [SMALL, MEDIUM, ringgate_core::LARGE] {
        let lease = Lease::with_capacity(capacity);
        let (lease, got) = run(reader.recv_or_idle(lease, LONG));
        assert_eq!(got.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert!(lease.is_empty());
        assert_eq!(reader.kept.as_ref().unwrap().lease.capacity(), SMALL);
    }
    wire.borrow_mut().sends.push_back(rest);
    let mut got = Vec::new();
    while got.len() < 16 * 1024 {
        got.extend(recv(&mut reader).unwrap());
    }
    assert!(got.iter().all(|byte| *byte == 7));
    assert!(reader.kept.is_none());
}
