//! The stage itself: what it must show before anything else is believed.

use super::player::Theatre;
use super::stage::Plan;
use super::trace::play;

#[test]
fn clients_of_one_connection_run_as_themselves() {
    let theatre = Theatre::open(Plan::default());
    let (mut hers, mut his) = (theatre.login("alice"), theatre.login("bob"));
    for _ in 0..3 {
        assert_eq!(hers.value("SELECT who()"), "authenticated|alice|acme");
        assert_eq!(his.value("SELECT who()"), "authenticated|bob|globex");
    }
    play(
        &mut hers,
        r#"
        F Query BEGIN
        F Query "SELECT 'alice'"
        F Query COMMIT
        B CommandComplete BEGIN
        B ReadyForQuery T
        B RowDescription ?column?
        B DataRow alice
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
    assert_eq!(theatre.stage.record.lock().connections, 1);
    assert!(theatre.stage.record.lock().witnessed > 0);
    theatre.assert_well();
}
