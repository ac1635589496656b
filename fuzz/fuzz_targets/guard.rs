//! The `guard` target for libFuzzer; with a server also what the statements do there.
#![no_main]

use std::cell::RefCell;

use portcullis_fuzz::{SOCKET, Server, guard, mutated};

thread_local! {
    static SERVER: RefCell<Option<Server>> =
        RefCell::new(std::env::var_os(SOCKET).map(|socket| Server::connect(socket.as_ref())));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    guard(bytes);
    SERVER.with_borrow_mut(|server| {
        if let Some(server) = server {
            server.try_out(bytes);
        }
    });
});

// Half by bytes, half by operands.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let whole = seed % 2 == 0;
    match whole.then(|| mutated(&data[..size], seed)).flatten() {
        Some(sql) if sql.len() <= max_size => {
            data[..sql.len()].copy_from_slice(sql.as_bytes());
            sql.len()
        }
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
});
