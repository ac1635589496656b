//! Crowds at the door: sockets that say nothing keep nobody out, and a fleet that starts anew gets in.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, VERSION_3_0, cancel, password_message, query, startup};
use crate::support::wait_until;
use crate::{ALICE, Bed};

/// Files this process and those it starts may open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// As many of these as files allow beside those of other tests.
fn as_many(wanted: usize) -> usize {
    let many = wanted.min(files().saturating_sub(300) / 2);
    if many < wanted {
        eprintln!("{many} of {wanted}: no more open files are allowed");
    }
    many
}

/// A socket from an address of this machine on which nothing is said.
fn silent(port: u16, last: u8) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())
        .unwrap();
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// Whether the proxy has closed it.
fn is_out(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let closed = !matches!(socket.peek(&mut [0]), Err(why) if why.kind() == std::io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    closed
}

/// What it was told.
fn told(mut socket: &TcpStream) -> String {
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn silent_sockets_keep_nobody_out() {
    let many = as_many(1_500);
    let bed = Bed::new("", None, "");
    // From the same address as the honest one: there is room for more than that.
    let crowd: Vec<TcpStream> = (0..many).map(|_| silent(bed.port(), 1)).collect();
    let honest = || {
        let start = Instant::now();
        let mut client = bed.stack.login(&alice());
        assert_eq!(client.value("SELECT who()"), ALICE);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    };
    honest();
    drop(crowd);
    // And if there is not.
    let bed = Bed::new("", None, "listen.max_pending_logins = 100");
    for address in [1, 2] {
        let crowd: Vec<TcpStream> = (0..300).map(|_| silent(bed.port(), address)).collect();
        let start = Instant::now();
        let mut client = bed.stack.login(&alice());
        assert_eq!(client.value("SELECT who()"), ALICE);
        // A cancel request comes through as well.
        client.send(&query("SELECT pg_sleep(20)"));
        std::thread::sleep(Duration::from_millis(100));
        let again: Vec<TcpStream> = (0..100).map(|_| silent(bed.port(), address)).collect();
        cancel(bed.port(), &client.cancel_key);
        assert_eq!(client.read_error().sqlstate(), "57014");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        let gone: Vec<&TcpStream> = crowd.iter().filter(|socket| is_out(socket)).collect();
        assert!(gone.len() >= 200, "{}", gone.len());
        for socket in gone {
            let told = told(socket);
            assert!(
                told.contains("C53300\0") && told.contains("max_pending_logins"),
                "{told}"
            );
        }
        drop((crowd, again));
    }
}

#[test]
fn the_address_with_most_makes_room_and_its_silent_ones_first() {
    let bed = Bed::new(
        "",
        None,
        "listen.max_pending_logins = 60\nlisten.max_address_pending_logins = 60",
    );
    let mut spoken: Vec<TcpStream> = (0..10).map(|_| silent(bed.port(), 2)).collect();
    for socket in &mut spoken {
        std::io::Write::write_all(socket, &[0, 0, 0]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    let crowd: Vec<TcpStream> = (0..40).map(|_| silent(bed.port(), 2)).collect();
    let few: Vec<TcpStream> = (0..10).map(|_| silent(bed.port(), 3)).collect();
    let others: Vec<TcpStream> = (4..24).map(|address| silent(bed.port(), address)).collect();
    wait_until(
        "as many have gone as were too many",
        Duration::from_secs(3),
        || crowd.iter().filter(|socket| is_out(socket)).count() == 20,
    );
    assert!(crowd[..20].iter().all(is_out), "the oldest go first");
    for kept in [&spoken, &few, &others] {
        assert!(!kept.iter().any(is_out));
    }
    // An address that has spoken alone is no better off.
    let more: Vec<TcpStream> = (30..60).map(|address| silent(bed.port(), address)).collect();
    wait_until("the rest", Duration::from_secs(3), || {
        spoken
            .iter()
            .chain(&crowd)
            .filter(|socket| is_out(socket))
            .count()
            >= 40
    });
    assert!(!more.iter().any(is_out));
}

#[test]
fn a_fleet_that_starts_anew_gets_in() {
    let many = as_many(2_000);
    let stack = Stack::start(&StackOptions::pool(4));
    let token = alice().token();
    let start = Instant::now();
    let mut fleet: Vec<RawClient> = (0..many).map(|_| RawClient::connect(stack.port())).collect();
    for client in &mut fleet {
        client.send(&startup(VERSION_3_0, &[("user", "alice"), ("database", "acme")]));
    }
    for (number, client) in fleet.iter_mut().enumerate() {
        client
            .finish_login(Some(&token))
            .unwrap_or_else(|why| panic!("{number}: {}", why.describe()));
    }
    eprintln!("{many} logins in {:?}", start.elapsed());
    assert_eq!(fleet[many / 2].value("SELECT who()"), ALICE);
}

/// Refused clients that do not go are no better than silent ones.
#[test]
fn who_is_refused_keeps_no_place() {
    let bed = Bed::new(
        "",
        None,
        "listen.max_pending_logins = 20\nlisten.max_address_pending_logins = 20",
    );
    let mut refused: Vec<RawClient> = (0..40)
        .map(|_| {
            let mut client = RawClient::connect(bed.port());
            client.send(&startup(VERSION_3_0, &[("user", "alice"), ("database", "acme")]));
            client.send(&password_message("no token"));
            client
        })
        .collect();
    let start = Instant::now();
    assert_eq!(bed.stack.login(&alice()).value("SELECT who()"), ALICE);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for client in &mut refused {
        // What crosses with the goodbye may take it back.
        if let Some(error) = client.until_ready().iter().find(|frame| frame.tag == b'E') {
            let told = error.sqlstate();
            assert!(["28P01", "53300"].contains(&told.as_str()), "{told}");
        }
    }
}
