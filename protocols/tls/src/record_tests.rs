use rustls::crypto::cipher::{AeadKey, Iv};

use super::*;

fn keys(chacha: bool, is_13: bool) -> Keys {
    let (key, iv) = (AeadKey::from([7; 32]), Iv::new([9; 12]));
    let secrets = match chacha {
        true => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
        false => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
    };
    Keys::new((5, secrets), is_13).unwrap()
}

const ALL: [(bool, bool); 4] = [(true, true), (false, true), (true, false), (false, false)];

#[test]
fn what_is_sealed_opens_once_and_in_order() {
    for (chacha, is_13) in ALL {
        let (mut sender, mut receiver) = (keys(chacha, is_13), keys(chacha, is_13));
        for (kind, plain) in [(DATA, &b"hello"[..]), (ALERT, &[1, 0]), (DATA, &[0; PLAIN_MAX])] {
            let mut record = b"in front".to_vec();
            sender.seal(kind, plain, &mut record).unwrap();
            assert!(record.starts_with(b"in front"));
            let mut record = record.split_off(8);
            assert_eq!(record.len(), plain.len() + sender.overhead());
            assert_eq!(whole(&record), Ok(Some(record.len())));
            assert_eq!(whole(&record[..record.len() - 1]), Ok(None));
            let again = record.clone();
            let (opened, range) = receiver.open(&mut record).unwrap();
            assert_eq!((opened, &record[range]), (kind, plain));
            let replayed = receiver.open(&mut again.clone());
            assert_eq!(replayed, Err(Alert::BAD_RECORD_MAC));
        }
        assert_eq!((sender.used(), receiver.used()), (8, 8));
    }
}

#[test]
fn nothing_that_was_changed_opens() {
    for (chacha, is_13) in ALL {
        let mut record = Vec::new();
        keys(chacha, is_13).seal(DATA, b"hello", &mut record).unwrap();
        for place in 0..record.len() {
            let mut changed = record.clone();
            changed[place] ^= 0x10;
            // The length of a record of TLS 1.2 is authenticated as it was cut, not as it was told.
            let counts = is_13 || !(3..5).contains(&place);
            assert_eq!(keys(chacha, is_13).open(&mut changed).is_err(), counts, "at {place}");
        }
        for end in 0..record.len() {
            assert!(keys(chacha, is_13).open(&mut record[..end].to_vec()).is_err());
        }
    }
}

#[test]
fn padding_is_taken_off_and_must_not_be_all() {
    let mut padded = Vec::new();
    let mut sender = keys(false, true);
    // A record of another type whose last bytes are what a type and a padding look like.
    sender.seal(0, b"data\x17\0\0\0", &mut padded).unwrap();
    let (kind, range) = keys(false, true).open(&mut padded).unwrap();
    assert_eq!((kind, &padded[range]), (DATA, &b"data"[..]));
    let mut empty = Vec::new();
    keys(false, true).seal(0, &[0; 100], &mut empty).unwrap();
    assert_eq!(keys(false, true).open(&mut empty), Err(Alert::UNEXPECTED_MESSAGE));
}

#[test]
fn lengths_are_bounded() {
    assert_eq!(length(&[23, 3, 3]), Ok(5));
    assert_eq!(length(&[23, 3, 3, 0x48, 0]), Ok(5 + 16 * 1024 + 2048));
    assert_eq!(length(&[23, 3, 3, 0x48, 1]), Err(Alert::RECORD_OVERFLOW));
    let mut long = vec![23, 3, 3, 0x41, 1];
    long.resize(5 + 0x4101, 0);
    assert_eq!(keys(false, true).open(&mut long), Err(Alert::RECORD_OVERFLOW));
    assert_eq!(keys(false, false).open(&mut long), Err(Alert::BAD_RECORD_MAC));
    let mut longest = Vec::new();
    keys(true, false).seal(DATA, &[1; PLAIN_MAX], &mut longest).unwrap();
    assert!(keys(true, false).open(&mut longest).is_ok());
}
