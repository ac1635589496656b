//! Hardening by an owner that is no superuser, as on RDS: what the server does not let it change, it says.

use crate::support::owned::{self, OWNER};
use crate::support::postgres::Version;
use crate::{Ground, behaviour, says, state};

#[test]
fn an_owner_is_told_what_remains() {
    is_told_what_remains(Version::Installed);
}

#[test]
fn an_owner_is_told_what_remains_on_18() {
    is_told_what_remains(Version::Eighteen);
}

fn is_told_what_remains(version: Version) {
    let Some(ground) = Ground::new(version) else {
        return;
    };
    let postgres = &ground.postgres;
    // Everything is the owner's, the proxy's login and its membership too.
    let mut owner = owned::session(postgres, OWNER, "postgres");
    owner.values("CREATE ROLE rent_app LOGIN PASSWORD 'rent'");
    owner.values("CREATE ROLE tenant NOLOGIN");
    owner.values("GRANT tenant TO rent_app");
    owned::make_database(postgres, "rented");
    owned::session(postgres, OWNER, "rented").values("GRANT ALL ON app.log TO tenant");
    let config = std::fs::read_to_string(&ground.config).unwrap();
    let config = config
        .replace("portcullis_app", "rent_app")
        .replace("[roles.member]", "[roles.tenant]");
    std::fs::write(&ground.config, config).unwrap();
    let before = behaviour(&ground, "rented");
    let picture = state::of(postgres, version, "rented");

    let harden = |more: &[&str]| postgres.try_harden(OWNER, &["rented"], &ground.config, more);
    let (success, first) = harden(&[]);
    assert!(!success, "{first}");
    assert!(
        says(
            &first,
            "remains",
            "pg_catalog.set_config(text, text, boolean): anyone may call it: no privileges"
        ),
        "{first}"
    );
    assert!(!says(&first, "mended", "pg_catalog."), "{first}");
    assert!(
        first.contains("end users may call what identity is set with"),
        "{first}"
    );
    for mended in ["app.log: tenant has", "rent_app: it inherits its roles' rights"] {
        assert!(says(&first, "mended", mended), "{mended}: {first}");
    }
    if version == Version::Eighteen {
        assert!(
            says(&first, "mended", "rent_app: it inherits the rights of tenant"),
            "{first}"
        );
    }
    assert_eq!(behaviour(&ground, "rented"), before, "{first}");

    let (success, second) = harden(&[]);
    assert!(!success && second.contains(": 0 mended, "), "{second}");
    let remaining = |said: &str| -> Vec<String> {
        let lines = said.lines().filter(|line| line.starts_with("remains"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(remaining(&first), remaining(&second));

    // What is kept for --undo is the owner's to change: nobody else runs it.
    let (success, refused) = ground.harden("rented", &["--undo"]);
    assert!(!success && refused.contains("run it as landlord"), "{refused}");
    let (success, undone) = harden(&["--undo"]);
    assert!(success, "{undone}");
    state::assert_same(&picture, &state::of(postgres, version, "rented"));

    // A superuser finishes the work.
    let (success, whole) = ground.harden("rented", &[]);
    assert!(
        success && says(&whole, "mended", "pg_catalog.set_config"),
        "{whole}"
    );
    assert_eq!(behaviour(&ground, "rented"), before, "{whole}");
}
