//! Sessions under any bytes: what clients send, when and in which pieces, and what the server does meanwhile. Whatever it
//! is, nobody hangs or panics, nothing runs as nobody or as somebody else, every message has its replies, and in the end no
//! server connection is in use.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::time::{sleep, timeout};

use super::backend::{Backend, Next, message};
use super::replies::{self, Frame};
use super::script::{Act, Part, Script, cstring};
use super::{Entered, PEOPLE, Plan, ROLE, Stage, identity_of, runtime};
use portcullis::base::PoolMode;

/// Longer than anything that a session waits for: beyond it, it hangs.
const HANGS: Duration = Duration::from_secs(3600);

/// How long what a session has left is cleared away.
const CLEARED: Duration = Duration::from_secs(120);

/// Behind everything else: whatever went before, this is answered.
const END: [(u8, &str); 4] = [
    (b'f', "late"),
    (b'S', ""),
    (b'Q', "ROLLBACK"),
    (b'Q', "SELECT 'the end'"),
];

/// What a client has seen.
struct Seen {
    came: Vec<Frame>,
    /// Bytes of no whole frame.
    rest: usize,
    vanished: bool,
}

/// All that a client has read so far.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Runs a script; panics where something does not hold.
pub(crate) fn run(bytes: &[u8]) {
    let script = Script::read(bytes);
    runtime().block_on(perform(&script));
}

async fn perform(script: &Script) {
    let stage = Arc::new(Stage::set(Plan {
        pool_size: script.pool_size,
        mode: if script.keeps_connections {
            PoolMode::Session
        } else {
            PoolMode::Transaction
        },
        whims: script.whims.clone(),
        capacity: script.capacities[0],
        piece: script.pieces[0],
    }));
    let heard: Vec<Heard> = script.clients.iter().map(|_| Heard::default()).collect();
    let parts = script.clients.iter().zip(&heard).map(|(part, heard)| {
        let heard = Arc::clone(heard);
        let capacity = script.capacities[1];
        let (acts, name, piece) = (acts_of(part), part.name, script.pieces[1]);
        let stage = Arc::clone(&stage);
        tokio::spawn(async move {
            let entered = stage.enter(name, capacity).await;
            play(&stage, entered, acts, piece, heard).await
        })
    });
    let playing: Vec<_> = parts.collect();
    for ((part, playing), heard) in script.clients.iter().zip(playing).zip(&heard) {
        let Ok(seen) = timeout(HANGS, playing).await else {
            let came = frames_of(&heard.lock()).0;
            panic!(
                "{} hangs: sent {:#?}\ncame {:#?}",
                part.name,
                shown(&sent_by(part)),
                shown(&came)
            );
        };
        check(script, part, &seen.expect("no panic"));
    }
    sleep(CLEARED).await;
    let record = stage.record.lock();
    assert!(record.unbound.is_empty(), "{:?}", record.unbound);
    assert!(record.faults.is_empty(), "{:?}", record.faults);
    assert_eq!(
        stage.busy(),
        [0; 3],
        "connections in use, under way, and clients that wait"
    );
}

/// A part with its end.
fn acts_of(part: &Part) -> Vec<Act> {
    let end = END.iter().map(|(tag, text)| match tag {
        b'S' => Act::Send(*tag, Vec::new()),
        _ => Act::Send(*tag, cstring(text)),
    });
    part.acts.iter().cloned().chain(end).collect()
}

/// Plays a part; the session must have ended with it, and not by a panic.
async fn play(stage: &Stage, entered: Entered, acts: Vec<Act>, piece: usize, heard: Heard) -> Seen {
    let Entered { stream, cancel, end } = entered;
    let (mut reader, mut writer) = split(stream);
    let vanished = acts.contains(&Act::Vanish);
    let all = Arc::clone(&heard);
    let mut listening = tokio::spawn(async move {
        let mut chunk = [0; 4096];
        while !ends(&heard.lock()) {
            match reader.read(&mut chunk).await {
                Ok(count @ 1..) => heard.lock().extend_from_slice(&chunk[..count]),
                Ok(0) | Err(_) => break,
            }
        }
        reader
    });
    for act in acts {
        match act {
            Act::Send(tag, body) => {
                let mut bytes = Vec::new();
                message(&mut bytes, tag, &body);
                let piece = if piece == 0 { bytes.len() } else { piece };
                for piece in bytes.chunks(piece) {
                    // A session may end before its client has.
                    let _ = writer.write_all(piece).await;
                    if piece.len() < bytes.len() {
                        tokio::task::yield_now().await;
                    }
                }
            }
            Act::Pause(time) => sleep(Duration::from_millis(time)).await,
            Act::Cancel => stage.cancel(&cancel).await,
            Act::Vanish => break,
        }
    }
    if vanished {
        listening.abort();
        let reader = listening.await;
        drop((reader, writer));
    } else {
        let reader = (&mut listening).await.expect("no panic");
        let mut goodbye = Vec::new();
        message(&mut goodbye, b'X', &[]);
        let _ = writer.write_all(&goodbye).await;
        drop((reader, writer));
    }
    end.await.expect("a session does not panic");
    let (came, rest) = frames_of(&all.lock());
    Seen { came, rest, vanished }
}

/// Whether the answer to the last query is there, as a whole.
fn ends(bytes: &[u8]) -> bool {
    const NEAR: usize = 512;
    let last = &bytes[bytes.len().saturating_sub(NEAR)..];
    last.windows(7).any(|part| part == b"the end") && last.ends_with(b"Z\0\0\0\x05I")
}

fn frames_of(mut bytes: &[u8]) -> (Vec<Frame>, usize) {
    let mut frames = Vec::new();
    while let Some(head) = bytes.get(..5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some(body) = bytes.get(5..=length) else { break };
        frames.push((head[0], body.to_vec()));
        bytes = &bytes[length + 1..];
    }
    (frames, bytes.len())
}

fn check(script: &Script, part: &Part, seen: &Seen) {
    if seen.vanished {
        return;
    }
    for (tag, body) in &seen.came {
        let text = String::from_utf8_lossy(body);
        let strange = PEOPLE
            .iter()
            .find(|(name, _)| *name != part.name && text.contains(name));
        assert!(
            *tag != b'D' || strange.is_none(),
            "{} was given {text:?}",
            part.name
        );
    }
    let whole = seen.rest == 0;
    if !whole && !script.whims.is_empty() {
        // The server was gone in the middle of it: nothing can be said behind that.
        return;
    }
    assert!(whole, "{} has half a frame: {:#?}", part.name, shown(&seen.came));
    let sent = sent_by(part);
    let is_fatal = |(tag, body): &Frame| *tag == b'E' && body.starts_with(b"SFATAL\0");
    if let Some(end) = seen.came.iter().position(is_fatal) {
        let may_end = !script.whims.is_empty() || part.acts.iter().any(|act| matches!(act, Act::Pause(_)));
        assert!(may_end, "{} was turned out: {:?}", part.name, shown(&seen.came));
        assert_eq!(end + 1, seen.came.len(), "something behind the last word");
        return;
    }
    if let Err(why) = replies::account(&sent, &seen.came) {
        panic!(
            "{}: {why}\nsent {:#?}\ncame {:#?}",
            part.name,
            shown(&sent),
            shown(&seen.came)
        );
    }
    if part.is_plain {
        let expected = without_notices(&direct(part.name, &sent));
        let came = without_notices(&seen.came);
        let pairs = came.iter().zip(&expected);
        let same = pairs.take_while(|(came, expected)| fits(came, expected)).count();
        // Known and not mended: the portal of a BEGIN that was bound ahead of it is gone with its batch.
        let begins = |(tag, body): &Frame| *tag == b'P' && body.ends_with(b"BEGIN\0\0\0");
        let is_gone = came.get(same).is_some_and(|message| message.contains("C34000"));
        if is_gone && sent.iter().any(begins) {
            return;
        }
        assert!(
            same == came.len() && same == expected.len(),
            "{}: sent {:#?}\nbehind {same} messages that fit came {:#?}\nnot {:#?}",
            part.name,
            shown(&sent),
            &came[same..came.len().min(same + 4)],
            &expected[same..expected.len().min(same + 4)],
        );
    }
}

/// Whether a message is the expected one, but for what is known to differ.
fn fits(came: &str, expected: &str) -> bool {
    if came == expected {
        return true;
    }
    let says = |codes: &[&str], message: &str| codes.iter().any(|code| message.contains(code));
    let are_errors = came.starts_with('E') && expected.starts_with('E');
    // Where several things are wrong, that a name is taken or that the block has failed may be found out ahead of the others
    // or behind them.
    let of_several = says(&["C42P05", "C25P02"], came) || says(&["C42P05", "C25P02"], expected);
    // The portal of a command that has run is gone, where Postgres has it still and does not run it.
    let of_portal = says(&["C34000"], came) && says(&["C55000"], expected);
    are_errors && (of_several || of_portal)
}

fn sent_by(part: &Part) -> Vec<Frame> {
    let sent = acts_of(part).into_iter().filter_map(|act| match act {
        Act::Send(tag, body) => Some((tag, body)),
        _ => None,
    });
    sent.collect()
}

/// What the server itself answers to somebody who needs no proxy.
fn direct(name: &str, sent: &[Frame]) -> Vec<Frame> {
    let mut identity = identity_of(name);
    identity.push(("role".into(), ROLE.into()));
    let mut backend = Backend::standing_as(Arc::default(), &identity);
    for (tag, body) in sent {
        let mut next = backend.take(*tag, body);
        while let Next::Work(_) = next {
            next = backend.wake(false);
        }
    }
    frames_of(&backend.take_sent()).0
}

fn without_notices(frames: &[Frame]) -> Vec<String> {
    let kept = frames
        .iter()
        .filter(|(tag, _)| !matches!(tag, b'N' | b'S' | b'A'));
    kept.map(show).collect()
}

fn shown(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(show).collect()
}

fn show((tag, body): &Frame) -> String {
    let body = &body[..body.len().min(120)];
    format!("{} {}", char::from(*tag), body.escape_ascii())
}
