//! Headers of safetensors files, against the reference parser. The last byte says what the rest is: a file, or only
//! the text of a header, to which length and data are made to fit.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    match input.split_last() {
        Some((0, file)) => soce_fuzz::file(file),
        Some((_, text)) => soce_fuzz::header(text),
        None => soce_fuzz::file(input),
    }
});
