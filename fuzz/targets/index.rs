//! `model.safetensors.index.json`, against a JSON parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| soce_fuzz::index(input));
