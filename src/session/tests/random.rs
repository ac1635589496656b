//! Sessions under any bytes: the fuzz target's body over what proptest makes up. `PROPTEST_CASES` says how often.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::stage::fuzzed;

/// Few enough for every run of the tests.
const CASES: u32 = 300;

/// The same scripts every time, unless it is said how many there are to be.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(CASES),
        rng_seed: asked.map_or(RngSeed::Fixed(0), |_: u32| RngSeed::Random),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_hangs_or_panics_or_runs_as_nobody(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzed::run(&bytes);
    }
}

/// Plays a script that has failed: the bytes as proptest prints them, in `PORTCULLIS_TEST_SCRIPT`.
#[test]
fn one_script() {
    let list = std::env::var("PORTCULLIS_TEST_SCRIPT").unwrap_or_default();
    let bytes: Vec<u8> = list
        .split(',')
        .filter_map(|byte| byte.trim().parse().ok())
        .collect();
    fuzzed::run(&bytes);
}
