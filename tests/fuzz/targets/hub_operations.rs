#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corecast_fuzz::hub_operations::check(bytes));
