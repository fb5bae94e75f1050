#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corecast_fuzz::http1::check(bytes));
