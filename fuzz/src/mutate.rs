//! Makes one input out of others.

use fastrand::Rng;

/// Bytes and lengths at which parsers go wrong.
const EDGES: [u8; 12] = [0, 9, 10, 13, 32, 0x22, 0x25, 0x2f, 0x3a, 0x7f, 0x80, 0xff];
/// Changes to one input, at most: few, so that it stays close to something that parses.
const CHANGES_MAX: u32 = 6;

/// A changed copy of one of `pool`, of at most `max_len` bytes.
pub(crate) fn mutate(rng: &mut Rng, pool: &[Vec<u8>], words: &[&[u8]], max_len: usize) -> Vec<u8> {
    let mut input = rng.choice(pool).cloned().unwrap_or_default();
    // Mostly one change, sometimes several.
    let changes = 1 + rng.u32(0..CHANGES_MAX).min(rng.u32(0..CHANGES_MAX));
    for _ in 0..changes {
        change(rng, &mut input, pool, words);
    }
    input.truncate(max_len);
    input
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&[u8]]) {
    let at = rng.usize(0..=input.len());
    let len = 1 + rng.usize(0..16).min(rng.usize(0..64));
    let end = (at + len).min(input.len());
    match rng.u32(0..10) {
        0 if at < input.len() => input[at] ^= 1 << rng.u32(0..8),
        1 if at < input.len() => input[at] = edge(rng),
        2 => input.insert(at, edge(rng)),
        3 => drop(input.drain(at..end)),
        4 => {
            let copy = input[at..end].to_vec();
            let to = rng.usize(0..=input.len());
            input.splice(to..to, copy);
        }
        5 => {
            // Many of the same: lengths that overflow, depths that recurse.
            let piece = input[at..end].to_vec();
            let many = piece.repeat(1 << rng.u32(0..8));
            input.splice(at..end, many);
        }
        6 => {
            // The head of this one and the tail of another.
            if let Some(other) = rng.choice(pool) {
                let from = rng.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        7 => {
            let digits = rng.u64(..) >> rng.u32(0..64);
            let text = if rng.bool() { format!("{digits}") } else { format!("{digits:x}") };
            input.splice(at..end.min(at + 4), text.into_bytes());
        }
        8 => {
            if let Some(word) = rng.choice(words) {
                input.splice(at..end, word.iter().copied());
            }
        }
        _ => {
            if let Some(word) = rng.choice(words) {
                input.splice(at..at, word.iter().copied());
            }
        }
    }
}

fn edge(rng: &mut Rng) -> u8 {
    if rng.bool() { EDGES[rng.usize(0..EDGES.len())] } else { rng.u8(..) }
}
