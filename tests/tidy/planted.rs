//! What must not compile: ways to a server for a text that nobody has cleared, or without the identity. Built as a
//! module of `session` by `tests/tidy/doors.rs`, which wants each error that is named here, on its line, and no other.

use crate::guard::{SetSetting, SetValue};
use crate::identity::PreludeText;
use crate::session::link::warrant::{ParseWarrant, Warrant};
use crate::session::link::{Link, LocalSetting, Text};
use crate::session::memory::statement::Renamed;

fn the_servers_socket(link: &mut Link) {
    let _ = &link.lease; //~ E0616
}

fn the_bytes_for_the_server(link: &mut Link) {
    link.upstream.bytes.push(b'Q'); //~ E0616
}

fn a_text_of_the_clients(sql: &str) -> Text<'_> {
    Text(sql) //~ E0423
}

fn a_text_that_passes_for_ours(sql: &str) {
    let _ = Text::ours(sql); //~ E0521
}

fn a_text_in_the_place_of_a_renamed_one(sql: String) -> Renamed {
    Renamed(sql) //~ E0423
}

fn a_text_in_the_place_of_a_setting(sql: String) -> LocalSetting {
    LocalSetting(sql) //~ E0423
}

fn a_text_in_the_place_of_a_settings_value(setting: &mut SetSetting, sql: Box<str>) {
    setting.value = SetValue::Assign(sql); //~ E0616
}

fn a_text_in_the_place_of_a_prelude(sql: String) -> PreludeText {
    PreludeText(sql) //~ E0423
}

fn a_warrant_that_nothing_justifies() -> Warrant {
    Warrant(ParseWarrant(())) //~ E0423
}

fn the_right_to_run_made_of_that_to_read(warrant: ParseWarrant) -> Warrant {
    warrant.into() //~ E0277
}

fn a_bind_without_a_warrant(link: &mut Link) {
    link.upstream.bind_head(b"", "", 0); //~ E0061
}
