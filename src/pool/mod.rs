//! Who may use which server connection: accounting, checkout, lease, reaper.
