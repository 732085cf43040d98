//! Entry points for the fuzzer: each panics where something that must hold does not.
pub fn fuzz_h2_frames(_input: &[u8]) {}
